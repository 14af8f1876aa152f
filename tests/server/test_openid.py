"""Logins by other services, on a real server with several workers, by a browser of a few lines."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.auth.tokens import Signer
from tests.clock import jumping_clock
from tests.provider import CLIENT, SECRET, FakeProvider, provider
from tests.server.test_logins import basic
from tests.servers import PATIENCE, Server, environment, free_port, running_server

POLICY = {
    "repositories": {
        "devs/**": {"policies": [{"groups": ["devs"], "actions": ["read", "create"]}]},
        "teams/**": {"policies": [{"groups": ["home/devs"], "actions": ["read", "create"]}]},
        "orgs/**": {"policies": [{"groups": ["home"], "actions": ["read", "create"]}]},
    }
}


class Browser:
    """Keeps cookies by path, and follows redirects when told to."""

    def __init__(self) -> None:
        self.cookies: dict[str, str] = {}
        self.attributes: dict[str, Any] = {}

    def ask(
        self, url: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Send one request with the cookies."""
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=PATIENCE)
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        try:
            connection.request(method, f"{parts.path}?{parts.query}", body, headers)
            answer = connection.getresponse()
            for name, value in answer.getheaders():
                if name.lower() == "set-cookie":
                    self._keep(value)
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def log_in(self, server: Server, name: str = "oidc", landing: str = "") -> tuple[int, dict[str, str], bytes]:
        """Go to the provider and come back; returns the answer to the callback."""
        return self.ask(self.go(server, name, landing))

    def go(self, server: Server, name: str = "oidc", landing: str = "") -> str:
        """Go to the provider; returns the address that it leads back to."""
        status, headers, body = self.ask(f"{server.url}/zot/auth/login?provider={name}&callback_ui={landing}")
        assert status == 302, body
        return self.ask(headers["location"])[1]["location"]

    def _keep(self, header: str) -> None:
        for name, morsel in SimpleCookie(header).items():
            self.attributes[name] = morsel
            if morsel["max-age"] == "0":
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = morsel.value


@pytest.fixture(scope="module")
def one_provider() -> Iterator[FakeProvider]:
    """The provider of all tests."""
    with provider() as running:
        yield running


@pytest.fixture(autouse=True)
def idp(one_provider: FakeProvider) -> FakeProvider:
    """The provider, as it is in the beginning."""
    one_provider.reset()
    return one_provider


def settings(idp: FakeProvider, **http: Any) -> dict[str, Any]:
    """Return a configuration with every provider, who must know where to lead back to before the server runs."""
    client = {"clientid": CLIENT, "clientsecret": SECRET}
    by_issuer = {**client, "issuer": idp.url, "scopes": ["openid", "email", "groups"]}
    github = {
        **client,
        "authurl": f"{idp.url}/authorize",
        "tokenurl": f"{idp.url}/token",
        "scopes": ["read:org", "user"],
    }
    providers = {**{name: dict(by_issuer) for name in ("oidc", "google", "gitlab")}, "github": github}
    openid = {"providers": providers, "callbackAllowOrigins": ["https://ui.example"]}
    return {"http": {"port": free_port(), "auth": {"openid": openid}, "accessControl": POLICY, **http}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, one_provider: FakeProvider) -> Iterator[Server]:
    """A server with two workers, for all tests that need no other."""
    directory = tmp_path_factory.mktemp("openid")
    with running_server(directory, "--workers", "2", settings=settings(one_provider)) as running:
        yield running


def may_push(browser: Browser, server: Server, name: str) -> bool:
    """Tell whether the session is good for a push, on whatever worker answers."""
    return {browser.ask(f"{server.url}/v2/{name}/blobs/uploads/", "POST")[0] for _ in range(6)} == {202}


@pytest.mark.parametrize("name", ["oidc", "google", "gitlab"])
def test_a_login(server: Server, idp: FakeProvider, name: str) -> None:
    """The browser is sent out with state, nonce and PKCE, comes back, and has a session with the provider's groups."""
    browser = Browser()
    _, headers, _ = browser.ask(f"{server.url}/zot/auth/login?provider={name}&callback_ui=/home")
    query = {key: values[0] for key, values in parse_qs(urlsplit(headers["location"]).query).items()}
    assert headers["location"].startswith(f"{idp.url}/authorize?")
    assert headers["cache-control"] == "no-store"
    assert (query["client_id"], query["response_type"], query["code_challenge_method"]) == (CLIENT, "code", "S256")
    assert query["redirect_uri"] == f"{server.url}/zot/auth/callback/{name}"
    assert min(len(query["state"]), len(query["nonce"]), len(query["code_challenge"])) >= 43
    ticket = browser.attributes["statecookie"]
    assert (ticket["path"], ticket["httponly"], ticket["samesite"]) == ("/zot/auth/callback", True, "Lax")
    status, headers, _ = browser.log_in(server, name, "/home")
    assert (status, headers["location"]) == (302, "/home")
    assert browser.attributes["session"]["httponly"]
    assert "statecookie" not in browser.cookies
    assert may_push(browser, server, "devs/app")
    assert not may_push(browser, server, "teams/app")


