"""Limits of a whole server: how often clients may ask, and how long they may be silent."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.images import digest_of
from tests.server.test_reload import hang_up, written
from tests.servers import running_server


def test_a_rate_holds_over_all_workers(tmp_path: Path) -> None:
    """A client gets what its rate allows, no more on three workers than on one, and by method; a reload changes it."""
    limit = {"rate": 40, "methods": [{"method": "POST", "rate": 2}]}
    config = tmp_path / "config.json"
    config.write_bytes(written(tmp_path, http={"port": 0, "ratelimit": limit}))
    with running_server(tmp_path, "--workers", "3", config=config) as server:
        began, served = time.monotonic(), 0
        for _ in range(120):
            status, headers, body = server.request("GET", "/v2/")
            assert status in (200, 429)
            served += status == 200
            if status == 429:
                assert int(headers["retry-after"]) >= 1
                assert json.loads(body)["errors"][0]["code"] == "TOOMANYREQUESTS"
        allowed = 40 + 40 * (time.monotonic() - began)
        assert 40 <= served <= allowed * 1.05 + 1
        time.sleep(1)
        began = time.monotonic()
        posts = [server.request("POST", "/v2/a/blobs/uploads/")[0] for _ in range(30)]
        assert posts[:2] == [202, 202]
        assert posts.count(202) <= (2 + 2 * (time.monotonic() - began)) * 1.05 + 1
        assert set(posts) <= {202, 429}
        hang_up(server, lambda: config.write_bytes(written(tmp_path, http={"port": 0})))
        assert {server.request("POST", "/v2/a/blobs/uploads/")[0] for _ in range(60)} == {202}


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_a_refused_push_is_told_so(tmp_path: Path, secure: bool) -> None:
    """A client that sends a large body too often, and reads only when it has sent, gets its 429 each time."""
    authority = Authority(tmp_path)
    http = {"port": 0, "ratelimit": {"rate": 1}} | ({"tls": authority.tls} if secure else {})
    content = b"x" * (8 * 1024 * 1024)
    where = f"/v2/a/blobs/uploads/?digest={digest_of(content)}"
    with running_server(tmp_path, settings={"http": http}, authority=authority.file if secure else None) as server:
        refused = 0
        while refused < 6:
            # What was allowed in this second.
            server.request("GET", "/v2/")
            status = server.request("POST", where, content)[0]
            assert status in (201, 429)
            refused += status == 429


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_a_head_that_is_dripped_ends(tmp_path: Path, secure: bool) -> None:
    """A client that sends the head of its request byte by byte is cut off in the end; others are served meanwhile."""
    authority = Authority(tmp_path)
    http = {"port": 0, "readTimeout": "2s"} | ({"tls": authority.tls} if secure else {})
    with (
        running_server(tmp_path, settings={"http": http}, authority=authority.file if secure else None) as server,
        closing(server.connect()) as dripping,
    ):
        dripping.connect()
        head = b"GET /v2/ HTTP/1.1\r\nX-Long: " + b"x" * 600
        sent = 0
        with suppress(OSError):
            for sent in range(len(head)):
                dripping.sock.send(head[sent : sent + 1])
                time.sleep(0.05)
        assert 0 < sent < len(head) - 1
        assert server.request("GET", "/v2/")[0] == 200


def test_silence_has_two_limits(tmp_path: Path) -> None:
    """http.readTimeout drops a client that sends nothing, and http.writeTimeout is another time."""
    settings = {"http": {"port": 0, "readTimeout": "1500ms", "writeTimeout": "1h"}}
    with (
        running_server(tmp_path, settings=settings) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=40) as connection,
    ):
        began = time.monotonic()
        connection.sendall(b"GET /v2/ HT")
        while connection.recv(4096):
            pass
        assert time.monotonic() - began > 1


def test_no_limit_on_silence(tmp_path: Path) -> None:
    """With 0 a client may be silent in the middle of its body for as long as it likes."""
    settings = {"http": {"port": 0, "readTimeout": "0", "writeTimeout": "0"}}
    with running_server(tmp_path, settings=settings) as server, closing(server.connect()) as connection:
        where = server.request("POST", "/v2/a/blobs/uploads/")[1]["location"]
        connection.putrequest("PATCH", where)
        connection.putheader("Content-Length", "2")
        connection.endheaders(b"x")
        time.sleep(2)
        connection.send(b"x")
        assert connection.getresponse().status == 202


@pytest.mark.e2e
def test_a_slow_push_goes_on_beyond_the_timeouts(tmp_path: Path, need: Callable[..., str]) -> None:
    """Curl pushes 12 MB at 2 MB a second, three times as long as both timeouts, and pulls it as slowly."""
    content = b"0123456789abcdef" * (12 * 1024 * 1024 // 16)
    (tmp_path / "blob").write_bytes(content)
    settings = {"http": {"port": 0, "readTimeout": "2s", "writeTimeout": "2s"}}
    with running_server(tmp_path, settings=settings) as server:
        where = server.request("POST", "/v2/a/blobs/uploads/")[1]["location"]
        address = f"{server.url}{where}?digest={digest_of(content)}"
        curl = [need("curl"), "-sS", "--fail", "--limit-rate", "2M"]
        began = time.monotonic()
        subprocess.run([*curl, "-T", str(tmp_path / "blob"), address], check=True)
        assert time.monotonic() - began > 5
