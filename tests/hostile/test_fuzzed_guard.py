"""Requests put together at random from all that the guard looks at: none leads somebody to what is not theirs."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.test import Client, EnvironBuilder

from tests.auth.test_htpasswd import line
from tests.images import OCI_INDEX, OCI_MANIFEST, digest_of, manifest
from zot.app import create_app
from zot.config import Config

CASES = int(os.environ.get("ZOT_GUARD_CASES", "300"))
SECRET = b"the bytes that nobody else is to see"
IMAGE = manifest(SECRET, (SECRET,))
BLOB, MANIFEST = digest_of(SECRET), digest_of(IMAGE)
ALL = ["read", "create", "update", "delete"]
POLICY = {
    "private/**": {"policies": [{"users": ["owner"], "actions": ALL}]},
    "public/**": {"policies": [{"users": ["owner", "eve"], "actions": ALL}], "anonymousPolicy": ["read"]},
}
PIECES = [
    "private", "app", "public", "mine", "v2", "_catalog", "tags", "list", "manifests", "blobs", "uploads", "referrers",
    "v1", BLOB, MANIFEST, BLOB[7:], "..", ".", "", "%2e%2e", "%2F", "%00", "%", "private%2fapp", "_zot-blobs", "zot",
    "auth", "apikey", "metrics", "PRIVATE", "%70rivate", "private;x", "private?x", "*", "~", "\\",
]  # fmt: skip
ROUTES = [
    "", f"blobs/{BLOB}", "manifests/v1", f"manifests/{MANIFEST}", "tags/list", f"referrers/{MANIFEST}",
    "blobs/uploads/", "blobs/uploads/00000000-0000-0000-0000-000000000000",
]  # fmt: skip
QUERIES = [
    f"mount={BLOB}", "from=private/app", "from=public/app", f"digest={BLOB}", f"digest={MANIFEST}", "tag=v1", "n=1",
    "last=private", "last=a", "artifactType=x", "id=x", "from=private%2Fapp",
]  # fmt: skip
HEADERS = [
    ("Range", "bytes=0-3"), ("If-None-Match", "*"), ("If-None-Match", f'"{BLOB}"'), ("Content-Range", "0-0"),
    ("X-HTTP-Method-Override", "GET"), ("X-Original-URL", "/v2/private/app/tags/list"), ("X-Forwarded-User", "owner"),
    ("Content-Type", OCI_MANIFEST), ("Content-Type", OCI_INDEX), ("Cookie", "session=owner"), ("Script-Name", "/v2"),
    ("X-ZOT-API-CLIENT", "x"), ("Origin", "http://localhost"), ("Host", "private"), ("Accept", "*/*"),
]  # fmt: skip


def basic(user: str) -> str:
    """Return a login."""
    return "Basic " + b64encode(f"{user}:pw".encode()).decode()


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """A registry with an image that only its owner may see."""
    directory: Path = tmp_path_factory.mktemp("fuzzed")
    (directory / "htpasswd").write_text(line("owner", "pw") + line("eve", "pw"))
    auth = {"htpasswd": {"path": str(directory / "htpasswd")}, "apikey": True}
    http = {"auth": auth, "accessControl": {"repositories": POLICY}}
    storage = {"rootDirectory": str(directory / "root"), "commit": False}
    made = create_app(Config.model_validate({"storage": storage, "http": http, "extensions": {"metrics": {}}}))
    owner = {"Authorization": basic("owner"), "Content-Type": OCI_MANIFEST}
    client = made.test_client(use_cookies=False)
    assert client.post(f"/v2/private/app/blobs/uploads/?digest={BLOB}", data=SECRET, headers=owner).status_code == 201
    assert client.put("/v2/private/app/manifests/v1", data=IMAGE, headers=owner).status_code == 201
    return made


def sent(app: Flask, method: str, target: str, headers: list[tuple[str, str]], body: bytes) -> tuple[int, bytes, str]:
    """Let the application answer a target as it stands in a request line; returns status, body and all headers."""
    environ = EnvironBuilder(method=method, headers=headers, data=body).get_environ()
    path, _, query = target.partition("?")
    environ |= {"RAW_URI": target, "PATH_INFO": unquote_to_bytes(path).decode("latin-1"), "QUERY_STRING": query}
    answer = Client(app).open(environ)
    return answer.status_code, answer.get_data(), str(answer.headers)


@settings(max_examples=CASES)
@given(
    method=st.sampled_from(["GET", "GET", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get", "MOVE"]),
    known=st.sampled_from([True, True, False]),
    name=st.sampled_from(["private/app/", "public/app/", "public/mine/", "private/", ""]),
    pieces=st.just([]) | st.lists(st.sampled_from(PIECES), max_size=3),
    route=st.sampled_from(ROUTES),
    query=st.lists(st.sampled_from(QUERIES), max_size=3),
    headers=st.lists(st.sampled_from(HEADERS), max_size=3),
    body=st.sampled_from([b"", IMAGE, b"x"]),
)
def test_no_request_leads_to_it(
    app: Flask,
    method: str,
    known: bool,
    name: str,
    pieces: list[str],
    route: str,
    query: list[str],
    headers: list[tuple[str, str]],
    body: bytes,
) -> None:
    """Whatever eve or nobody asks, the private bytes don't come, no list has their name, and they stay as they are."""
    target = f"/v2/{name}" + "/".join([*pieces, route]) + ("?" + "&".join(query) if query else "")
    login = [("Authorization", basic("eve"))] if known else []
    status, answer, said = sent(app, method, target, [*headers, *login], body)
    assert status != 500, target
    if name == "private/app/" and not pieces:
        assert status >= 400, target
    if body != IMAGE:
        assert SECRET not in answer
        assert IMAGE not in answer
    if status == 200 and "_catalog" in target:
        assert "private/app" not in json.dumps(answer.decode()) + said
    owner = [("Authorization", basic("owner"))]
    assert sent(app, "GET", f"/v2/private/app/blobs/{BLOB}", owner, b"")[:2] == (200, SECRET)
    assert sent(app, "GET", "/v2/private/app/manifests/v1", owner, b"")[:2] == (200, IMAGE)
    for other in ("public/app", "public/mine"):
        assert sent(app, "HEAD", f"/v2/{other}/blobs/{BLOB}", [("Authorization", basic("eve"))], b"")[0] == 404
