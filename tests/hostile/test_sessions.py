"""Upload sessions that are used in ways they should not be."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.hostile.wire import BLOB, Answer, Wire, ask, is_refusal, raw
from tests.images import digest_of
from tests.servers import PATIENCE, Server, running_server, wait_until

NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def session(besieged: Server) -> Iterator[str]:
    """The address of a session, which is cancelled in the end."""
    where = ask(besieged, "POST", "/v2/good/blobs/uploads/").headers["location"]
    yield where
    # Whoever hung up in the middle of a test may hold it for a moment longer.
    wait_until(lambda: besieged.request("DELETE", where)[0] in (204, 404), "the session ends")


@pytest.mark.parametrize(
    "value",
    ["3-5", "0-3", "0-1", "2-0", "-", "a-b", "0", "0-", "-2", "items 0-2", "0-2, 3-5", "0-2-4", "bytes=0-2", "0x0-0x2",
     "\xb2-\xb3", "0-" + "9" * 400, "9" * 30 + "-" + "9" * 30],
)  # fmt: skip
def test_a_range_that_does_not_fit_leaves_the_session_good(besieged: Server, session: str, value: str) -> None:
    """A Content-Range out of order, of another length or malformed is 416, and the upload goes on where it stood."""
    is_refusal(ask(besieged, "PATCH", session, {"Content-Range": value}, b"012"), 416, "BLOB_UPLOAD_INVALID")
    assert ask(besieged, "PATCH", session, {"Content-Range": "0-2"}, b"012").headers["range"] == "0-2"
    is_refusal(ask(besieged, "PATCH", session, {"Content-Range": "5-7"}, b"567"), 416, "BLOB_UPLOAD_INVALID")
    assert ask(besieged, "GET", session).headers["range"] == "0-2"
    assert ask(besieged, "PATCH", session, {"Content-Range": "3-9"}, b"3456789").headers["range"] == "0-9"
    assert ask(besieged, "PUT", f"{session}?digest={digest_of(BLOB)}").status == 201


def test_two_content_ranges(besieged: Server, session: str) -> None:
    """Two Content-Range headers are one too many, even if they agree."""
    with Wire(besieged) as wire:
        head = f"PATCH {session} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n".encode()
        wire.send(head + b"Content-Range: 0-2\r\nContent-Range: 0-2\r\n\r\n012")
        answer = wire.answer()
    assert answer is not None
    is_refusal(answer, 416, "BLOB_UPLOAD_INVALID")
    assert ask(besieged, "GET", session).headers["range"] == "0-0"


@pytest.mark.parametrize("digest", ["", "sha256:bad", digest_of(b"else"), "sha512:" + "0" * 128, "%00", "md5:0"])
def test_a_digest_that_is_not_that_of_the_content(besieged: Server, session: str, digest: str) -> None:
    """A PUT with a digest that does not fit is DIGEST_INVALID, and no blob enters."""
    assert ask(besieged, "PATCH", session, {}, b"something new").status == 202
    is_refusal(ask(besieged, "PUT", f"{session}?digest={digest}"), 400, "DIGEST_INVALID")
    assert ask(besieged, "HEAD", f"/v2/good/blobs/{digest_of(b'something new')}").status == 404


@pytest.mark.parametrize("query", ["", f"?digest={digest_of(BLOB)}&digest={digest_of(BLOB)}"], ids=["none", "two"])
def test_a_put_needs_one_digest(besieged: Server, session: str, query: str) -> None:
    """A PUT without a digest, or with two, is refused and the session goes on."""
    is_refusal(ask(besieged, "PUT", f"{session}{query}", {}, BLOB), 400, "DIGEST_INVALID")
    assert ask(besieged, "GET", session).status == 204


@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
def test_a_session_belongs_to_its_repository(besieged: Server, session: str, method: str) -> None:
    """In another repository, below or above its own, a session is not there."""
    identity = session.rpartition("/")[2]
    body = b"x" if method in ("PATCH", "PUT") else b""
    for name in ("other", "good/good", "goo"):
        path = f"/v2/{name}/blobs/uploads/{identity}?digest={digest_of(b'x')}"
        is_refusal(ask(besieged, method, path, {}, body), 404, "BLOB_UPLOAD_UNKNOWN")
    assert ask(besieged, "GET", session).headers["range"] == "0-0"


@pytest.mark.parametrize(
    "identity", [NOBODY, NOBODY.upper(), "x", "..", "%2e%2e", "%00", "a" * 1000, f"{NOBODY}-0", "%0A", "*", "%E2%82%AC"]
)
@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
def test_a_session_that_never_was(besieged: Server, identity: str, method: str) -> None:
    """An identifier that no session has is 404, whatever it looks like."""
    path = f"/v2/good/blobs/uploads/{identity}?digest={digest_of(BLOB)}"
    answer = ask(besieged, method, path, {}, b"x" if method in ("PATCH", "PUT") else b"")
    is_refusal(answer, 404)


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_line_break_in_an_identifier(tmp_path: Path, method: str) -> None:
    """A line break in a session's identifier is a refusal like another, though the Content-Range is wrong as well."""
    with running_server(tmp_path, "--workers", "2") as server:
        path = f"/v2/good/blobs/uploads/a%0D%0AX:y?digest={digest_of(BLOB)}"
        assert ask(server, method, path, {"Content-Range": "bad"}, b"x").status in (404, 416)