def test_without_a_landing_the_answer_is_201(server: Server) -> None:
    """Who asked for no page gets none."""
    assert Browser().log_in(server)[0] == 201


def test_github(server: Server, idp: FakeProvider) -> None:
    """The verified primary address is the name, organisations and teams are the groups, over several pages."""
    idp.orgs = [{"login": f"org{number}"} for number in range(250)] + [{"login": "home"}]
    browser = Browser()
    assert browser.log_in(server, "github")[0] == 201
    assert may_push(browser, server, "teams/app")
    assert may_push(browser, server, "orgs/app")
    assert not may_push(browser, server, "devs/app")
    answer = browser.ask(f"{server.url}/v2/devs/app/tags/list")
    assert json.loads(answer[2])["errors"][0]["detail"]["principal"] == "alice@example.org"
    idp.orgs = None
    assert browser.log_in(server, "github")[0] == 201
    assert not may_push(browser, server, "orgs/app")
    idp.emails[1]["verified"] = False
    assert browser.log_in(server, "github")[0] == 401


def test_an_answer_to_another_login_is_refused(server: Server) -> None:
    """Without the ticket, with another's, with another state, for another provider, twice, and with a forged ticket."""
    victim, attacker = Browser(), Browser()
    stolen = attacker.go(server)
    assert victim.ask(stolen)[0] == 401
    own = victim.go(server)
    assert victim.ask(stolen)[0] == 401
    assert victim.ask(own.replace("state=", "state=x"))[0] == 401
    assert victim.ask(own.replace("callback/oidc", "callback/google"))[0] == 401
    assert victim.ask(own.partition("?")[0] + "?error=access_denied")[0] == 401
    cookie = victim.cookies["statecookie"]
    for forged in (cookie[:-1] + ("A" if cookie[-1] != "A" else "B"), "", "x.y.z", cookie.partition(".")[0]):
        victim.cookies["statecookie"] = forged
        assert victim.ask(own)[0] == 401
    victim.cookies["statecookie"] = cookie
    assert victim.ask(own)[0] == 201
    victim.cookies["statecookie"] = cookie
    assert victim.ask(own)[0] == 401
    assert "session" not in attacker.cookies


@pytest.mark.parametrize(
    "changed",
    [
        {"nonce": "another"}, {"nonce": None}, {"aud": "another"}, {"aud": [CLIENT, "b"], "azp": "b"},
        {"iss": "http://evil.example"},
        {"exp": 1}, {"exp": None}, {"sub": None}, {"iat": None}, {"at_hash": "AAAA"},
        {"email": None}, {"email_verified": False}, {"email_verified": None},
    ],
)  # fmt: skip
def test_a_token_that_is_not_for_this_login_is_refused(
    server: Server, idp: FakeProvider, changed: dict[str, Any]
) -> None:
    """Nonce, audience, issuer, times, subject and the hash of the access token are checked, and the name is there."""
    idp.changed = changed
    browser = Browser()
    assert browser.log_in(server)[0] == 401
    assert "session" not in browser.cookies


def test_a_token_of_another_key_is_refused(server: Server, idp: FakeProvider) -> None:
    """A token that the provider's published keys did not sign opens nothing; a second user in userinfo neither."""
    trusted = idp.signer
    browser = Browser()
    back = browser.go(server)
    idp.answer("/keys")
    published = {"keys": [trusted.jwk(kid="one")]}
    idp.metadata = {}
    idp.signer = Signer("other-rsa")
    real = idp.answer
    idp.answer = lambda path: published if path == "/keys" else real(path)  # type: ignore[method-assign]
    assert browser.ask(back)[0] == 401
    idp.answer, idp.signer = real, trusted  # type: ignore[method-assign]
    idp.userinfo = {"sub": "2"}
    assert browser.log_in(server)[0] == 401


