"""What the logs say of logins: how those that were right were made, and who was tried and why it was refused."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from tests.certificates import replace
from tests.images import OCI_INDEX, digest_of, index
from tests.server.test_logs import lines
from tests.servers import Server, completed, running_server, wait_until

REFUSED = {
    "reason": "the name, the password or the API key is wrong, or the key has expired or was revoked",
    "remedy": "check them, then log in again; make a new key if it is an old one",
}


def login(user: str, password: str) -> dict[str, str]:
    """Return the header of a name and a password."""
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


ALICE = login("alice", "password")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server with users and API keys, and with both logs."""
    hashed = bcrypt.hashpw(b"password", bcrypt.gensalt(4)).decode()
    (tmp_path / "users").write_text(f"alice:{hashed}\nbob:{hashed}\n")
    settings = {
        "http": {"port": 0, "auth": {"htpasswd": {"path": str(tmp_path / "users")}, "apikey": True}},
        "log": {"output": str(tmp_path / "log"), "audit": str(tmp_path / "audit")},
    }
    with running_server(tmp_path, "--workers", "1", settings=settings) as running:
        yield running


def make_key(server: Server) -> dict[str, Any]:
    """Let alice make an API key."""
    status, _, body = server.request("POST", "/zot/auth/apikey", b'{"label": "ci"}', ALICE)
    assert status == 201
    made: dict[str, Any] = json.loads(body)
    return made


def request_line(directory: Path, name: str) -> dict[str, Any]:
    """Return the line of a request, which is there soon."""
    log = directory / "log"
    wait_until(lambda: f'"request": "{name}"' in log.read_text(), "the request is logged")
    return next(line for line in lines(log) if line.get("request") == name)


def test_how_somebody_logged_in(server: Server, tmp_path: Path) -> None:
    """A push by password, by API key, by session and by nobody can be told from each other in both logs."""
    key = make_key(server)
    cookie = server.request("GET", "/v2/", headers=ALICE)[1]["set-cookie"].partition(";")[0]
    where = f"/v2/a/blobs/uploads/?digest={digest_of(b'x')}"
    for headers, status, proof in (
        (ALICE, 201, {"via": "password", "origin": "htpasswd"}),
        (login("alice", key["apiKey"]), 201, {"via": "API key", "origin": "htpasswd", "key": key["uuid"]}),
        ({"Cookie": cookie}, 201, {"via": "session", "origin": "htpasswd"}),
        ({}, 401, {}),
    ):
        answer = server.request("POST", where, b"x", headers)
        assert answer[0] == status
        audited = lines(tmp_path / "audit")[-1]
        logged = request_line(tmp_path, answer[1]["x-request-id"])
        for line, user in ((audited, audited["subject"]), (logged, logged["user"] or "anonymous")):
            assert user == ("alice" if proof else "anonymous")
            assert {name: line[name] for name in ("via", "origin", "key") if name in line} == proof
    written = (tmp_path / "audit").read_text() + (tmp_path / "log").read_text()
    assert key["apiKey"] not in written


def test_why_a_login_was_refused(server: Server, tmp_path: Path) -> None:
    """All wrong logins get the same answer, and the log tells them apart, without a password or the secret of a key."""
    revoked, good = make_key(server), make_key(server)
    assert server.request("DELETE", f"/zot/auth/apikey?id={revoked['uuid']}", headers=ALICE)[0] == 200
    canary, unknown = "canary-password", "zak_" + "0" * 32
    for user, password, refused in (
        ("alice", revoked["apiKey"], f"API key {revoked['uuid']} was revoked at [0-9T:+-]+"),
        ("bob", good["apiKey"], f"API key {good['uuid']} is another user's"),
        ("alice", unknown, "there is no such API key"),
        ("alice", canary, ""),
        ("nobody", canary, ""),
    ):
        status, headers, body = server.request("GET", "/v2/", headers=login(user, password))
        assert (status, json.loads(body)["errors"][0]["detail"]) == (401, REFUSED)
        line = request_line(tmp_path, headers["x-request-id"])
        assert (line["user"], line["triedUser"]) == ("", user)
        assert re.fullmatch(refused, line.get("refused", ""))
    written = (tmp_path / "log").read_text()
    assert all(secret not in written for secret in (canary, unknown, revoked["apiKey"], good["apiKey"]))


def test_who_was_tried_too_often(server: Server, tmp_path: Path) -> None:
    """Also the line of a login that is put off by 429 names who was tried; a request without a login names nobody."""
    # On a slow machine some are allowed meanwhile.
    answers = (server.request("GET", "/v2/", headers=login("mallory", "x")) for _ in range(1000))
    refused = next(headers for status, headers, _ in answers if status == 429)
    assert request_line(tmp_path, refused["x-request-id"])["triedUser"] == "mallory"
    anonymous = server.request("GET", "/v2/")
    assert "triedUser" not in request_line(tmp_path, anonymous[1]["x-request-id"])


