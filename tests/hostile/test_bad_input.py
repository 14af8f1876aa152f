"""Bad input of any kind: a clear refusal, nothing left behind, and a connection that goes on."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hostile.wire import stored
from tests.images import OCI_MANIFEST, digest_of, manifest
from tests.servers import PATIENCE, Server, running_server

EXAMPLES = settings(max_examples=250)
BLOB = b"0123456789"
METHODS = st.sampled_from(["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "BREW"])
ODD = st.sampled_from(
    ["..", ".", "%2F", "%2e%2e", "%00", "%", "%zz", "//", "A", "é", "_zot-blobs", "blobs", "index.json", "manifests",
     "tags", "list", "uploads", "x" * 300, "sha256:", digest_of(BLOB), "sha256:" + "G" * 64, "md5:0", "latest", " ",
     "\\", "?", "#"]
)  # fmt: skip
TEXT = st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=20)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that holds one image; when all tests are done, it must hold that and nothing else."""
    with running_server(tmp_path_factory.mktemp("hostile"), "--workers", "2") as running:
        for blob in (b"{}", b"layer", BLOB):
            assert running.request("POST", f"/v2/good/blobs/uploads/?digest={digest_of(blob)}", blob)[0] == 201
        assert running.request("PUT", "/v2/good/manifests/v1", manifest(), {"Content-Type": OCI_MANIFEST})[0] == 201
        before = stored(running.root)
        yield running
        assert stored(running.root) == before


