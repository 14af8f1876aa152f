"""Cookies: who gets one, what it is good for, and what it is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.api.test_apikey import USER, as_
from tests.auth.test_htpasswd import line
from zot.app import create_app
from zot.config import Config
from zot.errors import StartupError


def application(tmp_path: Path, **auth: object) -> FlaskClient:
    """Return a client without a memory for cookies, of a registry with API keys and one user."""
    if not (tmp_path / "htpasswd").exists():
        (tmp_path / "htpasswd").write_text(line("user", "password"))
    http = {"auth": {"htpasswd": {"path": str(tmp_path / "htpasswd")}, "apikey": True, **auth}}
    config = Config.model_validate({"storage": {"rootDirectory": str(tmp_path / "root")}, "http": http})
    return create_app(config).test_client(use_cookies=False)


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    """A client."""
    return application(tmp_path)


def cookie_of(answer: TestResponse) -> str:
    """Return the header that sends a cookie back."""
    name, _, rest = answer.headers["Set-Cookie"].partition("=")
    assert name == "session"
    return f"session={rest.partition(';')[0]}"


def log_in(client: FlaskClient) -> dict[str, str]:
    """Log in; returns the headers of the session."""
    return {"Cookie": cookie_of(client.get("/v2/", headers=USER))}


def test_a_login_sets_a_cookie_that_authenticates(client: FlaskClient) -> None:
    """Basic at /v2/, and with X-ZOT-API-CLIENT anywhere, sets the cookie `session`, which authenticates later calls."""
    ui = {**USER, "X-ZOT-API-CLIENT": "zot-ui"}
    for answer in (client.get("/v2/", headers=USER), client.get("/v2/_catalog", headers=ui)):
        assert answer.status_code == 200
        session = {"Cookie": cookie_of(answer)}
        assert client.get("/v2/_catalog", headers=session).status_code == 200
        assert client.post("/v2/a/blobs/uploads/", headers=session).status_code == 202
        assert client.get("/zot/auth/apikey", headers=session).status_code == 200
    assert client.get("/v2/_catalog").status_code == 401


def test_the_flags_of_the_cookie(tmp_path: Path) -> None:
    """The cookie is for HTTP only, of this site, for all paths, for twelve hours; with secureSession for TLS only."""
    flags = application(tmp_path).get("/v2/", headers=USER).headers["Set-Cookie"].split("; ")[1:]
    assert {"HttpOnly", "Path=/", "SameSite=Lax", "Max-Age=43200"} <= set(flags)
    assert "Secure" not in flags
    secure = application(tmp_path, secureSession=True).get("/v2/", headers=USER).headers["Set-Cookie"]
    assert "Secure" in secure.split("; ")


def test_pulls_write_nothing(client: FlaskClient, tmp_path: Path) -> None:
    """Requests with Basic other than to /v2/ set no cookie and leave nothing behind; neither does a key, anywhere."""
    made = client.post("/zot/auth/apikey", data='{"label": "x"}', headers=USER).get_json()["apiKey"]
    key = as_("user", made)
    for path in ("/v2/_catalog", "/v2/a/tags/list", "/zot/auth/apikey"):
        assert "Set-Cookie" not in client.get(path, headers=USER).headers
    for headers in (key, {**key, "X-ZOT-API-CLIENT": "zot-ui"}, {}, as_("user", "wrong")):
        assert "Set-Cookie" not in client.get("/v2/", headers=headers).headers
    assert not (tmp_path / "root/_zot-blobs/sessions").exists()


def test_logout(client: FlaskClient, tmp_path: Path) -> None:
    """A logout ends the session, for everybody who has the cookie, and takes the cookie away."""
    session = log_in(client)
    other = log_in(application(tmp_path))
    answer = client.post("/zot/auth/logout", headers=session)
    assert (answer.status_code, answer.get_json()) == (200, {})
    assert "session=;" in answer.headers["Set-Cookie"]
    assert application(tmp_path).get("/v2/_catalog", headers=session).status_code == 401
    assert client.get("/v2/_catalog", headers=other).status_code == 200
    for headers in ({}, {"Cookie": "session=x"}, {"Cookie": "remember_token=1|x; session="}):
        assert client.post("/zot/auth/logout", headers=headers).status_code == 200
    assert client.get("/zot/auth/logout", headers=other).status_code == 405


def test_sessions_outlive_a_restart(tmp_path: Path) -> None:
    """The store holds the key: a session is good in a server that is started later on the same root."""
    session = log_in(application(tmp_path))
    assert application(tmp_path).get("/v2/_catalog", headers=session).status_code == 200


def test_fixation(client: FlaskClient) -> None:
    """A login gets a cookie that the server chose, never one that the browser came with."""
    planted = log_in(client)["Cookie"]
    client.post("/zot/auth/logout", headers={"Cookie": planted})
    fresh = cookie_of(client.get("/v2/", headers={**USER, "Cookie": planted}))
    assert fresh != planted
    assert client.get("/v2/_catalog", headers={"Cookie": planted}).status_code == 401
    assert cookie_of(client.get("/v2/", headers={**USER, "Cookie": "session=mine"})) != "session=mine"


def test_basic_never_falls_back_to_a_cookie(client: FlaskClient) -> None:
    """With a header Authorization that is wrong, a good session is no help."""
    session = log_in(client)
    for headers in (as_("user", "wrong"), {"Authorization": "Bearer x"}, {"Authorization": "Basic"}):
        assert client.get("/v2/_catalog", headers={**session, **headers}).status_code == 401
    assert client.get("/v2/_catalog", headers={**session, "Authorization": "Basic Og=="}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}],
)
def test_cve_2019_19025_pages_of_others_change_nothing(client: FlaskClient, headers: dict[str, str]) -> None:
    """CVE-2019-19025: what another site's page sends with a user's cookie, or with Basic, changes nothing."""
    session = log_in(client)
    for proof in (session, USER):
        sent = {**proof, **headers}
        assert client.post("/zot/auth/apikey", data='{"label": "x"}', headers=sent).status_code == 403
        assert client.delete("/zot/auth/apikey?id=x", headers=sent).status_code == 403
        assert client.post("/v2/a/blobs/uploads/", headers=sent).status_code == 403
        assert client.get("/v2/_catalog", headers=sent).status_code == 200
    own = {**session, "Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/zot/auth/apikey", data='{"label": "x"}', headers=own).status_code == 201


def test_browsers_with_a_login_form_get_no_challenge(client: FlaskClient) -> None:
    """With X-ZOT-API-CLIENT a 401 has no challenge, which would open the browser's own window."""
    ui = {"X-ZOT-API-CLIENT": "zot-ui"}
    for headers in (ui, {**as_("user", "wrong"), **ui}, {"Cookie": "session=x", **ui}):
        answer = client.get("/v2/_catalog", headers=headers)
        assert (answer.status_code, "WWW-Authenticate" in answer.headers) == (401, False)


