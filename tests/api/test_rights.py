"""What the views do with rights: tags that are there, sessions of others, mounts, lists, and who is told what."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.api.conftest import push_blob
from tests.auth.policies import SEED, access_control
from tests.images import OCI_MANIFEST, digest_of, manifest
from zot.auth.authority import Authority, basic_challenge
from zot.auth.chain import Chain
from zot.auth.principal import Credentials, Principal, Via
from zot.registry import tags


class ByWord:
    """Takes whoever they say they are, for tests: `Authorization: I-am NAME GROUP…`."""

    def authenticate(self, credentials: Credentials) -> Principal | None:
        """Return them."""
        scheme, *words = credentials.authorization.split(" ")
        return Principal(words[0], frozenset(words[1:]), Via.PASSWORD) if scheme == "I-am" else None


def i_am(name: str, *groups: str) -> dict[str, str]:
    """Return the headers of somebody; of nobody if the name is empty."""
    return {"Authorization": " ".join(("I-am", name, *groups))} if name else {}


@pytest.fixture
def govern(app: Flask) -> Callable[[dict[str, Any]], None]:
    """Let a policy in the configuration's format hold from now on."""

    def hold(policy: dict[str, Any]) -> None:
        chain = Chain(headers=[ByWord()])
        app.extensions["guard"].authority = Authority(access_control(policy), chain, basic_challenge('a "realm"'))

    return hold


def of(*actions: str) -> dict[str, Any]:
    """Return the policy of one pattern, by which everybody with a name may do this."""
    return {"defaultPolicy": list(actions)}


def put(client: FlaskClient, path: str, body: bytes, name: str = "") -> TestResponse:
    """Push a manifest."""
    return client.put(f"/v2/{path}", data=body, content_type=OCI_MANIFEST, headers=i_am(name))


def detail(answer: TestResponse) -> dict[str, Any]:
    """Return the detail of an error."""
    found: dict[str, Any] = answer.get_json()["errors"][0]["detail"]
    return found


@pytest.fixture
def two(client: FlaskClient, image: bytes) -> tuple[bytes, bytes]:
    """Two manifests whose blobs are in repository `a`; the first one has the tag v1."""
    assert put(client, "a/manifests/v1", image).status_code == 201
    return image, manifest(annotations={"another": "one"})


@pytest.mark.parametrize("tag", ["v1", "latest", "x", "LATEST", "0.1"])
def test_cve_2026_31801_an_existing_tag_needs_update(
    client: FlaskClient, two: tuple[bytes, bytes], govern: Callable[..., None], tag: str
) -> None:
    """CVE-2026-31801: whoever may create but not update moves no tag, whatever its name is, by no way of pushing."""
    first, second = two
    govern({"repositories": {"**": of("read", "create")}})
    assert put(client, f"a/manifests/{tag}", first, "eve").status_code == (403 if tag == "v1" else 201)
    for path in (f"a/manifests/{tag}", f"a/manifests/{digest_of(second)}?tag={tag}"):
        refused = put(client, path, second, "eve")
        assert refused.status_code == 403
        assert detail(refused)["missing"] == "update"
        assert detail(refused)["pattern"] == "**"
    assert client.get(f"/v2/a/manifests/{tag}", headers=i_am("eve")).data == first
    assert client.get(f"/v2/a/manifests/{digest_of(second)}", headers=i_am("eve")).status_code == 404
    assert put(client, f"a/manifests/{digest_of(second)}", second, "eve").status_code == 201
    govern({"repositories": {"**": of("read", "create", "update")}})
    assert put(client, f"a/manifests/{tag}", second, "eve").status_code == 201


