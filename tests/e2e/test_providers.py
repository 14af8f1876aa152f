"""Real providers of OpenID Connect, by their forms: the ways to prove which registry this is, removal, and dex."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import bcrypt
import pytest
import requests
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.auth.tokens import Signer
from tests.documents import plain_file
from tests.forms import FormBrowser
from tests.oidc import OidcProvider, answers, oidc_provider
from tests.server.test_logins import basic
from tests.server.test_reload import hang_up
from tests.servers import PATIENCE, REPOSITORY, Server, free_port, running_server, wait_until

pytestmark = pytest.mark.e2e

# The manual's own.
SECRET = "ZXhhbXBsZS1hcHAtc2VjcmV0"
POLICY = {"repositories": {"devs/**": {"policies": [{"groups": ["devs"], "actions": ["read", "create"]}]}}}


@contextmanager
def registry(idp: OidcProvider, directory: Path, **provider: Any) -> Iterator[Server]:
    """Run a registry with two workers that lets users of the provider in."""
    http = {"port": idp.registry_port, "auth": {"openid": idp.section(**provider)}, "accessControl": POLICY}
    with running_server(directory, "--workers", "2", settings={"http": http}) as server:
        yield server


def log_in(server: Server) -> tuple[FormBrowser, requests.Response]:
    """Log alice in at oidc-provider, and consent; returns her browser and the last answer."""
    browser = FormBrowser()
    browser.go(f"{server.url}/zot/auth/login?provider=oidc")
    browser.submit(login="alice", password="any")
    return browser, browser.submit()


def may_push(browser: FormBrowser, server: Server) -> bool:
    """Tell whether the session is good for a push to the group's repositories, on whatever worker answers."""
    url = f"{server.url}/v2/devs/app/blobs/uploads/"
    cookie = {"Cookie": f"session={browser.session.cookies['session']}"}
    return {requests.post(url, headers=cookie, timeout=PATIENCE).status_code for _ in range(8)} == {202}


def private_key(signer: Signer) -> bytes:
    """Return a private key, in PEM."""
    pem: bytes = signer.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


def test_a_key_instead_of_a_secret(need: Callable[..., str], tmp_path: Path) -> None:
    """With `keypath` the registry signs for itself; a key that the provider does not know lets nobody in."""
    known, other = Signer(), Signer("other-rsa")
    client = {
        "client_secret": None,
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks": {"keys": [known.jwk(kid="one", use="sig")]},
    }
    file = tmp_path / "client.pem"
    file.write_bytes(private_key(known))
    with (
        oidc_provider(need("oidc-provider"), tmp_path, **client) as idp,
        registry(idp, tmp_path, clientsecret=None, keypath=str(file)) as server,
    ):
        browser, answer = log_in(server)
        assert answer.status_code == 201
        assert may_push(browser, server)
        hang_up(server, lambda: file.write_bytes(private_key(other)))
        assert log_in(server)[1].status_code == 401
        hang_up(server, lambda: file.write_bytes(private_key(known)))
        assert log_in(server)[1].status_code == 201
        assert "PRIVATE KEY" not in server.log.read_text()


def test_a_secret_in_a_file_of_its_own(need: Callable[..., str], tmp_path: Path) -> None:
    """`credentialsFile` holds id and secret; a wrong secret lets nobody in, and a mended one is taken up by SIGHUP."""
    file = tmp_path / "client.json"
    right = {"clientid": "zot-client", "clientsecret": "a-secret-of-the-client"}
    file.write_text(json.dumps(right | {"clientsecret": "a-wrong-secret"}))
    with (
        oidc_provider(need("oidc-provider"), tmp_path) as idp,
        registry(idp, tmp_path, clientid=None, clientsecret=None, credentialsFile=str(file)) as server,
    ):
        assert log_in(server)[1].status_code == 401
        hang_up(server, lambda: file.write_text(json.dumps(right)))
        browser, answer = log_in(server)
        assert answer.status_code == 201
        assert may_push(browser, server)
        log = server.log.read_text()
        assert right["clientsecret"] not in log
        assert "a-wrong-secret" not in log