def test_a_session_ends_with_its_user(client: FlaskClient, tmp_path: Path) -> None:
    """CVE-2025-23208's class: who is taken out of the file is out with every session."""
    session = log_in(client)
    (tmp_path / "htpasswd").write_text(line("other", "password"))
    assert client.get("/v2/_catalog", headers=session).status_code == 401


@pytest.mark.parametrize("password", ["another", "password"])
def test_a_changed_password_ends_sessions(client: FlaskClient, tmp_path: Path, password: str) -> None:
    """A user's new hash, be it of the same password, ends the sessions that began before, and no other user's."""
    users = tmp_path / "htpasswd"
    users.write_text(users.read_text() + line("other", "secret"))
    mine, theirs = log_in(client), {"Cookie": cookie_of(client.get("/v2/", headers=as_("other", "secret")))}
    users.write_text(line("user", password) + users.read_text().splitlines()[1])
    assert client.get("/v2/_catalog", headers=mine).status_code == 401
    assert client.get("/v2/_catalog", headers=theirs).status_code == 200
    fresh = {"Cookie": cookie_of(client.get("/v2/", headers=as_("user", password)))}
    assert fresh != mine
    assert client.get("/v2/_catalog", headers=fresh).status_code == 200


def test_a_name_that_is_given_out_again(client: FlaskClient, tmp_path: Path) -> None:
    """Who was taken out comes back with neither sessions nor keys of before when the name is given to somebody."""
    session = log_in(client)
    key = as_("user", client.post("/zot/auth/apikey", data='{"label": "x"}', headers=session).get_json()["apiKey"])
    assert client.get("/v2/_catalog", headers=key).status_code == 200
    (tmp_path / "htpasswd").write_text(line("other", "secret"))
    assert {client.get("/v2/_catalog", headers=one).status_code for one in (session, key)} == {401}
    (tmp_path / "htpasswd").write_text(line("user", "of somebody else"))
    assert {client.get("/v2/_catalog", headers=one).status_code for one in (session, key)} == {401}