def test_the_swap_decides_what_is_an_update(
    client: FlaskClient, two: tuple[bytes, bytes], govern: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tag that another client makes after it was looked for and before it is swapped is not moved either."""
    first, second = two
    govern({"repositories": {"**": of("read", "create")}})
    monkeypatch.setattr(tags, "refuse_known", lambda *_: None)
    assert put(client, "a/manifests/v1", second, "eve").status_code == 403
    assert client.get("/v2/a/manifests/v1", headers=i_am("eve")).data == first


def test_of_many_who_create_a_tag_one_does(app: Flask, two: tuple[bytes, bytes], govern: Callable[..., None]) -> None:
    """Of clients that push different manifests to one new tag at the same time, without update, one gets 201."""
    bodies = [manifest(annotations={"number": str(number)}) for number in range(8)]
    govern({"repositories": {"**": of("read", "create")}})
    statuses: dict[bytes, int] = {}

    def push(body: bytes) -> None:
        statuses[body] = put(app.test_client(), "a/manifests/new", body, "eve").status_code

    threads = [threading.Thread(target=push, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = (body for body, status in statuses.items() if status == 201)
    assert sorted(statuses.values()) == [201] + [403] * 7
    assert app.test_client().get("/v2/a/manifests/new", headers=i_am("eve")).data == winner


def test_collisions_are_detected(client: FlaskClient, two: tuple[bytes, bytes], govern: Callable[..., None]) -> None:
    """With detectManifestCollision the delete of a digest with several tags is 409, and with one tag it is done."""
    first, _ = two
    put(client, "a/manifests/v2", first)
    govern({"repositories": {"**": of("read", "delete", "detectManifestCollision")}})
    path = f"/v2/a/manifests/{digest_of(first)}"
    refused = client.delete(path, headers=i_am("eve"))
    assert (refused.status_code, refused.get_json()["errors"][0]["code"]) == (409, "MANIFEST_INVALID")
    assert detail(refused)["tags"] == ["v1", "v2"]
    assert client.delete("/v2/a/manifests/v2", headers=i_am("eve")).status_code == 202
    assert client.delete(path, headers=i_am("eve")).status_code == 202


def test_an_admin_meets_no_collision(
    client: FlaskClient, two: tuple[bytes, bytes], govern: Callable[..., None]
) -> None:
    """The admin policy implies no detection: an admin deletes a digest with all its tags."""
    first, _ = two
    put(client, "a/manifests/v2", first)
    govern({**SEED, "repositories": {"**": {"policies": [{"users": ["admin"], "actions": ["read"]}]}}})
    assert client.delete(f"/v2/a/manifests/{digest_of(first)}", headers=i_am("admin")).status_code == 202


def test_cve_2026_32589_a_session_belongs_to_whoever_began_it(client: FlaskClient, govern: Callable[..., None]) -> None:
    """CVE-2026-32589: to another user, to nobody and in another repository an upload session is not there."""
    govern({"repositories": {"**": {**of("read", "create"), "anonymousPolicy": ["read", "create"]}}})
    where = client.post("/v2/a/blobs/uploads/", headers=i_am("owner")).headers["Location"]
    for name, path in (("eve", where), ("", where), ("owner", where.replace("/a/", "/b/"))):
        headers = i_am(name)
        assert client.get(path, headers=headers).status_code == 404
        assert client.patch(path, data=b"x", headers=headers).status_code == 404
        assert client.put(f"{path}?digest={digest_of(b'x')}", data=b"x", headers=headers).status_code == 404
        assert client.delete(path, headers=headers).status_code == 404
    assert client.patch(where, data=b"mine", headers=i_am("owner")).status_code == 202
    assert client.put(f"{where}?digest={digest_of(b'mine')}", headers=i_am("owner")).status_code == 201


PRIVATE = {
    "repositories": {
        "private/**": {"policies": [{"users": ["owner"], "actions": ["read", "create"]}]},
        "public/**": {"defaultPolicy": ["read", "create"], "anonymousPolicy": ["read"]},
    },
    "adminPolicy": {"users": ["admin"], "actions": ["read", "create", "update", "delete"]},
}


def test_cve_2024_39897_content_of_a_private_repository(client: FlaskClient, govern: Callable[..., None]) -> None:
    """CVE-2024-39897: a blob that only a private repository holds can't be had, seen or mounted through another one."""
    digest = push_blob(client, "private/a", b"secret")
    push_blob(client, "public/a", b"known")
    govern(PRIVATE)
    path = f"/v2/public/a/blobs/{digest}"
    for name in ("eve", ""):
        assert client.head(path, headers=i_am(name)).status_code == 404
        assert client.get(path, headers={**i_am(name), "Range": "bytes=0-1"}).status_code == 404
        assert client.get(f"/v2/public/a/manifests/{digest}", headers=i_am(name)).status_code == 404
    for query in (f"mount={digest}&from=private/a", f"mount={digest}", f"mount={digest}&from=public/a"):
        assert client.post(f"/v2/public/b/blobs/uploads/?{query}", headers=i_am("eve")).status_code == 202
    assert client.get(f"/v2/public/b/blobs/{digest}", headers=i_am("eve")).status_code == 404
    for query in (f"mount={digest}&from=private/a", f"mount={digest}"):
        name = "owner" if "from" in query else "admin"
        assert client.post(f"/v2/public/{name}/blobs/uploads/?{query}", headers=i_am(name)).status_code == 201


def test_who_may_not_read_learns_nothing(client: FlaskClient, govern: Callable[..., None]) -> None:
    """401 for nobody and 403 for somebody are the same whether a repository, tag or blob is there or not."""
    digest = push_blob(client, "private/a", b"{}")
    push_blob(client, "private/a", b"layer")
    assert put(client, "private/a/manifests/v1", manifest()).status_code == 201
    govern(PRIVATE)

    def answers(repository: str, name: str) -> list[tuple[int, bytes]]:
        paths = ("tags/list", "manifests/v1", f"blobs/{digest}", f"referrers/{digest}")
        got = [client.get(f"/v2/{repository}/{path}", headers=i_am(name)) for path in paths]
        return [(one.status_code, one.data.replace(repository.encode(), b"")) for one in got]

    for name, status in (("", 401), ("eve", 403)):
        there = answers("private/a", name)
        assert there == answers("private/b", name)
        assert {code for code, _ in there} == {status}
    catalogue = client.get("/v2/_catalog", headers=i_am("eve")).get_json()
    assert catalogue == {"repositories": []}
    assert client.get("/v2/_catalog", headers=i_am("owner")).get_json() == {"repositories": ["private/a"]}
    page = client.get("/v2/_catalog?n=1", headers=i_am("eve"))
    assert "Link" not in page.headers


def test_who_must_log_in_is_told_how(client: FlaskClient, govern: Callable[..., None]) -> None:
    """A 401 carries a challenge with the realm, quoted; a 403 does not, since another login is not asked for."""
    govern(PRIVATE)
    asked = client.get("/v2/private/a/tags/list")
    assert (asked.status_code, asked.headers["WWW-Authenticate"]) == (401, 'Basic realm="a \\"realm\\""')
    wrong = client.get("/v2/public/a/tags/list", headers={"Authorization": "Digest x"})
    assert (wrong.status_code, "WWW-Authenticate" in wrong.headers) == (401, True)
    refused = client.get("/v2/private/a/tags/list", headers=i_am("eve"))
    assert (refused.status_code, "WWW-Authenticate" in refused.headers) == (403, False)
    assert detail(refused)["principal"] == "eve"


@pytest.mark.parametrize("header", ["I-am eve,I-am owner", "I-am owner, I-am owner", "Digest x", "I-amowner"])
def test_authorization_that_is_not_plain(client: FlaskClient, govern: Callable[..., None], header: str) -> None:
    """Several Authorization headers, which a server hands on joined by commas, and unknown schemes are 401."""
    govern(PRIVATE)
    for path in ("/v2/", "/v2/public/a/tags/list", "/v2/_catalog"):
        assert client.get(path, headers={"Authorization": header}).status_code == 401
    assert client.get("/livez", headers={"Authorization": header}).status_code == 200


DOCKER = "docker/28.2.2 go/go1.24.3 git-commit/45873be kernel/6.1 os/linux arch/amd64"
ASKING_FIRST = (
    DOCKER,
    "containers/5.21.1 (github.com/containers/image)",
    "skopeo/1.9.3",
    "crane go-containerregistry/v1",
)


def test_clients_that_ask_first(client: FlaskClient, govern: Callable[..., None]) -> None:
    """Where anonymous and other policies meet, clients that ask `/v2/` first are asked for a login; nobody else is."""
    govern(PRIVATE)
    for agent in ASKING_FIRST:
        assert client.get("/v2/", headers={"User-Agent": agent}).status_code == 401
        assert client.get("/v2/", headers={"User-Agent": agent, **i_am("eve")}).status_code == 200
        assert client.get("/v2/public/a/tags/list", headers={"User-Agent": agent}).status_code == 404
    assert client.get("/v2/", headers={"User-Agent": "curl/7.88"}).status_code == 200
    nobody = client.get("/v2/public/a/tags/list", headers={"Authorization": "Basic Og=="})
    assert nobody.status_code == 404


def test_metrics_have_rules_of_their_own(client: FlaskClient, govern: Callable[..., None]) -> None:
    """With accessControl the metrics are for those that accessControl.metrics names: 401 and 403 for the others."""
    govern(PRIVATE)
    assert [client.get("/metrics", headers=i_am(name)).status_code for name in ("", "admin")] == [401, 403]
    govern({"metrics": {"users": ["prometheus"]}})
    assert [client.get("/metrics", headers=i_am(name)).status_code for name in ("", "prometheus")] == [401, 200]
    govern({"metrics": {"anonymousPolicy": ["read"]}})
    assert [client.get("/metrics", headers=i_am(name)).status_code for name in ("", "eve")] == [200, 403]
