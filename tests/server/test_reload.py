"""A changed configuration reaches every worker while requests go on, or none."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any

import bcrypt

from tests.certificates import Authority, replace
from tests.images import OCI_INDEX, index
from tests.servers import Server, completed, leaders, running_server, wait_until, workers


def written(directory: Path, **sections: Any) -> bytes:
    """Return a configuration for a server below a directory."""
    return json.dumps(completed(directory / "root", sections)).encode()


def reloads(server: Server) -> int:
    """Return how often the server has said that it read its configuration again, or would not."""
    log = server.log.read_text()
    return log.count("the configuration was read again") + log.count("is refused, the old one stays")


def hang_up(server: Server, change: Callable[[], object] = lambda: None) -> None:
    """Change a file, ask for a reload by signal, and wait until it is done.

    The master stands still until both are there, else it might see the change by itself too and read everything twice.
    """
    server.process.send_signal(signal.SIGSTOP)
    stat = Path(f"/proc/{server.pid}/stat")
    wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "the master stands still")
    change()
    before = reloads(server)
    server.process.send_signal(signal.SIGHUP)
    server.process.send_signal(signal.SIGCONT)
    wait_until(lambda: reloads(server) > before, "the configuration was read again")


@contextmanager
def load(server: Server, clients: int = 4) -> Iterator[Callable[[], int]]:
    """Let clients ask for as long as this lasts, each request of whom must succeed; yields how many have."""
    ended, done, failed = threading.Event(), [0] * clients, list[object]()

    def ask(number: int) -> None:
        try:
            while not ended.is_set():
                with closing(server.connect()) as connection:
                    for _ in range(20):
                        connection.request("GET", "/v2/")
                        answer = connection.getresponse()
                        assert (answer.status, answer.read()) == (200, b"{}")
                        done[number] += 1
        except (OSError, HTTPException, AssertionError) as error:
            failed.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield lambda: sum(done)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert failed == []


def test_good_and_broken_changes_under_load(tmp_path: Path) -> None:
    """While clients ask, good and broken files follow each other: no request fails, and no worker keeps what is old."""
    config = tmp_path / "config.json"
    with running_server(tmp_path, "--workers", "3") as server, load(server) as done:
        for round_ in range(6):
            level = "warning" if round_ % 2 == 0 else "info"
            # What waits for a restart is told of at either level.
            good = written(tmp_path, log={"level": level}, http={"port": 1})
            if round_ % 4 == 3:
                before = reloads(server)
                replace(config, good)
                wait_until(lambda before=before: reloads(server) > before, "the replaced file was read")  # type: ignore[misc]
            else:
                hang_up(server, partial(config.write_bytes, good))
            assert lines_of(server, f"/v2/round{round_}/tags/list", 0 if level == "warning" else 30)
            hang_up(server, partial(config.write_bytes, good[: len(good) // 2]))
        wait_until(lambda: done() > 100, "clients are served")
        assert server.log.read_text().count("is refused, the old one stays") == 6


def lines_of(server: Server, path: str, expected: int) -> bool:
    """Ask for a path on 30 connections; tells whether so many request lines come of it."""

    def found() -> int:
        return server.log.read_text().count(f'"path": "{path}"')

    for _ in range(30):
        assert server.request("GET", path)[0] == 404
    wait_until(lambda: found() >= expected, "the requests are told of")
    # Lines are gathered for a tenth of a second.
    time.sleep(0.5)
    return found() == expected


def test_a_config_map_of_kubernetes(tmp_path: Path) -> None:
    """A file that is reached through a symbolic link, which is turned to another directory, is read again."""
    for number, level in ((1, "info"), (2, "debug")):
        (tmp_path / f"data{number}").mkdir()
        (tmp_path / f"data{number}/config.json").write_bytes(written(tmp_path, log={"level": level}))
    (tmp_path / "data").symlink_to("data1")
    (tmp_path / "config.json").symlink_to("data/config.json")
    with running_server(tmp_path, config=tmp_path / "config.json") as server:
        (tmp_path / "data.new").symlink_to("data2")
        os.replace(tmp_path / "data.new", tmp_path / "data")
        wait_until(lambda: "read again: log.level" in server.log.read_text(), "the new file was read")


def test_what_waits_for_a_restart_is_named(tmp_path: Path) -> None:
    """Keys that can't change while the server runs are named in one line, and what can is taken over."""
    config = tmp_path / "config.json"
    with running_server(tmp_path) as server:
        changed = written(tmp_path, http={"port": 1, "address": "0.0.0.0"}, log={"level": "debug"})
        hang_up(server, lambda: config.write_bytes(changed))
        log = server.log.read_text()
        told = "read again: log.level; these changes wait for a restart: http.address, http.port"
        assert (log.count(told), log.count("no key changed")) == (1, 0)
        hang_up(server)
        (line,) = (one for one in server.log.read_text().splitlines() if "read again: these changes wait" in one)
        assert "no key changed" not in line
        assert server.request("GET", "/v2/")[0] == 200


