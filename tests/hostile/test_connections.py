"""Framing that lies, bodies that nobody reads, and what becomes of the connection."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.hostile.wire import BLOB, PING, Wire, ask, goes_on_as_announced, is_refusal, push_image, raw
from tests.images import OCI_MANIFEST, digest_of, manifest
from tests.servers import Server

MANIFEST_HEAD = f"PUT /v2/good/manifests/bad HTTP/1.1\r\nHost: x\r\nContent-Type: {OCI_MANIFEST}\r\n".encode()
DELETE_V1 = b"DELETE /v2/good/manifests/v1 HTTP/1.1\r\nHost: x\r\n\r\n"
REFUSED_BY_GUNICORN = {
    "lower-case method": b"get /v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "no path": b"GET v2 HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "NUL in the path": b"GET /v2/\x00/tags/list HTTP/1.1\r\nHost: x\r\n\r\n",
    "long line": b"GET /v2/" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "many headers": b"GET /v2/ HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    "folded header": b"GET /v2/ HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    "space before colon": b"GET /v2/ HTTP/1.1\r\nHost : x\r\n\r\n",
    "negative length": MANIFEST_HEAD + b"Content-Length: -1\r\n\r\n",
    "signed length": MANIFEST_HEAD + b"Content-Length: +5\r\n\r\nabcde",
    "length in words": MANIFEST_HEAD + b"Content-Length: five\r\n\r\nabcde",
    "two lengths": MANIFEST_HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "length and chunks": MANIFEST_HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "unknown coding": MANIFEST_HEAD + b"Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
    "unknown expectation": MANIFEST_HEAD + b"Expect: wonders\r\nContent-Length: 2\r\n\r\nab",
}
BROKEN_BODIES = {
    "cut off": b"Content-Length: 50\r\n\r\nabc",
    "chunk size is no number": b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    "chunk size negative": b"Transfer-Encoding: chunked\r\n\r\n-5\r\nabcde\r\n0\r\n\r\n",
    "chunk size huge": b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\nabc\r\n",
    "chunk longer than said": b"Transfer-Encoding: chunked\r\n\r\n2\r\nabcde\r\n0\r\n\r\n",
    "chunk cut off": b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
    "no last chunk": b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
}
UNREAD = {
    "too long": raw("PUT", "/v2/good/manifests/bad", {"Content-Type": OCI_MANIFEST, "Content-Length": "5000000"}),
    "unknown type": raw("PUT", "/v2/good/manifests/bad", {"Content-Type": "text/plain", "Content-Length": "5000000"}),
    "unknown session": raw("PATCH", "/v2/good/blobs/uploads/x", {"Content-Length": "5000000"}),
    "bad name": raw("POST", "/v2/Bad/blobs/uploads/", {"Content-Length": "5000000"}),
}


@pytest.mark.parametrize("request_", REFUSED_BY_GUNICORN.values(), ids=REFUSED_BY_GUNICORN)
def test_what_is_no_request_is_refused(besieged: Server, request_: bytes) -> None:
    """What is not HTTP, or lies about its framing, is 4xx and the end of its connection, which is announced."""
    with Wire(besieged) as wire:
        wire.send(request_)
        answer = wire.answer()
        assert answer is not None
        assert 400 <= answer.status < 500
        assert answer.headers["connection"] == "close"
        assert wire.answer() is None


@pytest.mark.parametrize("request_", REFUSED_BY_GUNICORN.values(), ids=REFUSED_BY_GUNICORN)
def test_even_those_are_told_what_to_do(besieged: Server, request_: bytes) -> None:
    """The refusal of what is no request is an error document too."""
    with Wire(besieged) as wire:
        wire.send(request_)
        answer = wire.answer()
    assert answer is not None
    is_refusal(answer, answer.status)


@pytest.mark.parametrize("body", BROKEN_BODIES.values(), ids=BROKEN_BODIES)
@pytest.mark.parametrize("path", ["manifests/bad", f"blobs/uploads/?digest={digest_of(BLOB)}", "blobs/uploads/"])
def test_a_body_that_breaks_off_is_refused(besieged: Server, path: str, body: bytes) -> None:
    """A body that is shorter than it says, or whose chunks are none, is 4xx and enters nowhere."""
    method = "PUT" if path.startswith("manifests") else "POST"
    with Wire(besieged) as wire:
        head = f"{method} /v2/good/{path} HTTP/1.1\r\nHost: x\r\nContent-Type: {OCI_MANIFEST}\r\n".encode()
        wire.send(head + body, then_end=True)
        answer = wire.answer()
    assert answer is not None
    if answer.status == 202:
        # A session begins without its request's body being read.
        assert ask(besieged, "DELETE", answer.headers["location"]).status == 204
    else:
        is_refusal(answer, 400)


@pytest.mark.parametrize("body", BROKEN_BODIES.values(), ids=BROKEN_BODIES)
def test_nothing_is_smuggled_after_a_broken_body(besieged: Server, body: bytes) -> None:
    """What follows a body that can't be read to its end is never taken for a request."""
    with Wire(besieged) as wire:
        wire.send(MANIFEST_HEAD + body + DELETE_V1, then_end=True)
        while wire.answer() is not None:
            pass
    assert ask(besieged, "GET", "/v2/good/manifests/v1").status == 200


