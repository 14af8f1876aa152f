"""A proxy before an S3 server that fails as it is told: by status, in the middle of a body, or after the deed."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.background import answering
from tests.servers import PATIENCE

_HOP = frozenset({"connection", "transfer-encoding", "content-length", "expect"})


@dataclass
class Fault:
    """What happens to a request instead of its answer.

    `status` is answered without asking the server, or after it did what it was asked if `afterwards`. `cut` closes the
    connection after so many bytes of the server's body. `without` headers are taken from the request.
    """

    status: int = 0
    afterwards: bool = False
    cut: int | None = None
    without: tuple[str, ...] = ()


Rule = Callable[[str, str, Any], Fault | None]


@dataclass
class FaultProxy:
    """A running proxy. `rule` gets method, path and headers of a request, and returns a fault or None."""

    endpoint: str
    upstream: str
    rule: Rule = lambda _method, _path, _headers: None
    seen: list[str] = field(default_factory=list)

    def once(self, method: str, fault: Fault, part: str = "", times: int = 1) -> None:
        """Let the next requests of a method, whose path has a part, meet a fault."""
        left = [fault] * times
        guard = threading.Lock()

        def rule(asked: str, path: str, _: Any) -> Fault | None:
            with guard:
                return left.pop() if left and asked == method and part in path else None

        self.rule = rule


@contextmanager
def fault_proxy(upstream: str) -> Iterator[FaultProxy]:
    """Run a proxy before a server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    proxy = FaultProxy(f"http://127.0.0.1:{server.server_address[1]}", upstream.removeprefix("http://"))
    server.proxy = proxy  # type: ignore[attr-defined]
    with server, answering(server):
        yield proxy


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        proxy: FaultProxy = self.server.proxy
        proxy.seen.append(f"{self.command} {self.path}")
        fault = proxy.rule(self.command, self.path, self.headers) or Fault()
        if fault.status and not fault.afterwards:
            self._answer(fault.status, [], b"")
            return
        connection = http.client.HTTPConnection(proxy.upstream, timeout=PATIENCE)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in fault.without}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if fault.status:
            self._answer(fault.status, [], b"")
        else:
            self._answer(answer.status, answer.getheaders(), content, fault.cut)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes, cut: int | None = None) -> None:
        self.send_response_only(status)
        length = str(len(content))
        for name, value in headers:
            if name.lower() == "content-length":
                length = value
            elif name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if cut is not None:
            self.wfile.write(content[:cut])
            self.close_connection = True
        elif self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""