def test_who_is_taken_out_at_the_provider(need: Callable[..., str], tmp_path: Path) -> None:
    """Fewer groups at the next login hold for earlier sessions and keys too; who is gone there can't log in again."""
    with oidc_provider(need("oidc-provider"), tmp_path) as idp, registry(idp, tmp_path) as server:
        first, _ = log_in(server)
        made = first.session.post(f"{server.url}/zot/auth/apikey", data='{"label": "x"}', timeout=PATIENCE).json()
        key, path = basic("alice@example.org", made["apiKey"]), "/v2/devs/app/tags/list"
        assert {server.request("GET", path, headers=key)[0] for _ in range(8)} == {404}
        idp.change("alice", email="alice@example.org", email_verified=True, groups=[])
        assert log_in(server)[1].status_code == 201
        assert not may_push(first, server)
        assert {server.request("GET", path, headers=key)[0] for _ in range(8)} == {403}
        idp.change("alice")
        stranger = FormBrowser()
        stranger.go(f"{server.url}/zot/auth/login?provider=oidc")
        assert stranger.submit(login="alice", password="any").status_code >= 400
        assert "session" not in stranger.session.cookies


class Dex(NamedTuple):
    """A running dex, and the port that it expects the registry on."""

    issuer: str
    registry_port: int


@pytest.fixture
def dex(need: Callable[..., str], tmp_path: Path) -> Iterator[Dex]:
    """Dex with one user, who logs in with a password, and the client of zot's manual."""
    program = need("dex", "run scripts/install-tools --full")
    port, registry_port = free_port(), free_port()
    issuer = f"http://127.0.0.1:{port}/dex"
    user = {
        "email": "alice@example.org", "username": "alice", "userID": "1",
        "hash": bcrypt.hashpw(b"a-password", bcrypt.gensalt(10)).decode(),
    }  # fmt: skip
    client = {
        "id": "zot-client", "name": "zot", "secret": SECRET,
        "redirectURIs": [f"http://127.0.0.1:{registry_port}/zot/auth/callback/oidc"],
    }  # fmt: skip
    settings = {
        "issuer": issuer, "storage": {"type": "memory"}, "web": {"http": f"127.0.0.1:{port}"},
        "enablePasswordDB": True, "staticPasswords": [user], "staticClients": [client],
        "oauth2": {"passwordConnector": "local"},
    }  # fmt: skip
    (tmp_path / "dex.yaml").write_text(json.dumps(settings))
    with (tmp_path / "dex.log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(tmp_path / "dex.yaml")], stdout=log, stderr=log)
    try:
        wait_until(lambda: process.poll() is not None or answers(issuer), "dex answers")
        yield Dex(issuer, registry_port)
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.skipif(not os.environ.get("ZOT_FULL"), reason="dex takes long to build; set ZOT_FULL")
def test_dex(dex: Dex, tmp_path: Path) -> None:
    """The manual's section for dex, but for the port: login, consent, a session, a key made in it, and a logout."""
    seed: Any = plain_file(REPOSITORY / "tests/config/seed/dex.json")
    section = seed["http"]["auth"]["openid"]
    section["providers"]["oidc"]["issuer"] = dex.issuer
    policy = {"repositories": {"**": {"policies": [{"users": ["alice@example.org"], "actions": ["read", "create"]}]}}}
    http = {"port": dex.registry_port, "auth": {"openid": section}, "accessControl": policy}
    with running_server(tmp_path, "--workers", "2", settings={"http": http}) as server:
        browser = FormBrowser()
        browser.go(f"{server.url}/zot/auth/login?provider=oidc")
        assert "Invalid Email Address" in browser.submit(login="alice@example.org", password="wrong").text
        assert "Grant Access" in browser.submit(login="alice@example.org", password="a-password").text
        assert browser.submit().status_code == 201
        assert may_push(browser, server)
        made = browser.session.post(f"{server.url}/zot/auth/apikey", data='{"label": "x"}', timeout=PATIENCE).json()
        key = basic("alice@example.org", made["apiKey"])
        assert {server.request("GET", "/v2/devs/app/tags/list", headers=key)[0] for _ in range(8)} == {404}
        cookie = {"Cookie": f"session={browser.session.cookies['session']}"}
        assert browser.session.post(f"{server.url}/zot/auth/logout", timeout=PATIENCE).status_code == 200
        assert {server.request("GET", "/v2/_catalog", headers=cookie)[0] for _ in range(20)} == {401}