def test_one_of_two_writers_is_told_to_wait(besieged: Server, session: str) -> None:
    """While one PATCH is under way another request on its session is a clear 4xx, and the first one succeeds."""
    with Wire(besieged) as first:
        first.send(raw("PATCH", session, {"Content-Length": "6"}) + b"012")
        wait_until(lambda: ask(besieged, "GET", session).status == 409, "the first writer holds the session")
        for method in ("PATCH", "PUT", "GET", "DELETE"):
            body = b"xyz" if method in ("PATCH", "PUT") else b""
            answer: Answer | None = ask(besieged, method, f"{session}?digest={digest_of(BLOB)}", {}, body)
            assert answer is not None
            is_refusal(answer, 409, "BLOB_UPLOAD_INVALID")
        first.send(b"345")
        answer = first.answer()
    assert answer is not None
    assert (answer.status, answer.headers["range"]) == (202, "0-5")


def test_of_eight_writers_at_once_one_wins(besieged: Server) -> None:
    """Of eight PATCHes with the same first chunk one is 202, the others 409 or 416, and the session holds it once."""
    for _ in range(10):
        where = ask(besieged, "POST", "/v2/good/blobs/uploads/").headers["location"]
        together = threading.Barrier(8)

        def patch(number: int, where: str = where, together: threading.Barrier = together) -> int:
            together.wait(PATIENCE)
            return ask(besieged, "PATCH", where, {"Content-Range": "0-9"}, b"%d" % number * 10).status

        with ThreadPoolExecutor(8) as pool:
            statuses = sorted(pool.map(patch, range(8)))
        assert statuses[0] == 202
        assert set(statuses[1:]) <= {409, 416}
        assert ask(besieged, "GET", where).headers["range"] == "0-9"
        assert ask(besieged, "DELETE", where).status == 204


def test_a_broken_upload_goes_on(besieged: Server, session: str) -> None:
    """A PATCH whose connection ends leaves what came; the client asks where it stands and goes on from there."""
    with Wire(besieged) as wire:
        wire.send(raw("PATCH", session, {"Content-Length": "10"}) + BLOB[:4])
        wire.socket.shutdown(socket.SHUT_WR)
        wire.answer()
    answer = ask(besieged, "GET", session)
    assert answer.headers["range"] == "0-3"
    assert ask(besieged, "PATCH", session, {"Content-Range": "4-9"}, BLOB[4:]).status == 202
    assert ask(besieged, "PUT", f"{session}?digest={digest_of(BLOB)}").status == 201


@pytest.mark.parametrize("query", ["mount=sha256:bad", "mount=", "mount=%00&from=good", "digest=&digest="])
def test_a_mount_of_nothing_is_refused(besieged: Server, query: str) -> None:
    """A mount or a push of a digest that is none is DIGEST_INVALID."""
    is_refusal(ask(besieged, "POST", f"/v2/good/blobs/uploads/?{query}"), 400, "DIGEST_INVALID")


@pytest.mark.parametrize("source", ["..", "Good", "%00", "a" * 256, "_zot-blobs"])
def test_a_mount_from_a_bad_name_is_refused(besieged: Server, source: str) -> None:
    """The repository that a mount names is checked as one in a path is."""
    answer = ask(besieged, "POST", f"/v2/good/blobs/uploads/?mount={digest_of(b'nowhere')}&from={source}")
    is_refusal(answer, 400, "NAME_INVALID")
