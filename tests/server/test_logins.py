"""Logins on a real server with several workers."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from tests.certificates import replace
from tests.hostile.wire import Wire
from tests.server.test_reload import hang_up
from tests.servers import Server, running_server

CANARY = "c4n4ry-0f-a-password"


def basic(user: str, password: str) -> dict[str, str]:
    """Return the headers of a login."""
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


def write_users(path: Path, **users: str) -> None:
    """Write an htpasswd file with cheap hashes, in one step."""
    lines = [
        f"{user}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()}\n" for user, password in users.items()
    ]
    new = path.with_suffix(".new")
    new.write_text("".join(lines))
    new.replace(path)


def write_config(directory: Path, **http: Any) -> Path:
    """Write a configuration with the users of `directory/htpasswd` and more; returns its path."""
    auth = {"htpasswd": {"path": str(directory / "htpasswd")}, **http.pop("auth", {})}
    path = directory / "config.json"
    storage = {"rootDirectory": str(directory / "root")}
    path.write_text(json.dumps({"storage": storage, "http": {"port": 0, "auth": auth, **http}}))
    return path


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Server]:
    """A server with two workers of eight threads, one user, and a delay of failures."""
    write_users(tmp_path / "htpasswd", alice=CANARY)
    config = write_config(tmp_path, auth={"failDelay": 1}, realm="here")
    with running_server(tmp_path, "--workers", "2", "--threads", "8", config=config) as server:
        yield server


def test_a_login(guarded: Server) -> None:
    """With htpasswd and without accessControl everybody who logs in may do everything, and nobody else anything."""
    for path in ("/v2/", "/v2/_catalog", "/v2/a/tags/list"):
        status, headers, body = guarded.request("GET", path)
        assert (status, headers["www-authenticate"]) == (401, 'Basic realm="here"')
        assert json.loads(body)["errors"][0]["code"] == "UNAUTHORIZED"
    for _ in range(8):
        assert guarded.request("GET", "/v2/", headers=basic("alice", CANARY))[0] == 200
    for user, password in (("alice", "wrong"), ("bob", CANARY)):
        assert guarded.request("GET", "/v2/", headers=basic(user, password))[0] == 401
    assert guarded.request("GET", "/livez")[0] == 200
    with Wire(guarded) as wire:
        header = f"Authorization: {basic('alice', CANARY)['Authorization']}\r\n"
        wire.send(f"GET /v2/ HTTP/1.1\r\nHost: x\r\n{header}{header}\r\n".encode())
        answer = wire.answer()
    assert answer is not None
    assert answer.status == 401
    guarded.stop()
    log = guarded.log.read_text()
    assert CANARY not in log
    assert basic("alice", CANARY)["Authorization"][6:] not in log


def test_a_user_who_is_removed(guarded: Server) -> None:
    """Whoever is taken out of the file, or gets another password, is out with the next request on every worker."""
    write_users(guarded.root.parent / "htpasswd", alice="one", bob="two")
    old, new = basic("alice", "one"), basic("bob", "two")
    assert {guarded.request("GET", "/v2/", headers=old)[0] for _ in range(12)} == {200}
    write_users(guarded.root.parent / "htpasswd", alice="another", bob="two")
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(guarded.request, "GET", "/v2/", None, old) for _ in range(4)]
        assert {one.result()[0] for one in answers} <= {401, 429}
    assert guarded.request("GET", "/v2/", headers=new)[0] == 200


def test_failures_that_wait_leave_threads_free(guarded: Server) -> None:
    """Of many wrong logins at once a quarter of the threads wait, the others get 429; the rest goes on meanwhile."""
    with ThreadPoolExecutor(24) as pool:
        wrong = [pool.submit(guarded.request, "GET", "/v2/", None, basic(f"eve{n}", "x")) for n in range(24)]
        right = [guarded.request("GET", "/livez")[0] for _ in range(10)]
        answers = [one.result() for one in wrong]
    statuses = [status for status, _, _ in answers]
    assert right == [200] * 10
    assert set(statuses) == {401, 429}
    assert all("retry-after" in headers for status, headers, _ in answers if status == 429)


def test_keys_that_sign_sessions(tmp_path: Path) -> None:
    """With sessionKeysFile a session is good on every worker and after a restart; another key, by SIGHUP, ends it."""
    write_users(tmp_path / "htpasswd", alice=CANARY)
    keys = tmp_path / "keys.json"
    replace(keys, b'{"hashKey": "one-key-of-thirty-two-characters", "encryptKey": "another-one-with-32-characters.."}')
    config = write_config(tmp_path, auth={"sessionKeysFile": str(keys)})

    def begin(server: Server) -> dict[str, str]:
        cookie = server.request("GET", "/v2/", headers=basic("alice", CANARY))[1]["set-cookie"]
        return {"Cookie": cookie.partition(";")[0]}

    def answers(server: Server, session: dict[str, str]) -> set[int]:
        return {server.request("GET", "/v2/_catalog", headers=session)[0] for _ in range(9)}

    with running_server(tmp_path, "--workers", "3", config=config) as server:
        first = begin(server)
        assert answers(server, first) == {200}
    with running_server(tmp_path, "--workers", "3", config=config) as server:
        assert answers(server, first) == {200}
        hang_up(server, lambda: replace(keys, b'{"hashKey": "two-key-of-thirty-two-characters"}'))
        assert answers(server, first) == {401}
        assert answers(server, begin(server)) == {200}
        assert "-key-of-thirty" not in server.log.read_text()
