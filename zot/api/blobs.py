"""The routes of blobs (distribution specification, "Pulling blobs", "Deleting Blobs")."""

from __future__ import annotations

import io
import logging
import os
import ssl
from collections.abc import Callable, Generator, Iterator
from typing import Any, BinaryIO

from flask import Response, request

from zot.api import ranges
from zot.api.ranges import Range
from zot.api.rendering import empty
from zot.cores import LARGE, Cores
from zot.oci import digest as digests
from zot.registry import blobs
from zot.registry.stores import Stores
from zot.storage.protocol import Content

log = logging.getLogger(__name__)

OCTETS = "application/octet-stream"
_PIECE = 256 * 1024


class BlobViews:
    """Views over `zot.registry.blobs`."""

    def __init__(self, stores: Stores, cores: Cores) -> None:
        self._stores = stores
        self._cores = cores

    def get(self, name: str, digest: str) -> Response:
        """Serve a blob: whole, one range, several ranges, or not at all if the client has it."""
        found = digests.parse(digest)
        headers = {"Docker-Content-Digest": digest, "ETag": f'"{digest}"', "Accept-Ranges": "bytes"}
        if request.method == "HEAD":
            headers["Content-Length"] = str(blobs.ask(self._stores.of(name), name, found).size)
            return Response(status=200, headers=headers, content_type=OCTETS)
        if client_has(digest):
            blobs.stat(self._stores.of(name), name, found)
            return empty(304, headers)
        content = blobs.open_blob(self._stores.of(name), name, found)
        try:
            return self._answer(content, headers, digest)
        except BaseException:
            content.file.close()
            raise

    def delete(self, name: str, digest: str) -> Response:
        """Delete a blob that no manifest needs."""
        blobs.delete(self._stores.of(name), name, digests.parse(digest))
        return empty(202, {"Content-Length": "0"})

    def _answer(self, content: Content, headers: dict[str, str], digest: str) -> Response:
        asked = request.environ.get("HTTP_RANGE")
        if asked is not None and request.environ.get("HTTP_IF_RANGE", f'"{digest}"') != f'"{digest}"':
            asked = None
        wanted = ranges.parse(asked, content.size)
        if wanted is None:
            return self._one(content, Range(0, content.size), 200, headers)
        if len(wanted) == 1:
            headers["Content-Range"] = wanted[0].content_range(content.size)
            return self._one(content, wanted[0], 206, headers)
        return _several(content, wanted, headers)

    def _one(self, content: Content, part: Range, status: int, headers: dict[str, str]) -> Response:
        """Send one stretch: gunicorn does it by sendfile if it has a file, from where that stands."""
        content.file.seek(part.start)
        headers["Content-Length"] = str(part.length)
        wrapper = request.environ.get("wsgi.file_wrapper")
        # Over TLS there is no sendfile, and without it gunicorn would read on to the end of the file.
        has_tls = isinstance(request.environ.get("gunicorn.socket"), ssl.SSLSocket)
        if wrapper is None or has_tls or not isinstance(content.file, io.FileIO):
            body: Any = _Begun(_closing(content.file, part, self._cores, request.environ))
        else:
            body = wrapper(content.file, _PIECE)
            come_back = self._cores.roam() if part.length >= LARGE else _nothing
            # The server closes what it has sent, in the thread that sent it.
            body.close = _after(come_back, content.file, part, request.environ)
        return Response(body, status, headers, content_type=OCTETS, direct_passthrough=True)


class _Begun:
    """Pieces of a body, of which the first is read at once: what fails there is still answered with an error."""

    def __init__(self, pieces: Generator[bytes, None, None]) -> None:
        self._pieces = pieces
        self._first = next(pieces, b"")

    def __iter__(self) -> Iterator[bytes]:
        yield self._first
        yield from self._pieces

    def close(self) -> None:
        """End the reading, wherever it is."""
        self._pieces.close()


def _nothing() -> None:
    """Do nothing."""


def _after(come_back: Callable[[], None], file: io.FileIO, part: Range, environ: dict[str, Any]) -> Callable[[], None]:
    def close_and_come_back() -> None:
        come_back()
        if os.fstat(file.fileno()).st_size < part.start + part.length:
            _cut_short(environ)
        file.close()

    return close_and_come_back


def _cut_short(environ: dict[str, Any]) -> None:
    """End the connection, as a file was cut short while it was sent: the client must not wait for the rest."""
    log.error("%s was cut short while it was sent, so its connection is ended", environ.get("PATH_INFO"))
    if (served := getattr(environ["wsgi.input"], "request", None)) is not None:
        served.must_close = True


def client_has(digest: str) -> bool:
    """Tell whether If-None-Match names this content (RFC 9110, section 13.1.2)."""
    header: str | None = request.environ.get("HTTP_IF_NONE_MATCH")
    if header is None:
        return False
    return header.strip() == "*" or f'"{digest}"' in (tag.strip().removeprefix("W/") for tag in header.split(","))


def _several(content: Content, parts: list[Range], headers: dict[str, str]) -> Response:
    boundary = os.urandom(16).hex()
    before = f"\r\n--{boundary}\r\nContent-Type: {OCTETS}\r\nContent-Range: "
    heads = [f"{before}{part.content_range(content.size)}\r\n\r\n".encode() for part in parts]
    end = f"\r\n--{boundary}--\r\n".encode()
    total = sum(len(head) for head in heads) + sum(part.length for part in parts) + len(end)
    headers["Content-Length"] = str(total)
    environ = request.environ

    def body() -> Generator[bytes, None, None]:
        with content.file:
            for head, part in zip(heads, parts, strict=True):
                yield head
                content.file.seek(part.start)
                if not (yield from _stretch(content.file, part, environ)):
                    return
            yield end

    kind = f"multipart/byteranges; boundary={boundary}"
    return Response(body(), 206, headers, content_type=kind, direct_passthrough=True)


def _closing(file: BinaryIO, part: Range, cores: Cores, environ: dict[str, Any]) -> Generator[bytes, None, None]:
    with file:
        yield from cores.roaming(_stretch(file, part, environ), part.length)


def _stretch(file: BinaryIO, part: Range, environ: dict[str, Any]) -> Generator[bytes, None, bool]:
    """Yield what a range asks for; returns whether the file had all of it."""
    left = part.length
    while left and (piece := file.read(min(_PIECE, left))):
        left -= len(piece)
        yield piece
    if left:
        _cut_short(environ)
    return not left
