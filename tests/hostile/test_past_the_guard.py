"""Attempts to get round the guard of a real server: tricks with paths, methods, headers, cookies and bodies.

`private/app` has an image that nobody but its owner may read; eve may read and write `public/**`. Whatever she, or
nobody, sends, the bytes of the private image never come back, nothing is written there, and no answer tells of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.hostile.wire import Wire
from tests.images import OCI_INDEX, OCI_MANIFEST, descriptor, digest_of, index, manifest
from tests.server.test_logins import basic, write_config, write_users
from tests.servers import Server, running_server

SECRET = b"the bytes that nobody else is to see"
IMAGE = manifest(SECRET, (SECRET,))
PUBLIC = {"repositories": {
    "private/**": {"policies": [{"users": ["owner"], "actions": ["read", "create", "update", "delete"]}]},
    "public/**": {"policies": [{"users": ["owner", "eve"], "actions": ["read", "create", "update", "delete"]}],
                  "anonymousPolicy": ["read"]},
}}  # fmt: skip


class Besieged(NamedTuple):
    """The server, and an upload session of the owner's."""

    server: Server
    session: str


@pytest.fixture(scope="module")
def besieged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Besieged]:
    """A server with the private image, and a public one."""
    directory = tmp_path_factory.mktemp("guarded")
    write_users(directory / "htpasswd", owner="pw", eve="pw")
    config = write_config(directory, accessControl=PUBLIC, auth={"apikey": True})
    with running_server(directory, "--workers", "2", config=config) as server:
        owner = basic("owner", "pw")
        for name, body, content in (("private/app", IMAGE, SECRET), ("public/app", manifest(), b"{}")):
            for blob in (content, b"layer"):
                server.request("POST", f"/v2/{name}/blobs/uploads/?digest={digest_of(blob)}", blob, owner)
            put = {**owner, "Content-Type": OCI_MANIFEST}
            assert server.request("PUT", f"/v2/{name}/manifests/v1", body, put)[0] == 201
        _, headers, _ = server.request("POST", "/v2/private/app/blobs/uploads/", None, owner)
        yield Besieged(server, headers["location"])


BLOB, MANIFEST = digest_of(SECRET), digest_of(IMAGE)
# Ways to write the paths of the private image, or to come to it through the public repository.
PATHS = [
    f"/v2/private/app/blobs/{BLOB}",
    "/v2/private/app/manifests/v1",
    f"/v2/private/app/manifests/{MANIFEST}",
    "/v2/private/app/tags/list",
    f"/v2/private/app/referrers/{MANIFEST}",
    f"//v2/private/app/blobs/{BLOB}",
    f"/v2//private/app/blobs/{BLOB}",
    f"/v2/private//app/blobs/{BLOB}",
    f"/v2/private/app//blobs/{BLOB}",
    f"/v2/./private/app/blobs/{BLOB}",
    f"/v2/public/../private/app/blobs/{BLOB}",
    f"/v2/public/app/../../private/app/blobs/{BLOB}",
    f"/v2/public/%2e%2e/private/app/blobs/{BLOB}",
    f"/v2/public%2f..%2fprivate/app/blobs/{BLOB}",
    f"/v2/private%2fapp/blobs/{BLOB}",
    f"/v2/private%2Fapp/blobs/{BLOB}",
    f"/v2/%70rivate/app/blobs/{BLOB}",
    f"/v2/private/app/blobs/{BLOB}/",
    f"/v2/private/app/blobs/{BLOB}%00",
    f"/v2/private/app/blobs/{BLOB}?x=/v2/public/app",
    f"/v2/private/app/blobs/{BLOB}#/v2/public/app",
    f"/v2/private/app/blobs/{BLOB};/v2/public/app",
    f"/v2/PRIVATE/app/blobs/{BLOB}",
    f"/V2/private/app/blobs/{BLOB}",
    f"/v2/private/app\\blobs/{BLOB}",
    f"/v2/public/app/blobs/{BLOB}",
    f"/v2/public/app/manifests/{MANIFEST}",
    f"/v2/public/app/manifests/{BLOB}",
    f"/v2/public/app/blobs/uploads/../{BLOB}",
    f"/v2/public/app/blobs/uploads/..%2f{BLOB}",
    f"/v2/public/app/blobs/sha256:../../../../private/app/blobs/sha256/{BLOB[7:]}",
    f"/v2/public/app/manifests/../../../private/app/blobs/sha256/{BLOB[7:]}",
    "/v2/public/app/manifests/../../private/app/manifests/v1",
    f"/v2/public/manifests/../private/app/blobs/{BLOB}",
    f"http://127.0.0.1/v2/private/app/blobs/{BLOB}",
    f"/v2/_zot-blobs/content/sha256/{BLOB[7:9]}/{BLOB[7:]}",
    "/v2/_zot-blobs/tags/list",
    f"/_zot-blobs/content/sha256/{BLOB[7:9]}/{BLOB[7:]}",
    f"/private/app/blobs/sha256/{BLOB[7:]}",
]
LOGINS = {"nobody": {}, "eve": basic("eve", "pw")}


