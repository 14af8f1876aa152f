"""TLS: what is spoken, what is refused, and certificates that change while the server runs."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import socket
import ssl
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from tests.certificates import Authority, replace
from tests.images import digest_of
from tests.pace import Pace, keep_pace
from tests.server.test_logs import lines
from tests.servers import PATIENCE, Server, completed, environment, running_server, wait_until, workers, zot


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority, and what it issued to the server."""
    return Authority(tmp_path)


@contextmanager
def serving(directory: Path, authority: Authority) -> Iterator[Server]:
    """Run a server with TLS and one worker, so that what a worker logs is there once."""
    settings = {"http": {"port": 0, "tls": authority.tls}}
    with running_server(directory, "--workers", "1", settings=settings, authority=authority.file) as running:
        yield running


@pytest.fixture
def server(tmp_path: Path, authority: Authority) -> Iterator[Server]:
    """A server whose certificate a test may replace."""
    with serving(tmp_path, authority) as running:
        yield running


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for all tests that leave its certificate alone."""
    directory = tmp_path_factory.mktemp("tls")
    with serving(directory, Authority(directory)) as running:
        yield running


def serial(server: Server) -> str:
    """Return the serial number of the certificate that a new connection is shown."""
    trusting = ssl.create_default_context(cafile=server.authority)
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as plain,
        trusting.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        found = connection.getpeercert()
        assert found is not None
        return str(found["serialNumber"])


def test_large_blobs_go_in_and_out(lasting: Server) -> None:
    """A blob of many TLS records is taken as one body and in chunks, and served whole and in ranges."""
    assert lasting.url.startswith("https://")
    content = os.urandom(1024 * 1024) * 9 + b"end"
    digest = digest_of(content)
    with closing(lasting.connect()) as connection:
        for body in (content, iter([content[:5000], content[5000:]])):
            name = "whole" if isinstance(body, bytes) else "chunked"
            connection.request("POST", f"/v2/{name}/blobs/uploads/?digest={digest}", body)
            assert (connection.getresponse().read(), lasting.request("GET", f"/v2/{name}/blobs/{digest}")[2]) == (
                b"",
                content,
            )
        for first, last in ((0, 99), (5_000_000, 7_000_000)):
            connection.request("GET", f"/v2/whole/blobs/{digest}", headers={"Range": f"bytes={first}-{last}"})
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (206, content[first : last + 1])


def test_a_small_range_of_a_large_blob_reads_no_more(lasting: Server) -> None:
    """Serving a few bytes of a blob costs the worker as many bytes, and not the rest of the file."""
    content = b"x" * (64 * 1024 * 1024)
    digest = digest_of(content)
    assert lasting.request("POST", f"/v2/a/blobs/uploads/?digest={digest}", content)[0] == 201
    (worker,) = workers(lasting)
    before = bytes_read(worker)
    assert lasting.request("GET", f"/v2/a/blobs/{digest}", headers={"Range": "bytes=1-10"})[2] == b"x" * 10
    assert bytes_read(worker) - before < 2 * 1024 * 1024


def bytes_read(pid: int) -> int:
    """Return how many bytes a process has read, of files and connections."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("rchar"))


def test_pipelined_requests_are_all_answered(lasting: Server) -> None:
    """Requests that arrive in one TLS record, which the kernel shows once, are answered one after the other."""
    trusting = ssl.create_default_context(cafile=lasting.authority)
    with (
        socket.create_connection(("127.0.0.1", lasting.port), timeout=PATIENCE) as plain,
        trusting.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        filler = f"X-Filler: {'x' * 3000}\r\n"
        request = f"GET /v2/ HTTP/1.1\r\nHost: x\r\n{filler}\r\n"
        connection.sendall((request * 4 + "GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").encode())
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    assert answer.count(b"HTTP/1.1 200") == 5


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_new_versions_are_spoken(lasting: Server, version: ssl.TLSVersion) -> None:
    """A client may speak TLS 1.2 or 1.3."""
    trusting = ssl.create_default_context(cafile=lasting.authority)
    trusting.minimum_version = trusting.maximum_version = version
    with closing(
        http.client.HTTPSConnection("127.0.0.1", lasting.port, timeout=PATIENCE, context=trusting)
    ) as connection:
        connection.request("GET", "/v2/")
        assert connection.getresponse().status == 200


def test_old_versions_are_refused(lasting: Server) -> None:
    """A client that speaks TLS 1.1 at best does not get in, and that is logged."""
    trusting = ssl.create_default_context(cafile=lasting.authority)
    trusting.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        trusting.minimum_version = trusting.maximum_version = ssl.TLSVersion.TLSv1_1
    before = lasting.log.read_text().count("TLS connection failed")
    connection = http.client.HTTPSConnection("127.0.0.1", lasting.port, timeout=PATIENCE, context=trusting)
    with closing(connection), pytest.raises(ssl.SSLError, match="VERSION"):
        connection.request("GET", "/v2/")
    wait_until(lambda: lasting.log.read_text().count("TLS connection failed") > before, "the refusal is logged")


def test_plain_http_is_told_so(lasting: Server) -> None:
    """A request in plain HTTP gets an error document that says what to do; the log says what it was, in words."""
    connection = http.client.HTTPConnection("127.0.0.1", lasting.port, timeout=PATIENCE)
    connection.request("GET", "/v2/")
    answer = connection.getresponse()
    assert answer.status == 400
    assert json.loads(answer.read())["errors"][0]["detail"]["remedy"] == "use https://"
    connection.close()
    said = "the client spoke plain HTTP, and this port speaks HTTPS"
    wait_until(lambda: said in lasting.log.read_text(), "the request is logged")


@pytest.mark.parametrize("begun", [b"", b"\x16", b"\x16\x03\x01\x00\xf0 nonsense" + b"\x00" * 300])
def test_a_client_that_shakes_no_hands_is_dropped(tmp_path: Path, authority: Authority, begun: bytes) -> None:
    """Whoever connects and is silent, also after a first byte, or sends nonsense, is dropped without a traceback."""
    settings = {"http": {"port": 0, "tls": authority.tls}}
    with (
        running_server(tmp_path, "--idle-timeout", "1", settings=settings) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=40) as connection,
    ):
        connection.sendall(begun)
        while connection.recv(4096):
            pass


