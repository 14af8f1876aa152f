"""Client certificates, from the handshake to the policy, on a real server."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.auth.certificates import ClientAuthority, Issued
from tests.certificates import Authority, replace
from tests.server.test_logins import write_users
from tests.servers import PATIENCE, Server, running_server

POLICY = {
    "repositories": {
        "alices/**": {"policies": [{"users": ["alice"], "actions": ["read", "create"]}]},
        "open/**": {"anonymousPolicy": ["read"], "defaultPolicy": ["read", "create"]},
    }
}


class Site:
    """A server that asks for client certificates, and who signs them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.servers = Authority(directory)
        self.clients = ClientAuthority()
        self.cacert = directory / "clients.pem"
        self.cacert.write_bytes(self.clients.pem)
        self.server: Server

    def reset(self) -> None:
        """Revoke nothing."""
        replace(self.cacert, self.clients.pem)

    def revoke(self, *revoked: Issued) -> None:
        """Put a list of revoked certificates beside the authority."""
        replace(self.cacert, self.clients.pem + self.clients.revoke(*revoked))

    def ask(self, shown: Issued | None, path: str = "/v2/", method: str = "GET", **headers: str) -> tuple[int, bytes]:
        """Send a request on a connection of its own that shows a certificate."""
        with_certificate = ssl.create_default_context(cafile=self.servers.file)
        if shown is not None:
            with_certificate.load_cert_chain(*shown.files(self.directory))
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.server.port, timeout=PATIENCE, context=with_certificate
        )
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with two workers, access control, and a user with a password."""
    directory = tmp_path_factory.mktemp("site")
    found = Site(directory)
    write_users(directory / "htpasswd", bob="bobs")
    tls = found.servers.tls | {"cacert": str(found.cacert)}
    auth = {"htpasswd": {"path": str(directory / "htpasswd")}}
    settings = {"http": {"port": 0, "tls": tls, "auth": auth, "accessControl": POLICY}}
    with running_server(directory, "--workers", "2", settings=settings, authority=found.servers.file) as server:
        found.server = server
        yield found


@pytest.fixture
def site(lasting: Site) -> Site:
    """The server, where nothing is revoked yet."""
    lasting.reset()
    return lasting


def test_the_holder_of_a_certificate_is_known(site: Site) -> None:
    """The common name is the user of the policy; others are refused by name, and without one there is a 401."""
    alice, eve = site.clients.issue("alice"), site.clients.issue("eve")
    uploads = "/v2/alices/app/blobs/uploads/"
    assert site.ask(alice, uploads, "POST")[0] == 202
    status, body = site.ask(eve, uploads, "POST")
    assert (status, json.loads(body)["errors"][0]["detail"]["principal"]) == (403, "eve")
    assert site.ask(None, uploads, "POST")[0] == 401


def test_a_certificate_is_not_needed(site: Site) -> None:
    """Who shows none is anonymous, or whoever a password says."""
    password = "Basic " + b64encode(b"bob:bobs").decode()
    assert site.ask(None, "/v2/open/app/tags/list")[0] == 404
    assert site.ask(None, "/v2/open/app/blobs/uploads/", "POST", Authorization=password)[0] == 202


def test_a_password_counts_more_than_a_certificate(site: Site) -> None:
    """A request with both is judged by its header alone: right, it is that user's, and wrong, it is 401."""
    alice = site.clients.issue("alice")
    right, wrong = ("Basic " + b64encode(f"bob:{word}".encode()).decode() for word in ("bobs", "wrong"))
    uploads = "/v2/alices/app/blobs/uploads/"
    assert site.ask(alice, uploads, "POST", Authorization=right)[0] == 403
    assert site.ask(alice, uploads, "POST", Authorization=wrong)[0] == 401


def test_no_header_makes_a_certificate(site: Site) -> None:
    """What servers before an application put into headers is not believed from anybody."""
    pem = site.clients.issue("alice").der.hex()
    headers = {"Zot-Certificate": pem, "zot.certificate": pem, "SSL-Client-Cert": pem, "X-SSL-Client-S-DN": "CN=alice"}
    assert site.ask(None, "/v2/alices/app/tags/list", "GET", **headers)[0] == 401


def test_foreign_certificates_are_refused_at_the_handshake(site: Site) -> None:
    """One of another authority of the same name, one of a server and one that has ended never reach the application."""
    ended = datetime.now(UTC) - timedelta(minutes=1)
    for shown in (
        ClientAuthority().issue("alice"),
        ClientAuthority("foreign").issue("alice"),
        site.clients.issue("alice", usage=ExtendedKeyUsageOID.SERVER_AUTH),
        site.clients.issue("alice", ends=ended),
    ):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            site.ask(shown, "/v2/foreign/tags/list")
    assert "foreign" not in site.server.log.read_text()


def test_a_revoked_certificate_is_refused_at_the_handshake(site: Site) -> None:
    """A list of revoked certificates in `tls.cacert` holds from the next connection on, for what it names only."""
    alice, carol = site.clients.issue("alice"), site.clients.issue("carol")
    path = "/v2/open/app/blobs/uploads/"
    assert site.ask(alice, path, "POST")[0] == 202
    site.revoke(alice)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        site.ask(alice, path, "POST")
    assert site.ask(carol, path, "POST")[0] == 202
    assert site.ask(None, "/v2/open/app/tags/list")[0] == 404


def test_a_remembered_connection_does_not_outlive_a_revocation(site: Site) -> None:
    """What a client resumes with the ticket of an earlier connection is checked too."""
    alice = site.clients.issue("alice")
    resuming = ssl.create_default_context(cafile=site.servers.file)
    resuming.maximum_version = ssl.TLSVersion.TLSv1_2
    resuming.load_cert_chain(*alice.files(site.directory))

    def connect(session: ssl.SSLSession | None) -> ssl.SSLSession | None:
        with (
            socket.create_connection(("127.0.0.1", site.server.port), timeout=PATIENCE) as plain,
            resuming.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as connection,
        ):
            return connection.session

    session = connect(None)
    site.revoke(alice)
    for _ in range(4):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            connect(session)


def test_without_access_control_a_certificate_opens_everything(tmp_path: Path) -> None:
    """The manual's own fragment, `tls` with `cacert` and no more: holders of certificates do everything."""
    site = Site(tmp_path)
    tls = site.servers.tls | {"cacert": str(site.cacert)}
    settings = {"http": {"port": 0, "tls": tls}}
    with running_server(tmp_path, "--workers", "1", settings=settings, authority=site.servers.file) as server:
        site.server = server
        assert site.ask(site.clients.issue("anybody"), "/v2/a/blobs/uploads/", "POST")[0] == 202
        assert site.ask(None)[0] == 401
