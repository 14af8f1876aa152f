"""Request bodies, in pieces: never held whole unless they are small, and read from the socket where that is safe.

Through `wsgi.input` gunicorn copies each byte several times. A body of known length on an HTTP/1.1 connection is
instead received straight into one buffer, also over TLS; everything else goes through `wsgi.input`.
"""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from typing import Any

from gunicorn.http.body import Body, LengthReader
from gunicorn.http.errors import ParseException

from zot.errors import ManifestInvalid, SizeInvalid, Unsupported

PIECE = 256 * 1024
_MEND_RANGE = "ask for the status of the upload, and go on with a Content-Range that fits the body"
Environ = dict[str, Any]


def length(environ: Environ) -> int | None:
    """Return the body's length as the client says it, in bytes; None for a chunked body.

    Raises `Unsupported` (501) for a body that is encoded in another way too (RFC 9112, section 6.1).
    """
    encoding = environ.get("HTTP_TRANSFER_ENCODING")
    if encoding is not None:
        if encoding.strip().lower() != "chunked":
            raise Unsupported(f"bodies in {encoding[:80]!r} are not decoded", "send the body as it is", status=501)
        return None
    return int(environ.get("CONTENT_LENGTH") or 0)


def pieces(environ: Environ) -> Iterator[bytes | memoryview]:
    """Yield the body; a piece is valid until the next one.

    Raises `SizeInvalid` if it breaks off, if nothing comes for a minute (408), or if its chunks are malformed.
    """
    expected = length(environ)
    got = 0
    try:
        for piece in _source(environ, expected):
            got += len(piece)
            yield piece
    except (BlockingIOError, TimeoutError) as error:
        raise SizeInvalid(
            f"nothing came for a while, after {got} bytes of the body", "send the body without such pauses", status=408
        ) from error
    except (OSError, ParseException) as error:
        raise _broken(got, expected) from error
    if expected is not None and got < expected:
        raise _broken(got, expected)


def exactly(body: Iterator[bytes | memoryview], expected: int) -> Iterator[bytes | memoryview]:
    """Yield a body of unknown length that should have so many bytes. Raises `SizeInvalid` if it has more or fewer."""
    got = 0
    for piece in body:
        got += len(piece)
        if got > expected:
            raise SizeInvalid(f"the body has more than the {expected} bytes that Content-Range names", _MEND_RANGE)
        yield piece
    if got < expected:
        raise SizeInvalid(f"the body has {got} of the {expected} bytes that Content-Range names", _MEND_RANGE)


def whole(environ: Environ, limit: int) -> bytes:
    """Return a small body. Raises `ManifestInvalid` (413) if it is longer than `limit`, and reads no further then."""
    expected = length(environ)
    if expected is not None and expected > limit:
        raise _too_long(limit)
    body = bytearray()
    for piece in pieces(environ):
        body += piece
        if len(body) > limit:
            raise _too_long(limit)
    return bytes(body)


def _source(environ: Environ, expected: int | None) -> Iterator[bytes | memoryview]:
    if expected == 0:
        return iter(())
    body, connection = environ["wsgi.input"], environ.get("gunicorn.socket")
    if isinstance(connection, socket.socket) and isinstance(body, Body) and isinstance(body.reader, LengthReader):
        return _from_socket(body, body.reader, connection)
    return iter(lambda: body.read(PIECE), b"")


def _from_socket(body: Any, reader: LengthReader, connection: socket.socket) -> Iterator[bytes | memoryview]:
    """Take over from gunicorn's reader, and keep its count of what is still on the wire true at every step."""
    unreader: Any = reader.unreader
    ready, body.buf = body.buf.getvalue(), io.BytesIO()
    if ready:
        yield ready
    ahead = unreader.take_buffered()
    if ahead:
        own, following = ahead[: reader.length], ahead[reader.length :]
        # What lies beyond this body is the next request of a client that pipelines.
        unreader.unread(following)
        reader.length -= len(own)
        yield own
    buffer = memoryview(bytearray(min(PIECE, reader.length)))
    while reader.length:
        try:
            received = connection.recv_into(buffer[: reader.length])
        except OSError:
            body.failed = True
            raise
        if not received:
            body.failed = True
            return
        reader.length -= received
        yield buffer[:received]


def _broken(got: int, expected: int | None) -> SizeInvalid:
    promised = "" if expected is None else f" of {expected}"
    return SizeInvalid(f"the body broke off after {got}{promised} bytes", "send it again, whole")


def _too_long(limit: int) -> ManifestInvalid:
    return ManifestInvalid(
        f"the manifest is longer than {limit} bytes",
        "split it, or move what is large into a blob",
        status=413,
        detail={"limit": limit},
    )
