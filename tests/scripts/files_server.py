"""A server of made-up files, for the tests of the benchmark: it prints its port, and ends when its input does."""

from __future__ import annotations

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Files(BaseHTTPRequestHandler):
    """Answers a path /N with N bytes, in chunks below /chunked, then closing below /closing; anything else is 404."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        kind, _, size = self.path[1:].rpartition("/")
        content = b"x" * int(size) if size.isdecimal() else b"nothing"
        self.send_response(200 if size.isdecimal() else 404)
        if kind == "closing":
            self.send_header("Connection", "close")
        if kind == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
            content = b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content)
        else:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    """Waits for its threads, which end with their connections: so that it ends proves that the client closes its own.

    Says nothing of clients that go away, as the benchmark does at the first wrong answer.
    """

    daemon_threads = False

    def handle_error(self, *args: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(*args)  # type: ignore[arg-type]


def main() -> None:
    """Serve until the standard input ends."""
    with _Server(("127.0.0.1", 0), _Files) as server:
        print(server.server_port, flush=True)
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    main()
