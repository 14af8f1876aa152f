"""Every route, method, caller and state against a model of the policy that shares nothing with the code.

A route that is added and not classified in `ROUTES` fails the first test.
"""

from __future__ import annotations

import itertools
import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from flask import Flask
from flask.testing import FlaskClient

from tests.auth.test_htpasswd import line
from tests.images import OCI_MANIFEST, digest_of, manifest
from zot.app import create_app
from zot.auth import opening
from zot.auth.accounts import Account
from zot.auth.dates import now
from zot.auth.keys import Wanted
from zot.auth.throttle import Throttle
from zot.config import Config

HERE, PUBLIC, PRIVATE = "team/app", "public/app", "private/x"
HELD, SECRET, GONE = b"held here", b"held by the private repository only", b"deleted"
OLD, NEW = manifest(b"{}", (b"layer",)), manifest(b"{}", (b"layer",), annotations={"new": "yes"})


class Caller(NamedTuple):
    """Who calls: their rights on the three repositories by first letters, what kind of proof they show, and metrics."""

    here: str
    public: str = "r"
    private: str = ""
    proof: str = "login"
    sees_metrics: bool = False


CALLERS = {
    "anonymous": Caller("", "r", "", "none"),
    "reader": Caller("r"),
    "reader of another": Caller("", "r"),
    "create-only": Caller("rc"),
    "owner": Caller("rcud", "r", "", sees_metrics=True),
    "admin": Caller("rcud", "rcud", "rcud"),
    "member of an LDAP group": Caller("rc"),
    "certificate": Caller("rcud", proof="certificate"),
    "session": Caller("rc"),
    "session that was ended": Caller("", "r", "", "none"),
    "key": Caller("rcud", "r", "", "key", sees_metrics=True),
    "key with a scope that narrows nothing": Caller("rcud", "r", "", "key", sees_metrics=True),
    "key for reading here": Caller("r", "", "", "key"),
    "key of the wrong scope": Caller("", "", "", "key"),
    "expired key": Caller("", "", "", "bad"),
    "revoked key": Caller("", "", "", "bad"),
    "key of a password that was changed": Caller("", "", "", "bad"),
    "session of a password that was changed": Caller("", "r", "", "none"),
    "key of another user": Caller("", "", "", "bad"),
    "foreign token": Caller("", "", "", "bad"),
    "wrong password": Caller("", "", "", "bad"),
    "wrong password with a session": Caller("", "", "", "bad"),
    "two headers": Caller("", "", "", "bad"),
}


def model(caller: Caller, need: str, repository: str, *, success: int, there: bool = True) -> int:
    """Return the status that a caller is to get: the whole policy, written once more.

    `need` is free, known, metrics, or letters of the rights on the repository; `there` is whether what is asked for is.
    """
    if need == "free":
        return success
    if caller.proof == "bad":
        return 401
    if need == "known":
        # Nobody vouches for the holder of a certificate, so a key of theirs would open nothing, and is not made.
        made = 403 if success == 201 else success
        return {"none": 401, "key": 403, "certificate": made, "login": success}[caller.proof]
    if need == "metrics":
        return success if caller.sees_metrics else 401 if caller.proof == "none" else 403
    rights = {HERE: caller.here, PUBLIC: caller.public, PRIVATE: caller.private}.get(repository, "")
    if not set(need) <= set(rights):
        return 401 if caller.proof == "none" else 403
    return success if there else 404


class Try(NamedTuple):
    """One way to ask a route: what it takes, and what is asked. `mine` asks for a session that the caller began."""

    method: str
    path: str
    need: str
    success: int
    there: bool = True
    body: bytes = b""
    begins: str = ""


def blob_tries(repository: str) -> Iterator[Try]:
    """Yield what is asked of the routes of blobs: one that is here, one that another repository has, a deleted one."""
    for content, there in ((HELD, True), (SECRET, False), (GONE, False)):
        path = f"/v2/{repository}/blobs/{digest_of(content)}"
        yield Try("GET", path, "r", 200, there)
        yield Try("HEAD", path, "r", 200, there)
        yield Try("DELETE", path, "rd", 202, there)


def manifest_tries(repository: str) -> Iterator[Try]:
    """Yield what is asked of the routes of manifests: tags that are there or not, digests that are there or not."""
    old, new = digest_of(OLD), digest_of(NEW)
    for reference, there in (("v1", True), ("latest", True), ("new", False), (old, True), (new, False)):
        path = f"/v2/{repository}/manifests/{reference}"
        yield Try("GET", path, "r", 200, there)
        yield Try("HEAD", path, "r", 200, there)
        yield Try("DELETE", path, "rd", 202, there)
    for reference, need in (("v1", "rcu"), ("latest", "rcu"), ("new", "rc"), (new, "rc")):
        yield Try("PUT", f"/v2/{repository}/manifests/{reference}", need, 201, True, NEW)
    for tag, need in (("v1", "rcu"), ("new", "rc")):
        yield Try("PUT", f"/v2/{repository}/manifests/{new}?tag={tag}", need, 201, True, NEW)


