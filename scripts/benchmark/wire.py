"""Requests as bytes and answers as they come: the part of HTTP/1.1 that a benchmark needs, at little cost."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import NamedTuple

KEPT = 1 << 16
"""Bodies up to this many bytes are kept; of longer ones the bytes are counted."""


class BadAnswerError(RuntimeError):
    """A server answered something else than was asked for, or nothing at all."""


class Request(NamedTuple):
    """A request, apart from its Host line, and the status that its answer must have.

    `stream` yields more of the body, for what does not fit memory. `length` is how long the answer must be, if known.
    """

    line: bytes
    rest: bytes
    expect: int
    bodiless: bool = False
    stream: Iterable[bytes] = ()
    length: int | None = None

    def data(self, host: bytes) -> bytes:
        """Return what is sent at once."""
        return b"".join((self.line, host, self.rest))


class Answer(NamedTuple):
    """A response: its head as it came, its body if that was kept, and the body's length."""

    status: int
    head: bytes
    body: bytes
    size: int

    def header(self, name: str) -> str:
        """Return a header's value; raises `BadAnswerError` if it is missing."""
        found = _header(self.head, name.lower().encode())
        if found is None:
            raise BadAnswerError(f"no {name} in {self.head!r}")
        return found.decode("latin-1")

    def location(self) -> str:
        """Return the Location's path and query; the header may be an absolute address."""
        where = self.header("location")
        return "/" + where.split("/", 3)[3] if where.startswith("http") else where

    @property
    def closes(self) -> bool:
        """Whether the server closes the connection after it."""
        return (_header(self.head, b"connection") or b"").lower() == b"close"


Unit = Generator[Request, Answer, int]
"""One unit of work: yields requests, is sent their answers, and returns how many bytes of content moved."""
Maker = Callable[[], Unit]


def request(
    method: str,
    path: str,
    expect: int,
    *,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    stream: tuple[int, Iterable[bytes]] | None = None,
    length: int | None = None,
) -> Request:
    """Build a request; `stream` is the length and the pieces of a long body."""
    lines = [f"{name}: {value}" for name, value in (headers or {}).items()]
    if method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {stream[0] if stream else len(body)}")
    rest = "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body
    pieces = stream[1] if stream else ()
    return Request(f"{method} {path} HTTP/1.1\r\n".encode(), rest, expect, method == "HEAD", pieces, length)


class Reader:
    """Reads one answer from the pieces in which it comes."""

    def __init__(self, *, bodiless: bool) -> None:
        self._bodiless = bodiless
        self._data = bytearray()
        self._head: bytes | None = None
        self._length: int | None = 0
        self._left = 0

    def feed(self, piece: memoryview) -> Answer | None:
        """Take what was received; return the answer when it is whole. Raises `BadAnswerError`."""
        if self._left:
            return self._count(len(piece))
        self._data += piece
        if self._head is None and not self._begin():
            return None
        if self._length is None:
            return self._chunks()
        if self._length > KEPT:
            self._left = self._length
            return self._count(len(self._data))
        if len(self._data) < self._length:
            return None
        return self._whole(bytes(self._data), self._length)

    def _begin(self) -> bool:
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return False
        self._head = bytes(self._data[: end + 2])
        del self._data[: end + 4]
        length = _header(self._head, b"content-length")
        if self._bodiless or self._head[9:12] in (b"204", b"304"):
            self._length = 0
        elif _header(self._head, b"transfer-encoding") == b"chunked":
            self._length = None
        elif length is None:
            raise BadAnswerError(f"an answer without a length: {self._head!r}")
        else:
            self._length = int(length)
        return True

    def _count(self, more: int) -> Answer | None:
        assert self._length is not None
        self._left -= more
        if self._left > 0:
            return None
        return self._whole(b"", self._length, excess=-self._left)

    def _chunks(self) -> Answer | None:
        body, rest = bytearray(), bytes(self._data)
        while b"\r\n" in rest:
            line, _, rest = rest.partition(b"\r\n")
            size = int(line.partition(b";")[0], 16)
            if len(rest) < size + 2:
                return None
            body += rest[:size]
            rest = rest[size + 2 :]
            if size == 0:
                return self._whole(bytes(body), len(body), excess=len(rest))
        return None

    def _whole(self, body: bytes, length: int, excess: int = 0) -> Answer:
        assert self._head is not None
        if excess or len(body) > length:
            raise BadAnswerError(f"bytes behind an answer: {self._head!r}")
        return Answer(int(self._head[9:12]), self._head, body, length)


def _header(head: bytes, name: bytes) -> bytes | None:
    """Return the value of a header, by its name in lower case."""
    lower = head.lower()
    begin = lower.find(b"\r\n" + name + b":")
    if begin < 0:
        return None
    begin += len(name) + 3
    return head[begin : head.index(b"\r\n", begin)].strip()