def test_all_problems_are_in_one_line(tmp_path: Path) -> None:
    """A file with several mistakes is refused in one line that names all of them, and the server goes on."""
    config = tmp_path / "config.json"
    with running_server(tmp_path) as server:
        wrong = '{"storage": {"rootDirectory": 5, "dedup": true},\n "http": {"port": -1}}'
        hang_up(server, lambda: config.write_text(wrong))
        refusals = [line for line in server.log.read_text().splitlines() if "is refused" in line]
        assert len(refusals) == 1
        assert all(key in refusals[0] for key in ("storage.dedup", "http.port"))
        hang_up(server, config.unlink)
        assert server.request("GET", "/v2/")[0] == 200


def test_leaders_lead_on_with_what_changed(tmp_path: Path) -> None:
    """A change that concerns the leader starts it again, without an error; one that does not leaves it alone."""
    config = tmp_path / "config.json"
    with running_server(tmp_path) as server:
        wait_until(lambda: leaders(server), "there is a leader")
        before = leaders(server)
        hang_up(server, lambda: config.write_bytes(written(tmp_path, http={"port": 0, "realm": "x"})))
        hang_up(server, lambda: config.write_bytes(written(tmp_path, log={"level": "debug"})))
        wait_until(lambda: leaders(server) not in ([], before), "there is another leader")
        assert "is started again" not in server.log.read_text()


def test_a_hangup_of_everything(tmp_path: Path) -> None:
    """SIGHUP to all processes, as of a terminal that is closed, ends no worker."""
    with running_server(tmp_path, "--workers", "2") as server:
        wait_until(lambda: len(workers(server)) == 2, "there are workers")
        before = workers(server)
        for pid in before:
            os.kill(pid, signal.SIGHUP)
        hang_up(server)
        assert workers(server) == before


def test_rights_and_users_change_under_load(tmp_path: Path) -> None:
    """Access control and the users' file are taken over by all workers at once, and a broken policy by none."""
    config, users = tmp_path / "config.json", tmp_path / "users"
    users.write_text("alice:" + bcrypt.hashpw(b"one", bcrypt.gensalt(4)).decode() + "\n")

    def policy(*actions: str) -> bytes:
        access = {"repositories": {"**": {"anonymousPolicy": list(actions)}}}
        return written(tmp_path, http={"port": 0, "auth": {"htpasswd": {"path": str(users)}}, "accessControl": access})

    config.write_bytes(policy("read"))
    with running_server(tmp_path, "--workers", "3", config=config) as server, load(server):
        for actions, status in ((("read", "create"), 202), (("read",), 401), (("read", "create"), 202)):
            hang_up(server, partial(config.write_bytes, policy(*actions)))
            assert uploads(server) == {status}
            hang_up(server, partial(config.write_bytes, policy("red")))
            assert uploads(server) == {status}


def test_a_registry_never_stands_open_between_two_logins(tmp_path: Path) -> None:
    """A file that puts certificates in the place of passwords waits as a whole: nobody gets in without a login."""
    config, users, authority = tmp_path / "config.json", tmp_path / "users", Authority(tmp_path)
    users.write_text("alice:" + bcrypt.hashpw(b"one", bcrypt.gensalt(4)).decode() + "\n")
    config.write_bytes(written(tmp_path, http={"port": 0, "auth": {"htpasswd": {"path": str(users)}}}))
    with running_server(tmp_path, "--workers", "2", config=config) as server:
        assert uploads(server) == {401}
        changed = written(tmp_path, http={"port": 0, "tls": authority.tls | {"cacert": str(authority.file)}})
        hang_up(server, lambda: config.write_bytes(changed))
        assert uploads(server) == {401}
        assert "wait for a restart: http.auth, http.tls" in server.log.read_text()


def test_immutable_tags_change(tmp_path: Path) -> None:
    """A rule that is new holds for all workers, and one that is gone for none."""
    config = tmp_path / "config.json"
    rules: list[dict[str, Any]] = [{"repositories": ["**"], "immutable": [{"patterns": ["^v"]}]}]
    pushed = index()

    def deletes(server: Server) -> set[int]:
        found = set()
        for _ in range(12):
            headers = {"Content-Type": OCI_INDEX}
            assert server.request("PUT", "/v2/a/manifests/v1", pushed, headers)[0] == 201
            found.add(server.request("DELETE", "/v2/a/manifests/v1")[0])
        return found

    config.write_bytes(written(tmp_path))
    with running_server(tmp_path, "--workers", "3", config=config) as server:
        assert deletes(server) == {202}
        ruled = written(tmp_path, storage={"retention": {"policies": rules}})
        hang_up(server, lambda: config.write_bytes(ruled))
        assert deletes(server) == {409}
        hang_up(server, lambda: config.write_bytes(written(tmp_path)))
        assert deletes(server) == {202}


def uploads(server: Server) -> set[int]:
    """Begin uploads on 30 connections, which all workers get some of; returns their statuses."""
    return {server.request("POST", "/v2/a/blobs/uploads/")[0] for _ in range(30)}
