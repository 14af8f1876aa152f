"""Which pages may use the API in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bcrypt
import pytest
from flask.testing import FlaskClient

from tests.api.conftest import push_blob
from zot.app import create_app
from zot.config import Config

PAGE, OTHER = "https://ui.example.com", "https://evil.example.com"


def serving(tmp_path: Path, **http: Any) -> FlaskClient:
    """Return a client of an application."""
    settings = {"storage": {"rootDirectory": str(tmp_path / "root")}, "http": http}
    return create_app(Config.model_validate(settings)).test_client()


def cors_of(client: FlaskClient, path: str, origin: str | None, method: str = "GET") -> dict[str, str]:
    """Return the headers of an answer that tell a browser what a page may do."""
    headers = {} if origin is None else {"Origin": origin}
    answer = client.open(path, method=method, headers=headers)
    return {
        key: value for key, value in answer.headers.items() if key.startswith("Access-Control-Allow") or key == "Vary"
    }


def preflight(client: FlaskClient, path: str, origin: str, method: str) -> tuple[int, str]:
    """Ask as a browser does before a request; returns the status, and the methods that a page may use."""
    headers = {"Origin": origin, "Access-Control-Request-Method": method}
    answer = client.options(path, headers=headers)
    return answer.status_code, answer.headers.get("Access-Control-Allow-Methods", "")


def test_named_origins(tmp_path: Path) -> None:
    """A page of a named origin may read answers, errors too; others may not; caches keep them apart."""
    client = serving(tmp_path, allowOrigin=f"{PAGE}, https://two.example.com")
    let_in = {"Access-Control-Allow-Origin": PAGE, "Vary": "Origin"}
    assert cors_of(client, "/v2/", PAGE) == let_in
    assert cors_of(client, "/v2/none/tags/list", PAGE) == let_in
    assert cors_of(client, "/v2/", OTHER) == {"Vary": "Origin"}
    assert cors_of(client, "/v2/", None) == {"Vary": "Origin"}
    assert (
        "Docker-Content-Digest" in client.get("/v2/", headers={"Origin": PAGE}).headers["Access-Control-Expose-Headers"]
    )


def test_any_origin(tmp_path: Path) -> None:
    """With `*` every page may read, without the user's login, also if there are logins."""
    users = tmp_path / "users"
    users.write_text("alice:" + bcrypt.hashpw(b"x", bcrypt.gensalt(4)).decode() + "\n")
    client = serving(tmp_path, allowOrigin="*", auth={"htpasswd": {"path": str(users)}})
    assert cors_of(client, "/v2/", OTHER) == {"Access-Control-Allow-Origin": "*"}


def test_logins_go_along_to_named_origins_only(tmp_path: Path) -> None:
    """Where there are logins pages of named origins may send the user's along."""
    users = tmp_path / "users"
    users.write_text("alice:" + bcrypt.hashpw(b"x", bcrypt.gensalt(4)).decode() + "\n")
    client = serving(tmp_path, allowOrigin=PAGE, auth={"htpasswd": {"path": str(users)}})
    assert cors_of(client, "/v2/", PAGE)["Access-Control-Allow-Credentials"] == "true"
    assert "Access-Control-Allow-Credentials" not in cors_of(client, "/v2/", OTHER)


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v2/", "GET,OPTIONS"),
        ("/v2/_catalog", "GET,OPTIONS"),
        ("/v2/a/b/tags/list", "GET,OPTIONS"),
        ("/v2/a/b/manifests/v1", "DELETE,GET,OPTIONS"),
        ("/v2/a/blobs/uploads/", "OPTIONS"),
        ("/zot/auth/apikey", "DELETE,GET,POST,OPTIONS"),
    ],
)
def test_preflight(tmp_path: Path, path: str, methods: str) -> None:
    """A browser that asks first is told the path's methods, without a login, but for those that push content."""
    users = tmp_path / "users"
    users.write_text("alice:" + bcrypt.hashpw(b"x", bcrypt.gensalt(4)).decode() + "\n")
    client = serving(tmp_path, allowOrigin=PAGE, auth={"htpasswd": {"path": str(users)}})
    status, allowed = preflight(client, path, PAGE, "GET")
    assert status == 204
    # Whatever answers GET answers HEAD.
    assert set(allowed.split(",")) - {"HEAD"} == set(methods.split(","))
    assert preflight(client, path, OTHER, "GET")[0] != 204


def test_without_the_key_pages_of_other_origins_read_nothing(tmp_path: Path) -> None:
    """Unless the configuration says so no page may read what is behind somebody's firewall."""
    client = serving(tmp_path)
    push_blob(client, "a", b"x")
    assert cors_of(client, "/v2/_catalog", OTHER) == {}
    assert preflight(client, "/v2/_catalog", OTHER, "GET")[0] == 405