def send(server: Server, raw: bytes, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """Send a request as raw bytes, and see that the connection goes on unless the answer ends it."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(raw)
        answer = http.client.HTTPResponse(connection, method=method)
        answer.begin()
        body = answer.read()
        headers = {key.lower(): value for key, value in answer.getheaders()}
        if headers.get("connection") != "close":
            connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
            again = http.client.HTTPResponse(connection)
            again.begin()
            assert (again.status, again.read()) == (200, b"{}")
            again.close()
        answer.close()
        return answer.status, headers, body


def request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """Return the bytes of a request, whatever its parts hold."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *(f"{name}: {value}" for name, value in headers.items())]
    if body and "Content-Length" not in headers and "Transfer-Encoding" not in headers:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def check(server: Server, method: str, answer: tuple[int, dict[str, str], bytes]) -> None:
    """See that an answer is none of the server's own failures, and that a refusal says why and what to do."""
    status, headers, body = answer
    assert status < 500, answer
    from_application = "json" in headers.get("content-type", "")
    if status >= 400 and method != "HEAD" and from_application:
        error = json.loads(body)["errors"][0]
        assert error["code"]
        assert error["message"]
        assert error["detail"]["reason"]
        assert error["detail"]["remedy"]
    if status == 202 and "docker-upload-uuid" in headers:
        assert server.request("DELETE", headers["location"])[0] == 204


@EXAMPLES
@given(method=METHODS, parts=st.lists(ODD | TEXT, max_size=6), body=st.binary(max_size=50))
def test_paths(server: Server, method: str, parts: list[str], body: bytes) -> None:
    """Any path below /v2/ with any method is answered, and refused if it is not one of the API's."""
    path = "/v2/" + "/".join(part.replace(" ", "%20") for part in parts)
    if path.startswith("/v2/good") and method == "DELETE":
        path = path.replace("/good", "/other")
    check(server, method, send(server, request(method, path, {}, body), method))


@EXAMPLES
@given(
    path=st.sampled_from(["tags/list", "manifests/v1", f"blobs/{digest_of(BLOB)}", f"referrers/{digest_of(BLOB)}"]),
    name=st.sampled_from(["Range", "If-None-Match", "If-Range", "Accept", "Content-Type", "Authorization", "Host"]),
    value=TEXT
    | st.sampled_from(["bytes=0-", "bytes=-5", "bytes=5-2", "bytes=0-0,9-", '"x"', "*", "bytes=99999999999999999999-"]),
    query=TEXT.map(lambda text: text.replace(" ", "+").replace("#", "")),
)
def test_headers_and_queries(server: Server, path: str, name: str, value: str, query: str) -> None:
    """Any header and any query on what is there gives the content, a part of it, or a clear refusal."""
    headers = {name: value.strip()} if value.isprintable() else {}
    for one in (f"/v2/good/{path}", f"/v2/good/{path}?n={query}&last={query}&artifactType={query}"):
        if one.isprintable() and " " not in one:
            check(server, "GET", send(server, request("GET", one, headers)))


@EXAMPLES
@given(
    changes=st.dictionaries(
        st.sampled_from(["schemaVersion", "mediaType", "config", "layers", "manifests", "subject", "annotations"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
            max_leaves=6,
        ),
        min_size=1,
    ),
    reference=st.sampled_from(["bad", digest_of(BLOB), "sha256:bad"]),
    cut=st.integers(0, 400),
)
def test_manifests(server: Server, changes: dict[str, object], reference: str, cut: int) -> None:
    """A manifest with anything in place of its fields, or cut off, is refused or is a manifest after all."""
    document = json.loads(manifest()) | {"annotations": {"refused": "sha256"}, "config": None} | changes
    for body in (json.dumps(document).encode(), json.dumps(document).encode()[:cut]):
        raw = request("PUT", f"/v2/good/manifests/{reference}", {"Content-Type": OCI_MANIFEST}, body or b" ")
        answer = send(server, raw)
        check(server, "PUT", answer)
        assert answer[0] in (400, 415)


@EXAMPLES
@given(
    data=st.binary(min_size=1, max_size=60),
    content_range=TEXT | st.sampled_from(["0-9", "5-9", "0-99999999999999999999", "9-0", "-", "bytes 0-9/10"]),
    digest=st.sampled_from([digest_of(BLOB), "sha256:bad", "", "sha512:" + "0" * 128]) | TEXT,
)
def test_uploads(server: Server, data: bytes, content_range: str, digest: str) -> None:
    """Whatever is sent to an upload session, it is refused or goes on, and is gone when it is cancelled."""
    where = server.request("POST", "/v2/good/blobs/uploads/")[1]["location"]
    headers = {"Content-Range": content_range.strip()} if content_range.isprintable() else {}
    check(server, "GET", send(server, request("PATCH", where, headers, data)))
    answer = server.request("PUT", f"{where}?digest={quote(digest)}", data)
    assert answer[0] in (400, 404, 416)
    assert server.request("DELETE", where)[0] in (204, 404)
    assert server.request("PATCH", where, b"x")[0] == 404


@settings(max_examples=100)
@given(garbage=st.binary(min_size=1, max_size=200))
def test_garbage(server: Server, garbage: bytes) -> None:
    """Bytes that are no request end their own connection at most."""
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)) as connection:
        connection.sendall(garbage + b"\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(65536)
        assert not answer or answer.startswith(b"HTTP/1.1 ")
        assert b" 500 " not in answer.partition(b"\r\n")[0]
    assert server.request("GET", "/v2/")[0] == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"POST /v2/good/blobs/uploads/?digest=sha256:bad HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v2/good/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"PUT /v2/good/manifests/x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0",
        b"PUT /v2/good/manifests/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"PUT /v2/good/manifests/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"NOT HTTP AT ALL\r\n\r\n",
        b"PUT /v2/good/manifests/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"PUT /v2/good/manifests/x HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\ntoo short",
        b"GET /v2/good/tags/list HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 20000 + b"\r\n\r\n",
        b"GET /v2/" + b"a" * 20000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=[
        "negative",
        "two lengths",
        "length and chunks",
        "bad chunk",
        "other coding",
        "no request",
        "cut chunk",
        "cut body",
        "long header",
        "long path",
    ],
)
def test_broken_framing(server: Server, raw: bytes) -> None:
    """A request whose framing lies is refused with an error document, and its connection ends."""
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        assert answer[9:10] == b"4", answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["errors"][0]["detail"]["remedy"]
    assert server.request("GET", "/v2/")[0] == 200


def test_too_long_is_read_no_further(server: Server) -> None:
    """A manifest that says it is too long is refused before it is sent; one of exactly 4 MiB is read."""
    head = b"PUT /v2/good/manifests/x HTTP/1.1\r\nHost: x\r\nContent-Type: " + OCI_MANIFEST.encode()
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)) as connection:
        connection.sendall(head + b"\r\nContent-Length: 99999999999\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413")
    whole = b" " * (4 * 1024 * 1024)
    assert server.request("PUT", "/v2/good/manifests/x", whole, {"Content-Type": OCI_MANIFEST})[0] == 400


def test_a_session_elsewhere(server: Server) -> None:
    """A session of one repository is not there in another, nor under a path that leads to it."""
    where = server.request("POST", "/v2/good/blobs/uploads/")[1]["location"]
    session = where.rpartition("/")[2]
    for path in (f"/v2/other/blobs/uploads/{session}", f"/v2/good/x/blobs/uploads/{session}"):
        for method in ("GET", "PATCH", "DELETE"):
            assert server.request(method, path, b"x" if method == "PATCH" else None)[0] == 404
    assert server.request("DELETE", where)[0] == 204
