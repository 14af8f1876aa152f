"""The guarded session, against servers that try to lead it astray."""

from __future__ import annotations

import gzip
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.background import answering
from tests.servers import PATIENCE, wait_until
from zot.addresses import OutgoingError
from zot.outgoing import Guarded, Limits, Reach

# Each of these is met alone: a busy machine makes everything slow.
SMALL = Limits(size=10_000, idle=PATIENCE, total=PATIENCE)
SOON = Limits(idle=0.5, total=PATIENCE)
SHORT = Limits(idle=PATIENCE, total=1.0)
Answer = Callable[[BaseHTTPRequestHandler], None]


class Peer:
    """A server that answers as the test says and notes what reached it."""

    def __init__(self, url: str, answers: dict[str, Answer]) -> None:
        self.url = url
        self.answers = answers
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []


@contextmanager
def peer(address: str = "127.0.0.1", authority: trustme.CA | None = None) -> Iterator[Peer]:
    """Run a server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found.seen.append((self.command, self.path, dict(self.headers), body))
            found.answers[self.path](self)

        do_POST = do_GET  # noqa: N815  # named by the library

        def log_message(self, *_: Any) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None: ...

    with Server((address, 0), Handler) as server:
        scheme = "http"
        if authority is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            authority.issue_cert(address).configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
            scheme = "https"
        found = Peer(f"{scheme}://{address}:{server.server_address[1]}", {"/": says(b"hello")})
        with answering(server):
            yield found


def says(body: bytes, status: int = 200, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


def drips(request: BaseHTTPRequestHandler) -> None:
    """Send an answer whose pieces come soon enough one after the other, and never end."""
    request.send_response(200)
    request.end_headers()
    while True:
        request.wfile.write(b"x")
        time.sleep(0.1)


def drips_headers(request: BaseHTTPRequestHandler) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    drip = b"y"
    while True:
        request.wfile.write(drip)
        time.sleep(0.1)


def pours(request: BaseHTTPRequestHandler) -> None:
    """Send a body without a length, and much of it."""
    request.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 10_000_000)


def stalls(request: BaseHTTPRequestHandler) -> None:
    time.sleep(1.5)


@pytest.fixture
def here() -> Iterator[Peer]:
    """The server that the configuration names."""
    with peer() as server:
        yield server


@pytest.fixture
def elsewhere() -> Iterator[Peer]:
    """A server that it does not name."""
    with peer() as server:
        yield server


def test_an_allowed_host_is_asked(here: Peer) -> None:
    """What a configured host answers is there, whole."""
    assert Guarded(Reach([here.url])).get(here.url + "/").content == b"hello"


def test_a_host_that_is_not_configured_is_not_asked(here: Peer, elsewhere: Peer) -> None:
    """Neither another port nor another scheme, name or spelling of it is reached."""
    session = Guarded(Reach([here.url]))
    port = here.url.rpartition(":")[2]
    for url in (
        elsewhere.url + "/", here.url.replace("http:", "https:"), f"http://localhost:{port}/", "file:///etc/passwd",
        f"http://user@127.0.0.1:{port}/", f"http://127.0.0.1:{port}\\@example.org/", f"http://2130706433:{port}/", "http://[::1/",
    ):  # fmt: skip
        with pytest.raises(OutgoingError):
            session.get(url)
    assert not elsewhere.seen
    assert not here.seen


def test_a_redirect_to_another_host_is_refused(here: Peer, elsewhere: Peer) -> None:
    """Quay's CVE-2026-2376: each hop is checked, also where it leads to the credentials of a cloud's machine."""
    for target in (elsewhere.url + "/", "http://169.254.169.254/latest/meta-data/", "//169.254.169.254/", "ftp://a/b"):
        here.answers["/go"] = says(b"", 302, Location=target)
        with pytest.raises(OutgoingError, match=r"not among the hosts|only addresses like"):
            Guarded(Reach([here.url])).get(here.url + "/go")
    assert not elsewhere.seen


def test_a_redirect_within_what_is_allowed_is_followed(here: Peer) -> None:
    """A host may send a GET to another of its addresses; credentials stay, as the host is the same."""
    here.answers["/go"] = says(b"", 307, Location="/")
    answer = Guarded(Reach([here.url])).get(here.url + "/go", headers={"Authorization": "Bearer t"})
    assert answer.content == b"hello"
    assert here.seen[-1][2]["Authorization"] == "Bearer t"


def test_credentials_do_not_cross_hosts(here: Peer, elsewhere: Peer) -> None:
    """CVE-2026-33540, CVE-2026-48978: a redirect to another allowed host takes no header along that says who asks."""
    here.answers["/go"] = says(b"", 302, Location=elsewhere.url + "/")
    session = Guarded(Reach([here.url, elsewhere.url]))
    headers = {"Authorization": "Bearer t", "Cookie": "a=b", "Private-Token": "p", "Accept": "text/plain"}
    assert session.get(here.url + "/go", headers=headers).content == b"hello"
    passed = {name.lower() for name in elsewhere.seen[0][2]}
    assert passed == {"host", "accept", "user-agent", "accept-encoding"}


def test_what_is_posted_is_not_redirected(here: Peer) -> None:
    """A secret in a body goes to the address that was asked, and nowhere else, on the same host neither."""
    here.answers["/token"] = says(b"", 307, Location="/")
    with pytest.raises(OutgoingError, match="redirects a POST"):
        Guarded(Reach([here.url])).post(here.url + "/token", data={"client_secret": "s"})
    assert len(here.seen) == 1


def test_redirects_end(here: Peer) -> None:
    """A circle of redirects is left."""
    here.answers["/go"] = says(b"", 302, Location="/go")
    with pytest.raises(OutgoingError, match="more than 3 times"):
        Guarded(Reach([here.url])).get(here.url + "/go")


def test_cookies_are_not_kept(here: Peer) -> None:
    """What one answer sets, the next request does not bring."""
    here.answers["/go"] = says(b"", 302, Location="/", Set_Cookie="a=b; Path=/")
    session = Guarded(Reach([here.url]))
    session.get(here.url + "/go")
    session.get(here.url + "/")
    assert all("Cookie" not in seen[2] for seen in here.seen)


def test_an_answer_is_bounded(here: Peer) -> None:
    """Neither a long body, nor one that grows when it is unpacked, nor one without a length, fills the memory."""
    here.answers["/long"] = says(b"x" * 10_001)
    here.answers["/packed"] = says(gzip.compress(b"x" * 50_000_000), Content_Encoding="gzip")
    here.answers["/endless"] = pours
    here.answers["/fits"] = says(b"x" * 10_000)
    session = Guarded(Reach([here.url]), SMALL)
    assert len(session.get(here.url + "/fits").content) == 10_000
    for path in ("/long", "/packed", "/endless"):
        with pytest.raises(OutgoingError, match="more than 10000 bytes"):
            session.get(here.url + path)


def test_an_answer_comes_in_time(here: Peer) -> None:
    """A server that stands still is given up, and one that drips, in its headers or its body, as well."""
    here.answers |= {"/stalls": stalls, "/drips": drips, "/drips-headers": drips_headers}
    with pytest.raises(OutgoingError, match="does not answer"):
        Guarded(Reach([here.url]), SOON).get(here.url + "/stalls")
    session = Guarded(Reach([here.url]), SHORT)
    for path in ("/drips", "/drips-headers"):
        with pytest.raises(OutgoingError, match="did not answer whole within 1 seconds"):
            session.get(here.url + path)

    def is_answered() -> bool:
        try:
            return session.get(here.url + "/").content == b"hello"
        except OutgoingError:
            return False

    wait_until(is_answered, "the next request is answered")


def test_a_host_that_hangs_in_the_handshake_is_given_up() -> None:
    """The time counts from the connection, so that a TLS server which never speaks holds nobody up."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(OutgoingError, match="does not answer"):
            Guarded(Reach([url]), SOON).get(url)