@pytest.mark.parametrize(
    "browser", [{"X-ZOT-API-CLIENT": "zot-ui"}, {"User-Agent": "Mozilla/5.0"}, {"Sec-Fetch-Site": "none"}]
)
def test_each_login_of_a_browser_is_a_session_of_its_own(client: FlaskClient, browser: dict[str, str]) -> None:
    """A browser never gets the cookie of another login (session fixation), which programs share for a while."""
    headers = {**USER, **browser}
    first, second = (cookie_of(client.get("/v2/", headers=headers)) for _ in range(2))
    assert first != second
    client.post("/zot/auth/logout", headers={"Cookie": first})
    assert client.get("/v2/_catalog", headers={"Cookie": second}).status_code == 200
    assert log_in(client) == log_in(client)


@pytest.mark.parametrize("page", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "same-site"}])
def test_another_page_logs_nobody_out(client: FlaskClient, page: dict[str, str]) -> None:
    """A logout that a page of another origin sends is refused, and the session goes on."""
    session = log_in(client)
    answer = client.post("/zot/auth/logout", headers={**session, **page})
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (403, False)
    assert client.get("/v2/_catalog", headers=session).status_code == 200
    own = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/zot/auth/logout", headers={**session, **own}).status_code == 200


def test_no_cache_keeps_a_cookie(client: FlaskClient) -> None:
    """An answer that sets a cookie is not for caches."""
    assert client.get("/v2/", headers=USER).headers["Cache-Control"] == "no-store"


def test_a_cookie_of_another_shape(client: FlaskClient) -> None:
    """What was signed here and is no session's is a cookie of nobody, and not an error."""
    sessions = client.application.extensions["guard"].authority.sessions
    for token in ("x", "a.b", "a.b.c", "a.b.c.d", "../../..", ""):
        signed = {"Cookie": f"session={token}.{sessions._sign(token)}"}
        assert client.get("/v2/_catalog", headers=signed).status_code == 401
        assert client.post("/zot/auth/logout", headers=signed).status_code == 200


def test_session_keys_of_a_file(tmp_path: Path) -> None:
    """With sessionKeysFile its hashKey signs cookies: another key makes them void, the same keeps them good."""
    keys = tmp_path / "keys.json"
    keys.write_text('{"hashKey": "one-key-of-thirty-two-characters"}')
    session = log_in(application(tmp_path, sessionKeysFile=str(keys)))
    assert application(tmp_path, sessionKeysFile=str(keys)).get("/v2/", headers=session).status_code == 200
    keys.write_text('{"hashKey": "two-key-of-thirty-two-characters"}')
    assert application(tmp_path, sessionKeysFile=str(keys)).get("/v2/", headers=session).status_code == 401


def test_session_keys_that_are_not_there(tmp_path: Path) -> None:
    """A sessionKeysFile that can't be read stops the server at its start, with the key and a remedy."""
    with pytest.raises(StartupError, match="sessionKeysFile"):
        application(tmp_path, sessionKeysFile=str(tmp_path / "missing.json"))