def test_changed_keys_are_found(tmp_path: Path, idp: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the provider signs with a new key, the set is read again, and the login succeeds."""
    clock = jumping_clock(monkeypatch, tmp_path, ("zot.auth",))
    with running_server(tmp_path, "--workers", "1", settings=settings(idp)) as server:
        assert Browser().log_in(server)[0] == 201
        idp.signer, idp.kid = Signer("other-rsa"), "two"
        # The set is not read more often than every ten seconds, whatever is sent here.
        clock.jump(11)
        assert Browser().log_in(server)[0] == 201


def test_cve_2025_23208_groups_that_are_gone_are_gone(server: Server, idp: FakeProvider) -> None:
    """A later login with fewer groups takes rights away from earlier sessions and from keys, on all workers."""
    first = Browser()
    assert first.log_in(server)[0] == 201
    status, _, body = first.ask(f"{server.url}/zot/auth/apikey", "POST", b'{"label": "ci"}')
    assert status == 201
    key = basic("alice@example.org", json.loads(body)["apiKey"])
    upload = "/v2/devs/app/blobs/uploads/"
    assert server.request("POST", upload, headers=key)[0] == 202
    assert may_push(first, server, "devs/app")
    idp.claims["groups"] = []
    assert Browser().log_in(server)[0] == 201
    assert {server.request("POST", upload, headers=key)[0] for _ in range(6)} == {403}
    assert not may_push(first, server, "devs/app")


def test_an_address_that_was_given_to_somebody_else(server: Server, idp: FakeProvider) -> None:
    """Another user of the provider with the same address ends the sessions and keys of the one before."""
    first = Browser()
    assert first.log_in(server)[0] == 201
    key = json.loads(first.ask(f"{server.url}/zot/auth/apikey", "POST", b'{"label": "ci"}')[2])["apiKey"]
    proof = basic("alice@example.org", key)
    assert server.request("GET", "/v2/", headers=proof)[0] == 200
    idp.claims["sub"] = idp.userinfo["sub"] = "2"
    second = Browser()
    assert second.log_in(server)[0] == 201
    assert {server.request("GET", "/v2/", headers=proof)[0] for _ in range(6)} == {401}
    assert {first.ask(f"{server.url}/v2/")[0] for _ in range(6)} == {401}
    assert {second.ask(f"{server.url}/v2/")[0] for _ in range(6)} == {200}


def test_a_start_loads_nothing_that_only_a_login_needs(tmp_path: Path, idp: FakeProvider) -> None:
    """What speaks to providers is loaded by the first login, not by the start: it takes a tenth of a second."""
    program = (
        "import sys; from zot.app import create_app; from zot.config import Config; "
        "create_app(Config.model_validate_json(sys.argv[1])); "
        "print(sorted({'authlib', 'joserfc', 'requests'} & set(sys.modules)))"
    )
    sections = {**settings(idp), "storage": {"rootDirectory": str(tmp_path / "root")}}
    command = [sys.executable, "-c", program, json.dumps(sections)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_logout_ends_the_session_everywhere(server: Server, idp: FakeProvider) -> None:
    """The cookie is worth nothing afterwards, on whatever worker, and the answer says where to log out there too."""
    browser = Browser()
    assert browser.log_in(server)[0] == 201
    cookies = dict(browser.cookies)
    answers = [browser.ask(f"{server.url}/zot/auth/logout", "POST")]
    assert answers[0][0] == 200
    assert "session" not in browser.cookies
    browser.cookies = cookies
    assert {browser.ask(f"{server.url}/v2/")[0] for _ in range(6)} == {401}
    there = json.loads(answers[0][2])["endSessionUrl"]
    assert there.startswith(f"{idp.url}/logout?client_id={CLIENT}&post_logout_redirect_uri=")


def test_a_logout_while_the_provider_is_away(tmp_path: Path, idp: FakeProvider) -> None:
    """The session ends here all the same, and the answer names no address."""
    configured, browser = settings(idp), Browser()
    with running_server(tmp_path, "--workers", "1", settings=configured) as server:
        assert browser.log_in(server)[0] == 201
    idp.metadata = {"issuer": "https://elsewhere.example"}
    with running_server(tmp_path, "--workers", "1", settings=configured) as server:
        cookies = dict(browser.cookies)
        status, _, body = browser.ask(f"{server.url}/zot/auth/logout", "POST")
        assert (status, json.loads(body)) == (200, {})
        browser.cookies = cookies
        assert browser.ask(f"{server.url}/v2/")[0] == 401


def test_a_session_is_never_one_that_was_there_before(server: Server) -> None:
    """A cookie that somebody else put into the browser is neither kept nor good afterwards (session fixation)."""
    attacker, victim = Browser(), Browser()
    assert attacker.log_in(server)[0] == 201
    victim.cookies["session"] = planted = attacker.cookies["session"]
    assert victim.log_in(server)[0] == 201
    assert victim.cookies["session"] != planted
    assert attacker.ask(f"{server.url}/v2/")[0] == 401


@pytest.mark.parametrize(
    ("landing", "expected"),
    [
        ("/home", "/home"), ("https://ui.example/x", "https://ui.example/x"), ("https://evil.example/", "/"),
        ("//evil.example", "/"),
        ("/%5Cevil.example", "/"), ("%2F%2Fevil.example", "/"), ("%0d%0aSet-Cookie:a=b", "/"),
    ],
)  # fmt: skip
def test_no_login_leads_elsewhere(server: Server, landing: str, expected: str) -> None:
    """What the address of the login says of the page afterwards counts only for our own and the listed origins."""
    assert Browser().log_in(server, "oidc", landing)[1]["location"] == expected


def test_the_host_header_has_no_say(server: Server, idp: FakeProvider) -> None:
    """The manual's example, the configured address and port, is gone back to; a Host that somebody sends is not."""
    assert Browser().log_in(server, landing=f"{server.url}/home")[1]["location"] == f"{server.url}/home"
    path = "/zot/auth/login?provider=oidc&callback_ui=http://evil.example/home"
    status, headers, _ = server.request(
        "GET", path, headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    )
    assert status == 302
    assert "evil.example" not in headers["location"]


def test_behind_a_proxy(tmp_path: Path, idp: FakeProvider) -> None:
    """With externalUrl providers lead back there, cookies go over TLS only, and its pages may be landed on."""
    outside = "https://zot.example.com"
    with running_server(tmp_path, "--workers", "1", settings=settings(idp, externalUrl=outside + "/")) as server:
        browser = Browser()
        back = browser.go(server, landing=f"{outside}/home")
        assert back.startswith(f"{outside}/zot/auth/callback/oidc?")
        assert browser.attributes["statecookie"]["secure"]
        status, headers, _ = browser.ask(back.replace(outside, server.url))
        assert (status, headers["location"]) == (302, f"{outside}/home")
        assert browser.attributes["session"]["secure"]


def test_an_unreachable_provider_stops_nothing(tmp_path: Path, idp: FakeProvider) -> None:
    """The server starts, says 503 to a login by that provider, and lets people in by another."""
    changed = settings(idp)
    changed["http"]["auth"]["openid"]["providers"]["oidc"]["issuer"] = f"http://127.0.0.1:{free_port()}"
    with running_server(tmp_path, "--workers", "1", settings=changed) as server:
        for _ in range(3):
            status, headers, _ = server.request("GET", "/zot/auth/login?provider=oidc")
            assert (status, "retry-after" in headers) == (503, True)
        assert server.request("GET", "/readyz")[0] == 200
        assert Browser().log_in(server, "gitlab")[0] == 201
        assert server.request("GET", "/zot/auth/login?provider=other")[0] == 400


@pytest.mark.parametrize(
    "metadata",
    [{"issuer": "https://evil.example"}, {"token_endpoint": "http://169.254.169.254/latest"}, {"jwks_uri": None}],
)
def test_a_provider_can_not_send_us_inside(tmp_path: Path, idp: FakeProvider, metadata: dict[str, Any]) -> None:
    """A description of another issuer, or one that names an address inside, leads to no request and to no login."""
    idp.metadata = metadata
    with running_server(tmp_path, "--workers", "1", settings=settings(idp)) as server:
        status = server.request("GET", "/zot/auth/login?provider=oidc")[0]
        if status == 302:
            status = Browser().log_in(server)[0]
        assert status == 503
        assert "/token" not in idp.asked


def test_cve_2025_48374_no_secret_is_logged(tmp_path: Path, idp: FakeProvider) -> None:
    """Neither the client's secret, nor codes, tokens and cookies of good and bad logins, are in the log."""
    with running_server(tmp_path, "--workers", "2", settings=settings(idp) | {"log": {"level": "debug"}}) as server:
        browser = Browser()
        back = browser.go(server)
        browser.ask(back)
        session = browser.cookies["session"]
        idp.changed = {"nonce": "canary-nonce"}
        browser.log_in(server)
        idp.metadata = {"issuer": "https://other.example"}
    text = server.log.read_text()
    code = parse_qs(urlsplit(back).query)["code"][0]
    assert "provider oidc did not confirm" in text
    for secret in (SECRET, code, session, session.partition(".")[0], "canary", "eyJ"):
        assert secret not in text