@pytest.mark.parametrize("unread", UNREAD.values(), ids=UNREAD)
def test_what_was_not_read_is_no_request(besieged: Server, unread: bytes) -> None:
    """The body of a request that was refused unread is never taken for the next one."""
    with Wire(besieged) as wire:
        wire.send(unread.replace(b"5000000", str(len(DELETE_V1)).encode()) + DELETE_V1)
        answer = wire.answer()
        assert answer is not None
        goes_on_as_announced(wire, answer)
    assert ask(besieged, "GET", "/v2/good/manifests/v1").status == 200


@pytest.mark.parametrize("unread", UNREAD.values(), ids=UNREAD)
def test_a_refusal_comes_before_the_body(besieged: Server, unread: bytes) -> None:
    """Who asks before sending a large body (`Expect: 100-continue`) or waits learns of the refusal at once."""
    with Wire(besieged) as wire:
        wire.send(unread)
        answer = wire.answer()
    assert answer is not None
    # Who waited for the body would say in the end that it did not come: 408.
    assert answer.status in (400, 404, 413, 415)
    is_refusal(answer, answer.status)


@pytest.mark.parametrize("unread", UNREAD.values(), ids=UNREAD)
def test_a_refusal_before_the_body_ends_the_connection(besieged: Server, unread: bytes) -> None:
    """A refusal that leaves a large body unread says that the connection ends, so that no client uses it again."""
    with Wire(besieged) as wire:
        wire.send(unread)
        answer = wire.answer()
    assert answer is not None
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("name", ["chunk size is no number", "chunk size negative"])
def test_a_broken_body_ends_the_connection(besieged: Server, name: str) -> None:
    """Nobody knows where the next request begins after a broken chunk, so the answer says that it is the last."""
    with Wire(besieged) as wire:
        wire.send(MANIFEST_HEAD + BROKEN_BODIES[name])
        answer = wire.answer()
    assert answer is not None
    assert answer.headers["connection"] == "close"


