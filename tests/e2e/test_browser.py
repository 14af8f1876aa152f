"""A real browser, a real provider, and docker: from a login with consent to a logout that holds on every worker."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from tests.e2e.conftest import Run, as_root
from tests.oidc import OidcProvider, oidc_provider
from tests.servers import PATIENCE, Server, running_server

if TYPE_CHECKING:
    from playwright.sync_api import Page, Response

pytestmark = pytest.mark.e2e

HOW = "pip install playwright==1.65.2"
POLICY = {"repositories": {"devs/**": {"policies": [{"groups": ["devs"], "actions": ["read", "create"]}]}}}
# Without a sandbox, as tests may run as root; the others keep it from asking its maker for this and that.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
# With the header that spares users the browser's own window for a password.
ASK = """async ([path, method, body]) => {
    const answer = await fetch(path, {method, body, headers: {'X-ZOT-API-CLIENT': 'a page'}});
    return [answer.status, await answer.text()];
}"""


@pytest.fixture
def idp(need: Callable[..., str], tmp_path: Path) -> Iterator[OidcProvider]:
    """The provider."""
    with oidc_provider(need("oidc-provider"), tmp_path) as running:
        yield running


@pytest.fixture
def server(idp: OidcProvider, tmp_path: Path) -> Iterator[Server]:
    """A registry with three workers, in which a group of the provider's may push."""
    http = {"port": idp.registry_port, "auth": {"openid": idp.section()}, "accessControl": POLICY}
    with running_server(tmp_path, "--workers", "3", settings={"http": http}) as running:
        yield running


@pytest.fixture
def page(need: Callable[..., str], need_module: Callable[..., ModuleType]) -> Iterator[Page]:
    """An empty page of chromium."""
    playwright = need_module("playwright.sync_api", HOW)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=need("chromium"), args=FLAGS)
        page: Page = browser.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        yield page
        browser.close()


def log_in(page: Page, server: Server, landing: str = "/v2/_catalog") -> None:
    """Ask for a login, and give name and password at the provider; leaves the page that asks for consent."""
    page.goto(f"{server.url}/zot/auth/login?provider=oidc&callback_ui={landing}")
    page.fill("input[name=login]", "alice")
    page.fill("input[name=password]", "any")
    page.click("button[type=submit]")
    page.wait_for_selector("text=Authorize")


def ask(page: Page, path: str, method: str = "GET", body: str | None = None) -> tuple[int, str]:
    """Let a script of the page ask its own server for something."""
    status, text = page.evaluate(ASK, [path, method, body])
    return status, text


def cookie(page: Page) -> str:
    """Return the session's cookie; scripts of the page can't see it."""
    found = {one["name"]: one for one in page.context.cookies()}
    assert found["session"]["httpOnly"]
    assert found["session"]["sameSite"] == "Lax"
    value: str = found["session"]["value"]
    return value


def statuses(server: Server, value: str) -> set[int]:
    """Return what is answered to a cookie, on enough connections that every worker is asked."""
    headers = {"Cookie": f"session={value}"}
    return {server.request("GET", "/v2/_catalog", headers=headers)[0] for _ in range(40)}


@as_root
def test_from_login_to_logout(
    server: Server, idp: OidcProvider, page: Page, docker: Run, layers: list[Path], run: Run
) -> None:
    """Login with consent, a session that works in later pages, a key made in it that docker uses, and a logout."""
    log_in(page, server)
    page.click("button[type=submit]")
    page.wait_for_url(f"{server.url}/v2/_catalog")
    assert json.loads(page.inner_text("body")) == {"repositories": []}
    shown = page.goto(f"{server.url}/zot/auth/apikey")
    assert shown is not None
    assert shown.json() == {"apiKeys": []}
    value = cookie(page)
    assert statuses(server, value) == {200}

    status, text = ask(page, "/zot/auth/apikey", "POST", '{"label": "docker"}')
    assert status == 201
    key, host = json.loads(text)["apiKey"], f"127.0.0.1:{server.port}"
    image = f"{host}/devs/app:v1"
    docker("login", "-u", "alice@example.org", "-p", key, host)
    docker("import", str(layers[0]), image)
    docker("push", image)
    docker("rmi", "-f", image)
    docker("pull", image)
    shown = page.goto(f"{server.url}/v2/_catalog")
    assert shown is not None
    assert shown.json() == {"repositories": ["devs/app"]}

    status, text = ask(page, "/zot/auth/logout", "POST")
    assert status == 200
    assert "session" not in {one["name"] for one in page.context.cookies(server.url)}
    assert statuses(server, value) == {401}
    assert ask(page, "/v2/_catalog")[0] == 401
    docker("rmi", "-f", image)
    docker("pull", image)
    docker("logout", host)
    _log_out_at_the_provider(page, server, idp, text)


def _log_out_at_the_provider(page: Page, server: Server, idp: OidcProvider, answer: str) -> None:
    """Follow the address that a logout names: the provider asks, forgets the user, and leads back."""
    there = json.loads(answer)["endSessionUrl"]
    assert there.startswith(f"{idp.url}/session/end?")
    page.goto(there)
    page.click("button[value=yes]")
    page.wait_for_url(f"{server.url}/login**")
    page.goto(f"{server.url}/zot/auth/login?provider=oidc")
    page.wait_for_selector("input[name=password]")


def test_who_does_not_consent_is_not_let_in(server: Server, idp: OidcProvider, page: Page) -> None:
    """Whoever turns back at the page that asks for consent has no session."""
    log_in(page, server)
    with page.expect_response(lambda answer: "/zot/auth/callback/oidc" in answer.url) as answers:
        page.click("text=Cancel")
    refused: Response = answers.value
    assert refused.status == 401
    assert "session" not in {one["name"] for one in page.context.cookies(server.url)}


def test_a_page_of_another_origin_can_do_nothing(server: Server, idp: OidcProvider, page: Page) -> None:
    """A script on another page, though of the same host, reads nothing and makes no key with the user's session."""
    log_in(page, server)
    page.click("button[type=submit]")
    page.wait_for_url(f"{server.url}/v2/_catalog")
    page.goto(f"{idp.url}/.well-known/openid-configuration")
    evil = """async ([url]) => {
        const sent = {method: 'POST', body: '{"label": "evil"}', mode: 'no-cors', credentials: 'include'};
        await fetch(url + '/zot/auth/apikey', sent);
        try { await fetch(url + '/zot/auth/apikey', {credentials: 'include'}); return 'read'; }
        catch (error) { return 'refused'; }
    }"""
    with page.expect_response(lambda answer: answer.url.endswith("/zot/auth/apikey")) as answers:
        assert page.evaluate(evil, [server.url]) == "refused"
    refused: Response = answers.value
    assert (refused.request.method, refused.status) == ("POST", 403)
    shown = page.goto(f"{server.url}/zot/auth/apikey")
    assert shown is not None
    assert shown.json() == {"apiKeys": []}