def upload_tries(repository: str) -> Iterator[Try]:
    """Yield what is asked of the routes of uploads: beginning, mounting, and going on with one's own or another's."""
    start = f"/v2/{repository}/blobs/uploads/"
    yield Try("POST", start, "rc", 202)
    yield Try("POST", f"{start}?digest={digest_of(b'one')}", "rc", 201, True, b"one")
    for begins in ("own", "other"):
        for method, query, success in (("GET", "", 204), ("HEAD", "", 204), ("PATCH", "", 202), ("DELETE", "", 204)):
            yield Try(method, f"{start}SESSION{query}", "rc", success, begins == "own", b"", begins)
        yield Try("PUT", f"{start}SESSION?digest={digest_of(b'')}", "rc", 201, begins == "own", b"", begins)


def list_tries(repository: str) -> Iterator[Try]:
    """Yield what is asked of the routes that list."""
    for path in ("tags/list", f"referrers/{digest_of(OLD)}"):
        for method in ("GET", "HEAD"):
            yield Try(method, f"/v2/{repository}/{path}", "r", 200)


Tries = Callable[[str], Iterator[Try]]
OF_REPOSITORY: dict[str, Tries] = {
    "/v2/<repository:name>/tags/list": list_tries,
    "/v2/<repository:name>/referrers/<digest>": list_tries,
    "/v2/<repository:name>/manifests/<reference>": manifest_tries,
    "/v2/<repository:name>/blobs/<digest>": blob_tries,
    "/v2/<repository:name>/blobs/uploads/": upload_tries,
    "/v2/<repository:name>/blobs/uploads/<session>": upload_tries,
}
LOGINS = ("login?provider=oidc", "callback/oidc")
OTHERS = [
    *(Try(method, f"/{probe}", "free", 200) for probe in ("livez", "readyz", "startupz") for method in ("GET", "HEAD")),
    *(Try(method, path, "", 200) for path in ("/v2/", "/v2/_catalog") for method in ("GET", "HEAD")),
    *(Try(method, "/metrics", "metrics", 200) for method in ("GET", "HEAD")),
    *(Try(method, f"{path}/auth/apikey", "known", 200) for path in ("/zot", "") for method in ("GET", "HEAD")),
    Try("POST", "/zot/auth/apikey", "known", 201, body=b'{"label": "x"}'),
    Try("DELETE", "/zot/auth/apikey?id=x", "known", 200),
    # Whoever logs in is nobody yet. This registry has no provider; with one the routes have tests of their own.
    *(Try(method, f"/zot/auth/{path}", "free", 404) for path in LOGINS for method in ("GET", "HEAD")),
]
# A logout would end the session of one of the callers; it has tests of its own, and needs no right.
ELSEWHERE = {("/zot/auth/logout", "POST")}


