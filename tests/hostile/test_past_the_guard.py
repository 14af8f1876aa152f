"""Attempts to get round the guard of a real server: tricks with paths, methods, headers, cookies and bodies.

`private/app` has an image that nobody but its owner may read; eve may read and write `public/**`. Whatever she, or
nobody, sends, the bytes of the private image never come back, nothing is written there, and no answer tells of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.hostile.wire import Wire
from tests.images import OCI_MANIFEST, digest_of, manifest
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