def test_a_silent_client_is_dropped(tmp_path: Path, authority: Authority) -> None:
    """A body that stands still for the idle time is answered with 408; one that goes on slowly is taken."""
    settings = {"http": {"port": 0, "tls": authority.tls}}
    with running_server(tmp_path, "--idle-timeout", "1", settings=settings, authority=authority.file) as server:
        where = server.request("POST", "/v2/a/blobs/uploads/")[1]["location"]

        def send(pieces: int, rest: Callable[[float], None]) -> int:
            with closing(server.connect(timeout=40)) as connection:
                connection.putrequest("PATCH", where)
                connection.putheader("Content-Length", "700")
                connection.endheaders(b"x" * 100)
                for _ in range(pieces):
                    rest(0.4)
                    connection.send(b"x" * 100)
                return connection.getresponse().status

        def whole(pace: Pace) -> None:
            assert send(6, pace.rest) == 202

        keep_pace(0.8, whole)
        assert send(0, time.sleep) == 408


def test_a_renewed_certificate_is_taken(server: Server, authority: Authority) -> None:
    """New connections see a renewed certificate at once; one that was there before goes on."""
    before = serial(server)
    with closing(server.connect()) as old:
        old.request("GET", "/v2/")
        old.getresponse().read()
        used = old.sock
        authority.renew()
        assert serial(server) != before
        old.request("GET", "/v2/")
        assert (old.getresponse().status, old.sock) == (200, used)


def test_a_renewal_is_no_warning_unless_it_ends_soon(server: Server, authority: Authority) -> None:
    """A renewed certificate is told at level info with its end; one that ends within the month is warned of."""

    def said() -> list[dict[str, str]]:
        return [line for line in lines(server.log) if "which is valid" in line["message"]]

    for count, ends in enumerate((None, datetime.now(UTC) + timedelta(days=5))):
        authority.renew(ends)
        serial(server)
        wait_until(lambda count=count: len(said()) > count, "the renewal is logged")  # type: ignore[misc]
    late, soon = said()
    assert (late["level"], soon["level"]) == ("info", "warning")
    assert "soon" not in late["message"]
    assert f"valid until {ends:%Y-%m-%d}" in soon["message"]
    assert soon["message"].endswith("which is soon: renew it")


def test_a_broken_pair_is_refused(server: Server, authority: Authority) -> None:
    """A key that is not the certificate's is logged once and not taken; the old pair serves on until both are good."""
    before, good = serial(server), authority.key.read_bytes()
    other = server.root.parent / "other"
    other.mkdir()
    replace(authority.key, Authority(other).key.read_bytes())
    assert [serial(server), serial(server)] == [before, before]
    assert server.log.read_text().count("is not the key of") == 1
    authority.cert.unlink()
    assert serial(server) == before
    assert "can't be read: No such file" in server.log.read_text()
    replace(authority.key, good)
    authority.renew()
    assert serial(server) != before


@pytest.mark.parametrize(
    ("cert", "key", "problem"),
    [
        ("cert.pem", "none.pem", "http.tls.key: the file none.pem can't be read: no such file or directory"),
        ("bad.pem", "key.pem", "http.tls.cert: bad.pem holds no certificate in PEM format"),
        ("cert.pem", "bad.pem", "http.tls.key: bad.pem holds no key in PEM format"),
        (
            "cert.pem",
            "encrypted.pem",
            "http.tls.key: encrypted.pem is encrypted with a pass phrase; store it",
        ),
        ("cert.pem", "other/key.pem", "http.tls.key: other/key.pem is not the key of cert.pem; give both of one pair"),
    ],
)
def test_what_is_wrong_at_start_is_said_in_one_line(
    tmp_path: Path, authority: Authority, cert: str, key: str, problem: str
) -> None:
    """A certificate or key that can't be used stops the start with one line and status 1, and verify says the same."""
    (tmp_path / "bad.pem").write_text("bad")
    encrypted = ["openssl", "pkey", "-in", str(authority.key), "-aes128", "-passout", "pass:x", "-out", "encrypted.pem"]
    subprocess.run(encrypted, cwd=tmp_path, check=True)
    (tmp_path / "other").mkdir()
    Authority(tmp_path / "other")
    settings = completed(tmp_path / "root", {"http": {"port": 0, "tls": {"cert": cert, "key": key}}})
    (tmp_path / "config.json").write_text(json.dumps(settings))
    for arguments in (["serve", "config.json"], ["verify", "--quiet", "config.json"]):
        # Nobody is asked at the terminal, though there is one.
        terminal, other = os.openpty()
        done = subprocess.run(
            zot(*arguments), cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False, stdin=other,
            preexec_fn=partial(_controlled_by, other), timeout=PATIENCE,
        )  # fmt: skip
        os.close(terminal)
        os.close(other)
        assert done.returncode == 1
        assert problem in done.stderr
        assert done.stderr.startswith("config.json:1:")


def _controlled_by(terminal: int) -> None:
    """Give this process a terminal, as a shell does."""
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