def test_certificates_are_checked(tmp_path: Path) -> None:
    """A foreign certificate is refused, whatever the caller asks for; one of the given authority is taken."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with peer(authority=authority) as server:
        with pytest.raises(OutgoingError, match="certificate is not trusted"):
            Guarded(Reach([server.url])).get(server.url, verify=False)
        assert Guarded(Reach([server.url]), cafile=str(tmp_path / "ca.pem")).get(server.url).content == b"hello"


def test_tls_is_not_left(here: Peer, tmp_path: Path) -> None:
    """A redirect from https to http is refused even where the target is allowed."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with peer(authority=authority) as server:
        server.answers["/go"] = says(b"", 302, Location=here.url + "/")
        with pytest.raises(OutgoingError, match="out of TLS"):
            Guarded(Reach([server.url, here.url]), cafile=str(tmp_path / "ca.pem")).get(server.url + "/go")


def test_the_environment_has_no_say(here: Peer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a proxy nor a netrc file of the environment is used."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    assert Guarded(Reach([here.url])).get(here.url).content == b"hello"
    assert "Authorization" not in here.seen[0][2]


@pytest.mark.parametrize(
    ("addresses", "allowed"),
    [
        (["127.0.0.1"], False), (["10.0.0.1"], False), (["169.254.169.254"], False), (["::1"], False),
        (["::ffff:10.0.0.1"], False), (["fe80::1%2"], False), (["100.64.0.1"], False), (["8.8.8.8"], True),
    ],
)  # fmt: skip
def test_a_host_that_an_answer_names_has_a_public_address(addresses: list[str], allowed: bool) -> None:
    """What a provider's discovery document names can't be an address inside, nor be reached without TLS."""
    reach = Reach(["https://issuer.example"], named=["https://token.example/x", "http://plain.example/x"])
    reach.check("https://token.example/y")
    with pytest.raises(OutgoingError):
        reach.check("http://plain.example/x")
    assert all(reach.allows("token.example", 443, address) is allowed for address in addresses)


def test_a_configured_host_may_be_inside_but_no_metadata_service() -> None:
    """A name that the configuration gives may lead inside, and never to a link-local address that it does not spell."""
    reach = Reach(["https://issuer.example", "http://169.254.1.1"], named=["https://issuer.example:8443/keys"])
    assert reach.allows("issuer.example", 443, "10.0.0.1")
    assert reach.allows("issuer.example", 8443, "10.0.0.1")
    assert not reach.allows("issuer.example", 443, "169.254.169.254")
    assert reach.allows("169.254.1.1", 80, "169.254.1.1")


def test_a_name_is_resolved_once(here: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address that was checked is the one that is connected to; a name that changes its mind gains nothing."""
    port = here.url.rpartition(":")[2]
    url = f"https://rebind.example:{port}"
    asked = []

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(OutgoingError, match=r"resolves to 127\.0\.0\.1"):
        Guarded(Reach(["https://issuer.example"], named=[url])).get(url)
    assert asked == ["rebind.example"]
    assert not here.seen


def test_errors_hold_no_secrets(here: Peer) -> None:
    """What was asked, with its query, is in no error."""
    closed = here.url.rpartition(":")[0] + ":1"
    with pytest.raises(OutgoingError) as raised:
        Guarded(Reach([closed])).get(closed + "/path?code=canary-secret", auth=("a", "canary-secret"))
    assert str(raised.value) == f"{closed} can't be asked: Connection refused"