def open_registry(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Flask:
    """Make a registry with a directory, certificates and API keys, in which the policy is that of `CALLERS`."""
    people = {
        "reader": "r", "creator": "rc", "owner": "rcud", "stranger": "", "admin": "", "holder": "rcud",
        "changed": "rcud",
    }  # fmt: skip
    (directory / "htpasswd").write_text("".join(line(name, "pw") for name in people))
    words = {"r": "read", "c": "create", "u": "update", "d": "delete"}

    def grant(rights: str, **whom: list[str]) -> dict[str, Any]:
        return {**whom, "actions": [words[letter] for letter in rights]}

    here = [grant(rights, users=[name]) for name, rights in people.items() if rights]
    policy = {
        "repositories": {
            "team/*": {"policies": [*here, grant("rc", groups=["cn=devs"])]},
            "other/*": {"policies": [grant("r", users=["stranger"])]},
            "public/*": {"defaultPolicy": ["read"], "anonymousPolicy": ["read"]},
            "private/*": {"policies": [grant("r", users=["nobody"])]},
        },
        "adminPolicy": grant("rcud", users=["admin"]),
        "metrics": {"users": ["owner", "changed"]},
    }
    monkeypatch.setattr(opening, "Ldap", lambda _: FakeDirectory())
    auth = {
        "htpasswd": {"path": str(directory / "htpasswd")},
        "ldap": {"address": "x", "baseDN": "x", "userAttribute": "uid"},
        "apikey": True,
    }
    http = {"auth": auth, "accessControl": policy, "tls": {"cacert": "ca.pem"}}
    storage = {"rootDirectory": str(directory / "root"), "commit": False}
    extensions = {"metrics": {"enable": True}}
    return create_app(Config.model_validate({"storage": storage, "http": http, "extensions": extensions}))


class FakeDirectory:
    """Stands for LDAP, which has tests of its own: it knows one member of a group."""

    origin = "ldap"

    def check(self, user: str, password: str) -> Account | None:
        """Return the member."""
        return self.account(user) if password == "pw" else None

    def account(self, user: str) -> Account | None:
        """Return the member."""
        return Account("member", frozenset({"cn=devs"})) if user == "member" else None

    def version(self) -> object:
        """Return nothing."""
        return None


def basic(user: str, password: str = "pw") -> dict[str, str]:
    """Return the headers of a login."""
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


class Registry:
    """The registry, and how each caller proves who they are."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.app = open_registry(directory, monkeypatch)
        self.users = directory / "htpasswd"
        self.client: FlaskClient = self.app.test_client(use_cookies=False)
        self.is_prepared = False
        self.proofs = self._proofs()

    def ask(self, caller: str, method: str, path: str, body: bytes = b"") -> int:
        """Send a request as somebody; returns the status."""
        self.is_prepared = self.is_prepared and method in ("GET", "HEAD")
        headers, environ = self.proofs[caller]
        headers = {**headers, "Content-Type": OCI_MANIFEST}
        return self.client.open(path, method=method, data=body, headers=headers, environ_overrides=environ).status_code

    def prepare(self) -> None:
        """Bring the repositories into the state that the model speaks of."""
        if self.is_prepared:
            return
        for repository in (HERE, PUBLIC, PRIVATE):
            for content in (HELD, GONE, b"{}", b"layer"):
                self.push(repository, content)
            for tag in ("v1", "latest"):
                assert self.ask("admin", "PUT", f"/v2/{repository}/manifests/{tag}", OLD) == 201
            self.ask("admin", "DELETE", f"/v2/{repository}/manifests/{digest_of(NEW)}")
            self.ask("admin", "DELETE", f"/v2/{repository}/blobs/{digest_of(GONE)}")
        self.push(PRIVATE, SECRET)
        self.is_prepared = True

    def push(self, repository: str, content: bytes) -> None:
        """Push a blob."""
        path = f"/v2/{repository}/blobs/uploads/?digest={digest_of(content)}"
        assert self.ask("admin", "POST", path, content) == 201

    def begin(self, caller: str, repository: str) -> str:
        """Begin an upload session; returns its identifier, or that of nothing for who may not."""
        headers, environ = self.proofs[caller]
        path = f"/v2/{repository}/blobs/uploads/"
        answer = self.client.post(path, headers=headers, environ_overrides=environ)
        return str(answer.headers.get("Docker-Upload-UUID", "00000000-0000-0000-0000-000000000000"))

    def _proofs(self) -> dict[str, tuple[dict[str, str], dict[str, Any]]]:
        authority = self.app.extensions["guard"].authority
        keys, users = authority.keys, authority.directories["htpasswd"]

        def key(user: str, *scopes: str, over: bool = False) -> str:
            expires = now() - timedelta(seconds=1) if over else None
            secret: str = keys.create(users.account(user), "htpasswd", Wanted("x", scopes or None, expires))[1]
            return secret

        revoked = key("owner")
        keys.revoke(keys.find(revoked).uuid)
        before = key("changed"), self._session(user="changed")
        self.users.write_text(self.users.read_text().partition("changed:")[0] + line("changed", "new"))
        session, ended = self._session(), self._session("another agent")
        self.client.post("/zot/auth/logout", headers=ended)
        certificate = trustme.CA().issue_cert("holder", common_name="holder").cert_chain_pems[0].bytes()
        encoded = x509.load_pem_x509_certificate(certificate).public_bytes(Encoding.DER)
        twice = basic("owner")["Authorization"]
        headers = {
            "anonymous": {},
            "reader": basic("reader"),
            "reader of another": basic("stranger"),
            "create-only": basic("creator"),
            "owner": basic("owner"),
            "admin": basic("admin"),
            "member of an LDAP group": basic("member"),
            "certificate": {},
            "session": session,
            "session that was ended": ended,
            "key": basic("owner", key("owner")),
            "key with a scope that narrows nothing": basic("owner", key("owner", "elsewhere")),
            "key of a password that was changed": basic("changed", before[0]),
            "session of a password that was changed": before[1],
            "key for reading here": basic("owner", key("owner", "team/*:read")),
            "key of the wrong scope": basic("owner", key("owner", "elsewhere/**:read,create,update,delete")),
            "expired key": basic("owner", key("owner", over=True)),
            "revoked key": basic("owner", revoked),
            "key of another user": basic("reader", key("owner")),
            "foreign token": {"Authorization": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJvd25lciJ9."},
            "wrong password": basic("owner", "wrong"),
            "wrong password with a session": {**session, **basic("creator", "wrong")},
            "two headers": {"Authorization": f"{twice},{twice}"},
        }
        return {
            who: (sent, {"zot.certificate": encoded} if who == "certificate" else {}) for who, sent in headers.items()
        }

    def _session(self, agent: str = "a program", user: str = "creator") -> dict[str, str]:
        cookie = self.client.get("/v2/", headers={**basic(user), "User-Agent": agent}).headers["Set-Cookie"]
        return {"Cookie": cookie.partition(";")[0]}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """The registry, for all cases."""
    with pytest.MonkeyPatch.context() as patch:
        # Of wrong logins this sends more than a client may.
        patch.setattr(Throttle, "check", lambda *_: None)
        yield Registry(tmp_path_factory.mktemp("matrix"), patch)


def test_every_route_is_classified(registry: Registry) -> None:
    """Each route and method of the application is asked for below, or said to be tested elsewhere."""
    tries = [one for of in OF_REPOSITORY.values() for one in of(HERE)] + OTHERS
    adapter = registry.app.url_map.bind("localhost")
    asked = set(ELSEWHERE)
    for one in tries:
        rule, _ = adapter.match(one.path.partition("?")[0], method=one.method, return_rule=True)
        asked.add((rule.rule, one.method))
    known = {(rule.rule, method) for rule in registry.app.url_map.iter_rules() for method in rule.methods or ()}
    assert known - asked == set()
    assert asked - known == set()


@pytest.mark.parametrize("who", CALLERS)
@pytest.mark.parametrize("repository", [HERE, PUBLIC, PRIVATE])
def test_every_route_of_a_repository(registry: Registry, who: str, repository: str) -> None:
    """What each caller gets from each route of a repository, in each state, is what the model says."""
    wrong = []
    tries = itertools.chain.from_iterable(of(repository) for of in dict.fromkeys(OF_REPOSITORY.values()))
    for one in tries:
        registry.prepare()
        path, there = one.path, one.there or (repository == PRIVATE and digest_of(SECRET) in one.path)
        if one.begins:
            owner = who if one.begins == "own" else ("owner" if who == "admin" else "admin")
            path = path.replace("SESSION", registry.begin(owner, repository))
        expected = model(CALLERS[who], one.need, repository, success=one.success, there=there)
        got = registry.ask(who, one.method, path, one.body)
        if got != expected:
            wrong.append((one.method, path, one.begins, expected, got))
    assert wrong == []


@pytest.mark.parametrize("who", CALLERS)
def test_every_other_route(registry: Registry, who: str) -> None:
    """What each caller gets from the routes that are about no repository is what the model says."""
    for one in OTHERS:
        expected = model(CALLERS[who], one.need, "", success=one.success)
        assert registry.ask(who, one.method, one.path, one.body) == expected, (one.method, one.path)


@pytest.mark.parametrize("who", CALLERS)
def test_mounts_and_lists(registry: Registry, who: str) -> None:
    """A mount takes what the caller may read where it is and nothing else; the catalogue has what they may read."""
    registry.prepare()
    caller = CALLERS[who]
    for source, content, rights in ((PRIVATE, SECRET, caller.private), (PUBLIC, HELD, caller.public)):
        registry.ask("admin", "DELETE", f"/v2/{HERE}/blobs/{digest_of(content)}")
        path = f"/v2/{HERE}/blobs/uploads/?mount={digest_of(content)}&from={source}"
        expected = model(caller, "rc", HERE, success=201 if "r" in rights else 202)
        assert registry.ask(who, "POST", path) == expected, path
        registry.ask("admin", "DELETE", f"/v2/{HERE}/blobs/{digest_of(SECRET)}")
    if caller.proof != "bad":
        headers, environ = registry.proofs[who]
        listed = registry.client.get("/v2/_catalog", headers=headers, environ_overrides=environ)
        by_name = {HERE: caller.here, PUBLIC: caller.public, PRIVATE: caller.private}
        readable = sorted(name for name, rights in by_name.items() if "r" in rights)
        assert json.loads(listed.data)["repositories"] == readable
