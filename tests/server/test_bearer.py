"""Tokens on a real server: what the guard makes of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.auth.tokens import SERVICE, Signer
from tests.certificates import replace
from tests.images import digest_of
from tests.server.test_logins import basic, write_users
from tests.server.test_reload import hang_up
from tests.servers import Server, running_server

REALM = "https://auth.example/token"


@pytest.fixture(scope="module")
def signer() -> Signer:
    """The token server's key."""
    return Signer()


def settings(directory: Path, signer: Signer, **http: Any) -> dict[str, Any]:
    """Return a configuration in the manual's form, and a password that must not count."""
    write_users(directory / "htpasswd", alice="alices")
    bearer = {"realm": REALM, "service": SERVICE, "cert": str(signer.write(directory / "token.pem"))}
    auth = {"bearer": bearer, "htpasswd": {"path": str(directory / "htpasswd")}, "apikey": True}
    return {"http": {"port": 0, "auth": auth, **http}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, signer: Signer) -> Iterator[Server]:
    """A server that believes in tokens, without access control; each test has repositories of its own there."""
    directory = tmp_path_factory.mktemp("bearer")
    with running_server(directory, "--workers", "2", settings=settings(directory, signer)) as running:
        yield running


@pytest.fixture
def controlled(tmp_path: Path, signer: Signer) -> Iterator[Server]:
    """One with access control, for the names that tokens are for."""
    policy = {
        "repositories": {
            "open/**": {"anonymousPolicy": ["read"], "defaultPolicy": ["read", "create"]},
            "alices/**": {"policies": [{"users": ["alice"], "actions": ["read", "create"]}]},
        }
    }
    with running_server(
        tmp_path, "--workers", "1", settings=settings(tmp_path, signer, accessControl=policy)
    ) as running:
        yield running


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def push(server: Server, name: str, token: str) -> tuple[int, dict[str, str], bytes]:
    """Push a small blob in one request."""
    return server.request("POST", f"/v2/{name}/blobs/uploads/?digest={digest_of(b'x')}", b"x", bearer(token))


def scope(headers: dict[str, str]) -> str | None:
    """Return the scope of a challenge, which must lead to the token server."""
    challenge = headers["www-authenticate"]
    assert challenge.startswith(f'Bearer realm="{REALM}",service="{SERVICE}"')
    match = re.search(r'scope="([^"]*)"', challenge)
    return match and match.group(1)


def test_without_a_token_a_client_is_sent_for_one(server: Server) -> None:
    """Each request is answered with the scope that would let it through; the base needs any token at all."""
    asked = {
        ("GET", "/v2/"): None,
        ("GET", "/v2/_catalog"): "registry:catalog:*",
        ("GET", "/v2/a/b/tags/list"): "repository:a/b:pull",
        ("HEAD", "/v2/a/b/manifests/v1"): "repository:a/b:pull",
        ("POST", "/v2/a/b/blobs/uploads/"): "repository:a/b:pull,push",
        ("PUT", "/v2/a/b/manifests/v1"): "repository:a/b:pull,push",
        ("DELETE", "/v2/a/b/manifests/v1"): "repository:a/b:pull,delete",
    }
    for (method, path), expected in asked.items():
        status, headers, _ = server.request(method, path)
        assert (status, scope(headers)) == (401, expected), path


def test_a_token_opens_what_it_names(server: Server, signer: Signer) -> None:
    """Pull, push and delete are grants of their own, for one repository; without one the client is sent for more."""
    both, pull = signer.token("repository:a:pull,push"), signer.token("repository:a:pull")
    assert server.request("GET", "/v2/", headers=bearer(signer.token()))[0] == 200
    assert push(server, "a", both)[0] == 201
    blob = f"/v2/a/blobs/{digest_of(b'x')}"
    assert server.request("GET", blob, headers=bearer(pull))[2] == b"x"
    for name, token in (("a", pull), ("b", both), ("a", signer.token("repository:a:delete"))):
        status, headers, _ = push(server, name, token)
        assert (status, scope(headers)) == (401, f"repository:{name}:pull,push")
        assert headers["www-authenticate"].endswith('error="insufficient_scope"')
    assert server.request("DELETE", blob, headers=bearer(both))[0] == 401
    assert server.request("DELETE", blob, headers=bearer(signer.token("repository:a:delete")))[0] == 202


def test_a_token_without_a_name_opens_what_it_names(server: Server, signer: Signer) -> None:
    """What a token server gives to the anonymous counts where no access control says otherwise."""
    assert push(server, "nameless", signer.token("repository:nameless:pull,push", sub=""))[0] == 201