def send(server: Server, method: str, target: str, headers: dict[str, str], body: bytes = b"") -> tuple[int, bytes]:
    """Send a target as it is, which no client would; returns status and body."""
    lines = [f"{method} {target} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with Wire(server) as wire:
        wire.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        answer = wire.answer(method)
    return (0, b"") if answer is None else (answer.status, answer.body)


@pytest.mark.parametrize("who", LOGINS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PATCH", "get", "PROPFIND", "OPTIONS", "TRACE"])
def test_no_path_leads_to_the_bytes(besieged: Besieged, who: str, method: str) -> None:
    """No spelling of a path, by no method, gives the private image, or an answer that it is there."""
    for path in PATHS:
        status, body = send(besieged.server, method, path, LOGINS[who])
        assert SECRET not in body, path
        assert IMAGE not in body, path
        assert not 200 <= status < 300 or ("uploads" in path and method == "POST"), (path, status)
        absent = path.replace("private", "nothere")
        assert send(besieged.server, method, absent, LOGINS[who])[0] == status, path


@pytest.mark.parametrize(
    "more",
    [
        {"Range": "bytes=0-3"},
        {"If-None-Match": f'"{BLOB}"'},
        {"If-None-Match": "*"},
        {"X-Original-URL": "/v2/public/app/tags/list"},
        {"X-HTTP-Method-Override": "HEAD"},
        {"X-Forwarded-User": "owner"},
        {"Remote-User": "owner"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"Host": "localhost"},
        {"Zot-Certificate": "owner"},
        {"Cookie": "session=owner; user=owner"},
        {"X-ZOT-API-CLIENT": "zot-ui"},
        {"Transfer-Encoding": "identity"},
    ],
)
def test_no_header_opens(besieged: Besieged, more: dict[str, str]) -> None:
    """Ranges, conditions, and headers by which some proxies or servers take orders, change nothing about a refusal."""
    for login in LOGINS.values():
        for path in PATHS[:5]:
            plain = send(besieged.server, "GET", path, login)[0]
            status, body = send(besieged.server, "GET", path, {**login, **more})
            assert (status, SECRET in body) == (plain, False) or status == 400, (path, more)


@pytest.mark.parametrize(
    "lines",
    [
        ["{eve}", "{owner_wrong}"],
        ["{owner_wrong}", "{eve}"],
        ["{eve}", "{eve}"],
        ["{eve}, {eve}"],
        [" \t{eve}", ""],
        ["Basic"],
        ["Basic  "],
        ["Bearer {token}"],
        ["Negotiate x"],
    ],
)
def test_authorization_twice_or_strangely(besieged: Besieged, lines: list[str]) -> None:
    """Several headers, or strange ones, are 401 also where anonymous clients may read; none of them is the owner."""
    values = {
        "eve": basic("eve", "pw")["Authorization"],
        "owner_wrong": basic("owner", "wrong")["Authorization"],
        "token": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJvd25lciJ9.",
    }
    for path in ("/v2/private/app/tags/list", "/v2/public/app/tags/list"):
        head = [f"GET {path} HTTP/1.1", "Host: x"] + [f"Authorization: {line.format(**values)}" for line in lines]
        with Wire(besieged.server) as wire:
            wire.send("\r\n".join([*head, "", ""]).encode())
            answer = wire.answer()
        assert answer is not None
        assert answer.status in (400, 401) or (lines == [" \t{eve}", ""] and answer.status in (200, 403)), lines


def test_sessions_and_mounts_of_others(besieged: Besieged) -> None:
    """Eve neither goes on with the owner's upload, in whatever repository, nor mounts what she may not read."""
    identifier = besieged.session.rpartition("/")[2]
    eve = LOGINS["eve"]
    for name in ("private/app", "public/app", "public/../private/app"):
        for method in ("GET", "PATCH", "DELETE"):
            assert send(besieged.server, method, f"/v2/{name}/blobs/uploads/{identifier}", eve, b"x")[0] in (
                400,
                403,
                404,
            )
        path = f"/v2/{name}/blobs/uploads/{identifier}?digest={digest_of(b'')}"
        assert send(besieged.server, "PUT", path, eve)[0] in (400, 403, 404)
    for source in ("private/app", "public/../private/app", "PRIVATE/app", "private%2Fapp", "", "public/app"):
        path = f"/v2/public/mine/blobs/uploads/?mount={BLOB}&from={source}"
        assert send(besieged.server, "POST", path, eve)[0] in (202, 400), source
    assert send(besieged.server, "POST", f"/v2/public/mine/blobs/uploads/?mount={BLOB}", eve)[0] == 202
    assert send(besieged.server, "GET", f"/v2/public/mine/blobs/{BLOB}", eve)[0] == 404
    # Her manifest may name the private blob, but it is not in her repository.
    put = {**eve, "Content-Type": OCI_MANIFEST}
    assert send(besieged.server, "PUT", "/v2/public/app/manifests/stolen", put, IMAGE)[0] == 400
    owner = basic("owner", "pw")
    assert besieged.server.request("GET", besieged.session, None, owner)[0] == 204


def test_what_is_elsewhere_stays_there(besieged: Besieged) -> None:
    """Eve may name the private image in an index, as a subject, as a tag or as an upload, and gets nothing of it."""
    eve, server = LOGINS["eve"], besieged.server
    put = {**eve, "Content-Type": OCI_MANIFEST}
    naming = index(IMAGE)
    path = f"/v2/public/app/manifests/{digest_of(naming)}"
    assert send(server, "PUT", path, {**eve, "Content-Type": OCI_INDEX}, naming)[0] == 201
    assert send(server, "GET", f"/v2/public/app/manifests/{MANIFEST}", eve)[0] == 404
    about = manifest(subject=descriptor(IMAGE, OCI_MANIFEST))
    assert send(server, "PUT", f"/v2/public/app/manifests/{digest_of(about)}", put, about)[0] == 201
    referrers = f"/v2/public/app/referrers/{MANIFEST}"
    assert [one["digest"] for one in json.loads(send(server, "GET", referrers, eve)[1])["manifests"]] == [
        digest_of(about)
    ]
    owner = basic("owner", "pw")
    theirs = send(server, "GET", f"/v2/private/app/referrers/{MANIFEST}", owner)
    assert json.loads(theirs[1])["manifests"] == []
    for query in ("", "?tag=mine", "?tag=v1"):
        assert send(server, "PUT", f"/v2/public/app/manifests/{MANIFEST}{query}", put, b"")[0] == 400
        assert send(server, "PUT", f"/v2/public/app/manifests/{MANIFEST}{query}", put, about)[0] == 400
        assert send(server, "PUT", f"/v2/private/app/manifests/{MANIFEST}{query}", put, IMAGE)[0] == 403
    assert send(server, "POST", f"/v2/public/app/blobs/uploads/?digest={BLOB}", eve, b"")[0] == 400
    begun = server.request("POST", "/v2/public/app/blobs/uploads/", None, eve)[1]["location"]
    assert send(server, "PUT", f"{begun}?digest={BLOB}", eve)[0] == 400
    for what in (f"blobs/{BLOB}", f"manifests/{MANIFEST}"):
        assert send(server, "GET", f"/v2/public/app/{what}", eve)[0] == 404
        assert send(server, "DELETE", f"/v2/public/app/{what}", eve)[0] == 404


@pytest.mark.parametrize(
    "query",
    [
        "from=private/app&from=public/app", "from=public/app&from=private/app", "from=private/app&digest={blob}",
        "from=private/app&mount={blob}", "from=", "from=.", "from=private", "from=private/app%00",
        "from=%2Fprivate/app", "from=private/app/", "from=_zot-blobs", "origin=private/app",
    ],
)  # fmt: skip
def test_no_mount_takes_it(besieged: Besieged, query: str) -> None:
    """However a mount names where the blob is, it is not mounted: the answer is an upload to fill, or a refusal."""
    path = f"/v2/public/mine/blobs/uploads/?mount={BLOB}&{query.format(blob=BLOB)}"
    assert send(besieged.server, "POST", path, LOGINS["eve"])[0] in (202, 400)
    assert send(besieged.server, "HEAD", f"/v2/public/mine/blobs/{BLOB}", LOGINS["eve"])[0] == 404


@pytest.mark.parametrize(
    "query",
    ["", "?n=1", "?n=0", "?last=private", "?last=private/", "?last=private/ap", "?last=p", "?n=1&last=o", "?n=1000000",
     "?last=%00", "?last=..", "?last=public/app&n=1", "?last=private/app&last=a", "?prefix=private"],
)  # fmt: skip
@pytest.mark.parametrize("who", LOGINS)
def test_no_list_tells_of_it(besieged: Besieged, who: str, query: str) -> None:
    """No page of the catalogue, nor its link to the next one, has the name, wherever it begins and how ever long."""
    status, headers, body = besieged.server.request("GET", f"/v2/_catalog{query}", None, LOGINS[who])
    assert status == 200
    assert b"private" not in body
    assert "private" not in headers.get("link", "")


@pytest.mark.parametrize("cookie", ["{owner}", "{owner}; session=x", "session=x; {owner}", "{owner}; {owner}"])
def test_a_cookie_beside_a_login(besieged: Besieged, cookie: str) -> None:
    """With a header Authorization the session of somebody else counts for nothing, wherever it stands."""
    _, headers, _ = besieged.server.request("GET", "/v2/", None, basic("owner", "pw"))
    owner = headers["set-cookie"].partition(";")[0]
    assert besieged.server.request("GET", "/v2/private/app/tags/list", None, {"Cookie": owner})[0] == 200
    beside = {"Cookie": cookie.format(owner=owner)}
    for path in PATHS[:5]:
        assert send(besieged.server, "GET", path, {**beside, **basic("eve", "pw")})[0] == 403
        assert send(besieged.server, "GET", path, {**basic("eve", "pw"), **beside})[0] == 403
    # Few, as after many the answer is that there were too many.
    for login in (basic("mallory", "wrong"), {"Authorization": "x"}):
        assert send(besieged.server, "GET", PATHS[0], {**beside, **login})[0] == 401


@pytest.mark.parametrize("value", ["bytes=0-", "bytes=0-0,2-3", "bytes=-5", "bytes=99-", "items=0-1"])
def test_ranges(besieged: Besieged, value: str) -> None:
    """A range is of no use where the whole is refused, and a manifest comes whole or not at all."""
    for who, login in LOGINS.items():
        expected = 401 if who == "nobody" else 403
        for path in PATHS[:5]:
            assert send(besieged.server, "GET", path, {**login, "Range": value})[0] == expected
    status, body = send(
        besieged.server, "GET", "/v2/private/app/manifests/v1", {**basic("owner", "pw"), "Range": value}
    )
    assert (status, body) == (200, IMAGE)


def test_a_login_is_for_one_request(besieged: Besieged) -> None:
    """On a connection that goes on, also where requests were sent at once, who logged in before is nobody again."""
    head = "GET /v2/private/app/tags/list HTTP/1.1\r\nHost: x\r\n"
    with_login = f"{head}Authorization: {basic('owner', 'pw')['Authorization']}\r\n\r\n"
    with Wire(besieged.server) as wire:
        wire.send((with_login + head + "\r\n" + with_login + head + "\r\n").encode())
        answers = [wire.answer() for _ in range(4)]
    assert [answer and answer.status for answer in answers] == [200, 401, 200, 401]


@pytest.mark.parametrize(
    "name", ["SCRIPT_NAME", "Script-Name", "PATH_INFO", "Path-Info", "REMOTE_USER", "X-Forwarded-Prefix"]
)
def test_no_header_moves_a_path(besieged: Besieged, name: str) -> None:
    """What would tell the server that a path begins later, or is another one, changes nothing."""
    for path, value in (("/v2/public/v2/private/app/tags/list", "/v2/public"), ("/v2/public/app/tags/list", "/v2")):
        for login in LOGINS.values():
            plain = send(besieged.server, "GET", path, login)
            assert send(besieged.server, "GET", path, {**login, name: value}) == plain


@pytest.mark.parametrize(
    ("user", "password"),
    [("owner ", "pw"), (" owner", "pw"), ("OWNER", "pw"), ("owner\0", "pw"), ("owner", ""), ("", "pw"), ("", ""),
     ("owner", "pw\0"), ("owner:pw", ""), ("owner\u200b", "pw"), ("\uff4fwner", "pw"), ("owner", "pw ")],
)  # fmt: skip
def test_almost_the_owner(besieged: Besieged, user: str, password: str) -> None:
    """A name or a password that only looks like the owner's is not theirs."""
    if (user, password) == ("", ""):
        # What some clients send for "nobody".
        assert send(besieged.server, "GET", PATHS[0], basic("", ""))[0] == 401
        return
    assert send(besieged.server, "GET", "/v2/public/app/tags/list", basic(user, password))[0] == 401


def test_nothing_was_changed(besieged: Besieged) -> None:
    """After all that the private image is as it was, for its owner."""
    owner = basic("owner", "pw")
    assert besieged.server.request("GET", f"/v2/private/app/blobs/{BLOB}", None, owner)[2] == SECRET
    assert besieged.server.request("GET", "/v2/private/app/manifests/v1", None, owner)[2] == IMAGE
    assert b"private" not in besieged.server.request("GET", "/v2/_catalog", None, LOGINS["eve"])[2]


def test_the_log_has_no_secrets(besieged: Besieged) -> None:
    """Passwords, headers and cookies of all these requests are not in the log."""
    log = Path(besieged.server.log).read_text()
    assert basic("owner", "pw")["Authorization"][6:] not in log
    assert "eyJhbGciOiJub25lIn0" not in log
