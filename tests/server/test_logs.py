"""What a server logs: a line for each request, and one in the audit log for each change."""

from __future__ import annotations

import json
import re
import subprocess
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from tests.images import digest_of
from tests.server.test_reload import load
from tests.server.test_serving import push_image
from tests.servers import Server, running_server, wait_until

ALICE = {"Authorization": "Basic " + b64encode(b"alice:canary-password").decode()}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that alice may write to and everybody may read, with log files."""
    users = tmp_path / "users"
    users.write_text("alice:" + bcrypt.hashpw(b"canary-password", bcrypt.gensalt(4)).decode() + "\n")
    rights = {"policies": [{"users": ["alice"], "actions": ["read", "create", "delete"]}], "anonymousPolicy": ["read"]}
    settings = {
        "http": {
            "port": 0,
            "auth": {"htpasswd": {"path": str(users)}},
            "accessControl": {"repositories": {"**": rights}},
        },
        "log": {"output": str(tmp_path / "log"), "audit": str(tmp_path / "audit")},
    }
    with running_server(tmp_path, "--workers", "2", settings=settings) as running:
        yield running


def lines(file: Path) -> list[dict[str, Any]]:
    """Return the lines of a log, but for one that is being written."""
    return [json.loads(line) for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]


def test_every_request_has_a_line(server: Server, tmp_path: Path) -> None:
    """A request's line has what was asked, by whom, from where, and what came of it, how long it took, and its name."""
    content = b"x" * 5000
    digest = digest_of(content)
    named = ALICE | {"X-Request-Id": "from-a-proxy.1", "User-Agent": "test/1"}
    answer = server.request("POST", f"/v2/some/repo/blobs/uploads/?digest={digest}", content, named)
    assert (answer[0], answer[1]["x-request-id"]) == (201, "from-a-proxy.1")
    given = [server.request("GET", f"/v2/some/repo/blobs/{digest}")[1]["x-request-id"] for _ in range(2)]
    assert given[0] != given[1]
    assert all(re.fullmatch("[0-9a-f]{16}", name) for name in given)
    server.request("HEAD", f"/v2/some/repo/blobs/{digest}", headers={"X-Request-Id": "evil\tname"})

    wait_until(lambda: tmp_path.joinpath("log").read_text().count('"message": "request"') == 4, "all are logged")
    # Each worker writes its own, so their order is no matter.
    by_name = {line["request"]: line for line in lines(tmp_path / "log") if line["message"] == "request"}
    push, pull = by_name["from-a-proxy.1"], by_name[given[0]]
    (head,) = (line for line in by_name.values() if line["method"] == "HEAD")
    assert push.pop("milliseconds") > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", push.pop("time"))
    assert push == {
        "level": "info", "logger": "zot.http", "module": "http", "message": "request", "method": "POST",
        "path": "/v2/some/repo/blobs/uploads/", "repository": "some/repo", "status": 201, "bytes": 0, "received": 5000,
        "client": "127.0.0.1", "user": "alice", "via": "password",
        "origin": "htpasswd", "agent": "test/1", "request": "from-a-proxy.1",
    }  # fmt: skip
    assert (pull["bytes"], pull["user"], pull["request"]) == (5000, "", given[0])
    assert (head["bytes"], head["status"]) == (0, 200)
    assert re.fullmatch("[0-9a-f]{16}", head["request"])


def test_every_change_is_audited(server: Server, tmp_path: Path) -> None:
    """Who was told of a change, or of a refusal, finds it in the audit log: who, what, from where and the result."""
    digest = digest_of(b"x")
    where = f"/v2/a/blobs/uploads/?digest={digest}"
    bad = {"Authorization": "Basic " + b64encode(b"alice:wrong-password").decode()}
    for headers, status, subject in ((ALICE, 201, "alice"), ({}, 401, "anonymous"), (bad, 401, "anonymous")):
        answer = server.request("POST", where, b"x", headers)
        assert answer[0] == status
        last = lines(tmp_path / "audit")[-1]
        assert {key: last[key] for key in ("message", "subject", "action", "object", "repository", "clientIP")} == {
            "message": "HTTP API Audit",
            "subject": subject,
            "action": "POST",
            "object": where,
            "repository": "a",
            "clientIP": "127.0.0.1",
        }
        assert (last["status"], last["request"]) == (status, answer[1]["x-request-id"])
    server.request("GET", f"/v2/a/blobs/{digest}")
    assert server.request("DELETE", "/v2/a/manifests/v1", headers=ALICE)[0] == 404
    assert [(line["action"], line["status"]) for line in lines(tmp_path / "audit")] == [
        ("POST", 201),
        ("POST", 401),
        ("POST", 401),
        ("DELETE", 404),
    ]


def test_no_password_is_logged(server: Server, tmp_path: Path) -> None:
    """What proves who somebody is stands in no log, be it right or wrong, in a header or in an address."""
    wrong = "Basic " + b64encode(b"alice:canary-wrong").decode()
    for headers in (
        ALICE,
        {"Authorization": wrong},
        {"Authorization": "Bearer canary-token"},
        {"Cookie": "session=canary-cookie"},
    ):
        server.request("GET", "/v2/", headers=headers)
        server.request("POST", "/zot/auth/apikey?secret=canary-query", b"{}", headers)
    server.stop()
    written = (tmp_path / "log").read_text() + (tmp_path / "audit").read_text() + server.log.read_text()
    for secret in ("canary", ALICE["Authorization"].split()[1], wrong.split()[1]):
        assert secret not in written


def test_an_answer_that_breaks_off_is_told(server: Server, tmp_path: Path) -> None:
    """The line of a request whose client left in the middle of the answer says so."""
    content = b"x" * (64 * 1024 * 1024)
    digest = digest_of(content)
    assert server.request("POST", f"/v2/a/blobs/uploads/?digest={digest}", content, ALICE)[0] == 201
    connection = server.connect()
    connection.request("GET", f"/v2/a/blobs/{digest}")
    connection.getresponse().read(100)
    connection.close()
    wait_until(lambda: any(line.get("aborted") for line in lines(tmp_path / "log")), "the line is there")


@pytest.mark.e2e
@pytest.mark.parametrize("way", ["create", "copytruncate", "nocreate"])
def test_logrotate(tmp_path: Path, need: Callable[..., str], way: str) -> None:
    """The real logrotate, in each of its ways and under load, loses no whole line but those of `copytruncate`'s gap."""
    log = tmp_path / "log"
    (tmp_path / "rotate.conf").write_text(f"{log} {{\n rotate 9\n {way}\n su root root\n}}\n")
    command = [need("logrotate"), "--force", "--state", str(tmp_path / "state"), str(tmp_path / "rotate.conf")]
    with running_server(tmp_path, "--workers", "2", settings={"log": {"output": str(log)}}) as server:
        with load(server, 2) as done:
            for number in range(3):
                subprocess.run(command, check=True)
                # The old file may have lines of one more second.
                wait_until(lambda: log.exists() and log.stat().st_size, "lines go to the new file")
                assert (tmp_path / f"log.{number + 1}").exists()
            count = done
        push_image(server, "a", "last")
        server.stop()
        files = [log, *(tmp_path / f"log.{number}" for number in (1, 2, 3))]
        written = [line for file in files for line in lines(file)]
        assert any(line.get("path") == "/v2/a/manifests/last" for line in written)
        if way != "copytruncate":
            assert sum(line.get("path") == "/v2/" for line in written) == count()