def test_a_bad_token_is_sent_for_a_better_one(server: Server, signer: Signer) -> None:
    """An expired token, another's, and one for another service are 401 with the scope of what was tried."""
    for token in (
        signer.token("repository:a:pull", exp=1),
        Signer("other-rsa").token("repository:a:pull"),
        signer.token("repository:a:pull", aud="other"),
    ):
        status, headers, body = server.request("GET", "/v2/a/tags/list", headers=bearer(token))
        assert (status, scope(headers)) == (401, "repository:a:pull")
        assert headers["www-authenticate"].endswith('error="invalid_token"')
        assert json.loads(body)["errors"][0]["code"] == "UNAUTHORIZED"
        assert token not in server.log.read_text()


def test_tokens_replace_every_other_login(server: Server, signer: Signer) -> None:
    """Where tokens are configured, a right name and password are no login, and there are no API keys, as in zot."""
    assert server.request("GET", "/v2/", headers=basic("alice", "alices"))[0] == 401
    assert server.request("GET", "/zot/auth/apikey", headers=bearer(signer.token()))[0] in (401, 403, 404)


def test_a_mount_needs_the_right_to_read_its_source(server: Server, signer: Signer) -> None:
    """CVE-2024-39897: a token for the target alone mounts nothing; with pull on the source too it does."""
    assert push(server, "private", signer.token("repository:private:pull,push"))[0] == 201
    path = f"/v2/mounts/blobs/uploads/?mount={digest_of(b'x')}&from=private"
    narrow, wide = (signer.token("repository:mounts:pull,push", *more) for more in ((), ("repository:private:pull",)))
    assert server.request("POST", path, headers=bearer(narrow))[0] == 202
    assert server.request("POST", path, headers=bearer(wide))[0] == 201


def test_the_list_shows_what_may_be_read_or_all(server: Server, signer: Signer) -> None:
    """The catalogue holds what the token lets its bearer pull, or everything for who may list the registry."""
    for name in ("list/a", "list/b"):
        assert push(server, name, signer.token(f"repository:{name}:push"))[0] == 201
    nothing, one, everything = (
        json.loads(server.request("GET", "/v2/_catalog", headers=bearer(signer.token(*access)))[2])["repositories"]
        for access in ((), ("repository:list/a:pull",), ("registry:catalog:*",))
    )
    assert (nothing, one) == ([], ["list/a"])
    assert {"list/a", "list/b"} <= set(everything)


def test_access_control_narrows_a_token(controlled: Server, signer: Signer) -> None:
    """Where there is access control, the token's name must be allowed too; who is not, is told so and not sent away."""
    everything = ("repository:alices/app:*", "repository:open/app:*")
    assert push(controlled, "alices/app", signer.token(*everything))[0] == 201
    status, _, body = push(controlled, "alices/app", signer.token(*everything, sub="eve"))
    assert (status, json.loads(body)["errors"][0]["detail"]["principal"]) == (403, "eve")
    assert push(controlled, "open/app", signer.token(*everything, sub="eve"))[0] == 201
    blob = f"/v2/open/app/blobs/{digest_of(b'x')}"
    for sent, status in (({}, 200), (bearer(signer.token()), 401), (bearer(signer.token(*everything, sub="")), 200)):
        assert controlled.request("GET", blob, headers=sent)[0] == status
    assert push(controlled, "open/app", signer.token(*everything, sub=""))[0] == 401


def test_the_token_server_gets_a_new_key(tmp_path: Path) -> None:
    """A bad file changes nothing; then both keys, then the new: workers believe what it holds, with SIGHUP or not."""
    old, new = Signer(), Signer("other-rsa")
    file = tmp_path / "token.pem"
    with running_server(tmp_path, "--workers", "3", settings=settings(tmp_path, old)) as server:

        def believed() -> list[set[int]]:
            signed = [bearer(one.token()) for one in (old, new)]
            return [{server.request("GET", "/v2/", headers=headers)[0] for _ in range(9)} for headers in signed]

        assert believed() == [{200}, {401}]
        # This comes first, while it is known what each worker has read: one that nobody asks reads nothing.
        hang_up(server, lambda: replace(file, b"no key at all"))
        assert believed() == [{200}, {401}]
        assert "token.pem" in server.log.read_text()
        hang_up(server, lambda: replace(file, old.public_pem + new.public_pem))
        assert believed() == [{200}, {200}]
        replace(file, new.public_pem)
        assert believed() == [{401}, {200}]