def test_too_long_a_manifest_is_read_no_further(besieged: Server) -> None:
    """A manifest in chunks without end is 413 soon after 4 MiB: at most a few more MiB leave the client."""
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    sent = 0
    with Wire(besieged) as wire:
        wire.send(MANIFEST_HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        try:
            while sent < 100 * len(chunk):
                wire.socket.sendall(chunk)
                sent += len(chunk)
        except OSError:
            pass
    assert sent < 40 * len(chunk)
    assert ask(besieged, "GET", "/v2/").status == 200


def test_requests_may_follow_each_other_at_once(besieged: Server) -> None:
    """Requests sent together, some of them refused, are answered in their order on one connection."""
    asked = [("GET", "/v2/", 200), ("HEAD", "/v2/good/manifests/nope", 404), ("GET", "/v2/Bad/tags/list", 400),
             ("PUT", "/v2/good/manifests/bad", 415), ("GET", "/v2/good/manifests/v1", 200),
             ("OPTIONS", "/v2/", 405), ("GET", "/nowhere", 404), ("HEAD", "/v2/good/manifests/v1", 200)]  # fmt: skip
    with Wire(besieged) as wire:
        for method, path, _ in asked:
            wire.send(raw(method, path, {"Content-Type": "text/plain"}, b"body" if method == "PUT" else b""))
            # http.client reads ahead, so each answer is read before the next request is sent.
            answer = wire.answer(method)
            assert answer is not None
            assert answer.status == next(status for one, other, status in asked if (one, other) == (method, path))


def test_who_hangs_up_while_pulling_is_no_error(shared_server: Server) -> None:
    """A client that ends its connection in the middle of a pull, whole or in parts, leaves no traceback in the log."""
    push_image(shared_server, "large")
    content = b"q" * 20_000_000
    path = f"/v2/large/blobs/{digest_of(content)}"
    assert shared_server.request("POST", f"/v2/large/blobs/uploads/?digest={digest_of(content)}", content)[0] == 201
    for headers in ({}, {"Range": "bytes=5-"}, {"Range": "bytes=0-9000000,10000000-"}):
        with Wire(shared_server) as wire:
            wire.send(raw("GET", path, headers))
            assert wire.socket.recv(1000).startswith(b"HTTP/1.1 20")
    assert shared_server.request("GET", path, headers={"Range": "bytes=-1"})[2] == b"q"


BASES = [
    raw("GET", "/v2/good/tags/list?n=1&last=a"),
    raw("GET", "/v2/good/manifests/v1", {"Accept": OCI_MANIFEST, "If-None-Match": '"x"'}),
    raw("GET", f"/v2/good/blobs/{digest_of(BLOB)}", {"Range": "bytes=0-1,4-5"}),
    raw("PUT", "/v2/good/manifests/bad", {"Content-Type": OCI_MANIFEST}, manifest(layers=(b"not here",))),
    raw("PATCH", "/v2/good/blobs/uploads/none", {"Content-Range": "0-2"}, b"012"),
    raw("DELETE", "/v2/good/manifests/nope"),
    raw(
        "PUT",
        "/v2/good/blobs/uploads/none?digest=sha256:bad",
        {"Transfer-Encoding": "chunked"},
        b"3\r\nabc\r\n0\r\n\r\n",
    ),
]


@settings(max_examples=400)
@given(
    base=st.sampled_from(BASES),
    edits=st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 4), st.binary(max_size=4) | st.sampled_from([b"\r\n", b"%", b"\0"])),
        min_size=1,
        max_size=4,
    ),
)
@example(base=BASES[4], edits=[(0.32, 0, b"%0A")])
def test_a_request_with_a_few_bytes_changed(
    besieged: Server, base: bytes, edits: list[tuple[float, int, bytes]]
) -> None:
    """A good request in which a few bytes were changed is never a failure of the server, and it serves on."""
    request = base
    for where, drop, insert in edits:
        place = int(where * len(request))
        request = request[:place] + insert + request[place + drop :]
    with Wire(besieged) as wire:
        wire.send(request, then_end=True)
        while (answer := wire.answer()) is not None:
            # 501 is what RFC 9112 asks for where a transfer coding is unknown.
            assert answer.status < 500 or answer.status == 501, answer
            if answer.status == 202 and "docker-upload-uuid" in answer.headers:
                besieged.request("DELETE", answer.headers["location"])
    with Wire(besieged) as wire:
        wire.send(PING)
        answer = wire.answer()
        assert answer is not None
        assert answer.status == 200
