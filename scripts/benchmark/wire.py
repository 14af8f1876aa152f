"""A client that costs little: one keep-alive connection, requests as bytes, answers read whole."""

from __future__ import annotations

import socket
from typing import NamedTuple

Headers = dict[str, str]


class Answer(NamedTuple):
    """A response; the body is empty if it was only counted."""

    status: int
    headers: Headers
    body: bytes
    size: int


class Wire:
    """One connection to a registry."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._socket = self._connect()
        self._ahead = b""

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Headers | None = None, *, expect: int = 200
    ) -> Answer:
        """Send a request and read its answer; raises `RuntimeError` for another status than expected."""
        head = self.head(method, path, len(body), headers)
        self._socket.sendall(head + body)
        return self._read(method, path, expect)

    def send(self, data: bytes) -> None:
        """Send raw bytes: a body that does not fit memory."""
        self._socket.sendall(data)

    def finish(self, method: str, path: str, expect: int) -> Answer:
        """Read the answer to a request that was sent raw."""
        return self._read(method, path, expect)

    def head(self, method: str, path: str, length: int, headers: Headers | None = None) -> bytes:
        """Return the bytes of a request's head."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._address[0]}:{self._address[1]}"]
        if length or method in ("POST", "PUT", "PATCH"):
            lines.append(f"Content-Length: {length}")
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _connect(self) -> socket.socket:
        connection = socket.create_connection(self._address, timeout=120)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _read(self, method: str, path: str, expect: int) -> Answer:
        data = self._ahead
        while b"\r\n\r\n" not in data:
            data += self._receive()
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = int(first.split()[1])
        body, size = self._body(method, headers, rest)
        if headers.get("connection") == "close":
            self._socket.close()
            self._socket, self._ahead = self._connect(), b""
        if status != expect:
            raise RuntimeError(f"{method} {path}: {status} instead of {expect}: {body[:300]!r}")
        return Answer(status, headers, body, size)

    def _body(self, method: str, headers: Headers, rest: bytes) -> tuple[bytes, int]:
        if headers.get("transfer-encoding") == "chunked":
            return self._chunked(rest)
        length = 0 if method == "HEAD" else int(headers.get("content-length", 0))
        if length > 1 << 20:
            return b"", self._count(length, rest)
        while len(rest) < length:
            rest += self._receive()
        self._ahead = rest[length:]
        return rest[:length], length

    def _chunked(self, rest: bytes) -> tuple[bytes, int]:
        body = b""
        while True:
            while b"\r\n" not in rest:
                rest += self._receive()
            line, _, rest = rest.partition(b"\r\n")
            size = int(line, 16)
            while len(rest) < size + 2:
                rest += self._receive()
            body, rest = body + rest[:size], rest[size + 2 :]
            if size == 0:
                self._ahead = rest
                return body, len(body)

    def _count(self, length: int, rest: bytes) -> int:
        """Read a long body into one buffer, over and over."""
        left = length - len(rest)
        buffer = memoryview(bytearray(1 << 20))
        while left:
            got = self._socket.recv_into(buffer[: min(left, len(buffer))])
            if not got:
                raise RuntimeError("the connection broke off")
            left -= got
        self._ahead = b""
        return length

    def _receive(self) -> bytes:
        data = self._socket.recv(1 << 18)
        if not data:
            raise RuntimeError("the connection broke off")
        return data