def test_why_something_was_refused(tmp_path: Path) -> None:
    """Why a tag may not be moved, by rule or rights, is in the message, which is all that podman shows, and logged."""
    (tmp_path / "users").write_text("alice:" + bcrypt.hashpw(b"password", bcrypt.gensalt(4)).decode() + "\n")
    may = {"**": {"defaultPolicy": ["read", "create"]}, "free/**": {"defaultPolicy": ["read", "create", "update"]}}
    rules = [{"repositories": ["free/**"], "immutable": [{"patterns": ["^v"]}]}]
    settings: dict[str, Any] = {
        "storage": {"retention": {"policies": rules}},
        "http": {
            "port": 0,
            "auth": {"htpasswd": {"path": str(tmp_path / "users")}},
            "accessControl": {"repositories": may},
        },
        "log": {"output": str(tmp_path / "log"), "audit": str(tmp_path / "audit")},
    }
    headers = {"Content-Type": OCI_INDEX, **ALICE}
    with running_server(tmp_path, "--workers", "1", settings=settings) as server:
        for name, status, why in (
            ("free/a", 409, "the tag 'v1' of 'free/a' is immutable"),
            (
                "a",
                403,
                "'alice' may not update tags of repository 'a': it is decided by defaultPolicy of pattern '**'",
            ),
        ):
            where = f"/v2/{name}/manifests/v1"
            assert server.request("PUT", where, index(), headers)[0] == 201
            answer = server.request("PUT", where, index(annotations={"a": "b"}), headers)
            told = json.loads(answer[2])["errors"][0]["message"].partition(": ")[2]
            assert (answer[0], told) == (status, why)
            named = answer[1]["x-request-id"]
            audited = next(line for line in lines(tmp_path / "audit") if line.get("request") == named)
            assert (audited["refused"], request_line(tmp_path, named)["refused"]) == (told, told)


def test_a_key_where_keys_are_off(tmp_path: Path) -> None:
    """Who uses a key where there are none is told that the password is wrong, and the log says what it was."""
    (tmp_path / "users").write_text("alice:" + bcrypt.hashpw(b"password", bcrypt.gensalt(4)).decode() + "\n")
    settings = {
        "http": {"port": 0, "auth": {"htpasswd": {"path": str(tmp_path / "users")}}},
        "log": {"output": str(tmp_path / "log")},
    }
    with running_server(tmp_path, "--workers", "1", settings=settings) as server:
        answer = server.request("GET", "/v2/", headers=login("alice", "zak_" + "0" * 32))
        assert (answer[0], b"the name or the password is wrong" in answer[2]) == (401, True)
        line = request_line(tmp_path, answer[1]["x-request-id"])
        assert line["refused"] == "it has the form of an API key, and http.auth.apikey is not set"


def test_start_and_stop_are_logged(tmp_path: Path) -> None:
    """The file of the log says when the server started, with what, and when it stopped."""
    with running_server(tmp_path, "--workers", "1", settings={"log": {"output": str(tmp_path / "log")}}) as server:
        url = server.url
    said = [line["message"] for line in lines(tmp_path / "log")]
    started = said.index(
        next(one for one in said if one.startswith(f"the server has started, listening on {url}: zot "))
    )
    assert f"1 worker, storage in {server.root}" in said[started]
    assert said.index("the server stops; transfers get 30 s to end") > started
    assert said[-1] == "the server has stopped"


def test_reloads_are_audited(tmp_path: Path) -> None:
    """The audit log says which keys were taken over, or why a file was refused, and whether a signal asked for it."""
    config, log = tmp_path / "config.json", {"audit": str(tmp_path / "audit")}

    def write(**more: object) -> None:
        replace(config, json.dumps(completed(tmp_path / "root", {"log": log | more})).encode())

    def reloads() -> list[dict[str, Any]]:
        return [line for line in lines(tmp_path / "audit") if line["action"] == "RELOAD"]

    with running_server(tmp_path, "--workers", "1", settings={"log": log}) as server:
        for level, result, reason in (
            ("debug", "taken over", "log.level"),
            ("loud", "refused", "log.level: .*'loud'.*"),
        ):
            before = len(reloads())
            write(level=level)
            wait_until(lambda before=before: len(reloads()) > before, "the change is audited")  # type: ignore[misc]
            last = reloads()[-1]
            assert (last["subject"], last["object"], last["by"]) == ("zot serve", str(config), "a changed file")
            assert last["result"] == result
            assert re.search(reason, last["reason"])
        server.process.send_signal(1)
        wait_until(lambda: reloads()[-1]["by"] == "SIGHUP", "the signal is audited")
        assert reloads()[-1]["pid"] == server.pid
