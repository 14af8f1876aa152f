"""The worker class: gunicorn's thread worker, which refuses broken requests in the registry's own words."""

from __future__ import annotations

import json
import logging
import os
import resource
import select
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterable, MutableMapping
from contextlib import suppress
from functools import partial
from typing import Any

from gunicorn.http.body import ChunkedReader, LengthReader
from gunicorn.http.errors import ExpectationFailed, LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.workers.gthread import ThreadWorker

from zot.api.guard import CERTIFICATE
from zot.errors import RegistryError
from zot.server.parting import Parting

Application = Callable[[MutableMapping[str, Any], Callable[..., Any]], Iterable[bytes]]

log = logging.getLogger(__name__)

# The signals by which a server is told to stop.
HELD_BACK = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)

_STATUSES: dict[type[ParseException], tuple[int, str]] = {
    ExpectationFailed: (417, "Expectation Failed"),
    LimitRequestHeaders: (431, "Request Header Fields Too Large"),
    LimitRequestLine: (414, "URI Too Long"),
}


_MOMENT_MS = 2
# A request may have so many files open at once: what it reads or writes, two locks, and what waits for its socket.
_DESCRIPTORS = 4
# gunicorn reads away so much of a body that the application left.
_DRAINED = 64 * 1024


def _is_readable_soon(connection: socket.socket) -> bool:
    """Tell whether there is more to read within a moment."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(_MOMENT_MS))


class EndWhatIsUnread:
    """WSGI middleware that ends the connection, and says so, if an answer leaves a long or broken body unread.

    gunicorn reads away the rest of a short body; after a long one it would promise to keep the connection, and hang up.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, environ: MutableMapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Look at the body when the answer begins."""
        if "CONTENT_LENGTH" not in environ and "HTTP_TRANSFER_ENCODING" not in environ:
            return self._application(environ, start_response)

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            if _is_unread(environ["wsgi.input"]):
                environ["wsgi.input"].request.must_close = True
            return start_response(status, headers, exc_info)

        return self._application(environ, start)


class ShowCertificate:
    """WSGI middleware that hands on the certificate which the client of a TLS connection showed, verified by then."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, environ: MutableMapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Put it where the guard looks for it."""
        environ[CERTIFICATE] = environ["gunicorn.socket"].getpeercert(binary_form=True) or b""
        return self._application(environ, start_response)


def _has_decrypted(connection: socket.socket) -> bool:
    """Tell whether a part of the next request is here already, where the poll loop does not see it."""
    return isinstance(connection, ssl.SSLSocket) and connection.pending() > 0


def _is_unread(body: Any) -> bool:
    if getattr(body, "failed", False):
        return True
    reader = getattr(body, "reader", None)
    if isinstance(reader, LengthReader):
        return reader.length > _DRAINED
    return isinstance(reader, ChunkedReader) and reader.parser is not None


class Worker(ThreadWorker):
    """Answers what is no HTTP request, and so never reaches the application, with an OCI error document too."""

    _noted = 0.0
    _complained = 0.0
    _taken = 0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Connections whose request has begun and whose head is not whole, and since when.
        self._heads: dict[Any, float] = {}
        # Those that linger leave most threads to others.
        self._parting = Parting(max(self.cfg.threads // 4, 1))

    def init_signals(self) -> None:
        """Take signals from now on, also those that came since the fork."""
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)

    def load_wsgi(self) -> None:
        """Load the application."""
        super().load_wsgi()
        self.wsgi = EndWhatIsUnread(ShowCertificate(self.wsgi) if self.cfg.is_ssl else self.wsgi)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Serve one request, which its body leads back to."""
        self._heads.pop(conn, None)
        req.body.request = req
        return super().handle_request(req, conn)

    def set_accept_enabled(self, enabled: bool | None) -> None:
        """Take connections or not; at the end close the sockets that they come by.

        Until all workers have, the kernel takes connections, which nobody would answer while transfers go on. Clients
        that are refused go elsewhere, or come again.
        """
        super().set_accept_enabled(enabled)
        # It may be told to end just before it is to take some: then the poll loop still knows the sockets.
        if not (enabled or self.alive):
            for listener in self.sockets:
                listener.close()

    def accept(self, listener: Any) -> None:
        """Take a connection, if enough file descriptors are left for the requests that are served already.

        Otherwise those that wait for a next request are let go, and the new one waits where it is.
        """
        if self._has_descriptors(listener):
            super().accept(listener)
            return
        for waiting in (self.keepalived_conns, self.pending_conns):
            for conn in waiting:
                conn.timeout = 0.0
        # The poll loop would come back at once.
        time.sleep(_MOMENT_MS / 1000)

    def _has_descriptors(self, listener: Any) -> bool:
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        try:
            lowest = os.dup(listener.fileno())
            os.close(lowest)
        except OSError:
            lowest = most
        if lowest < most - min(_DESCRIPTORS * self.cfg.threads, most // 4):
            return True
        now = time.monotonic()
        if now - self._complained >= 1.0:
            self._complained = now
            log.error("connections wait, as only %d files may be open; raise that limit (ulimit -n, LimitNOFILE)", most)
        return False

    def enqueue_req(self, conn: Any) -> None:
        """Hand a connection to a thread, and count it."""
        self._taken += 1
        super().enqueue_req(conn)

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Take a connection back from its thread, which may have closed it."""
        self._taken -= 1
        if conn.sock.fileno() == -1:
            self.nr_conns -= 1
        else:
            super().finish_request(conn, fs)

    def handle(self, conn: Any) -> Any:
        """Serve a request, and those that follow closely on the same connection, in the same thread.

        A client that asks several things in a row sends the next soon after the answer. Going back to the poll loop in
        between costs two hops between threads; so the thread waits a moment for it, if no other request waits for a
        thread.
        """
        result = self._handle_one(conn)
        while result is True and (_has_decrypted(conn.sock) or self._may_stay(conn.sock)):
            result = self._handle_one(conn)
        if result is False and conn.initialized:
            # It lingers for the client to close too; here, and not in the poll loop, where everybody would wait.
            self._parting.part(conn.sock)
        return result

    def _handle_one(self, conn: Any) -> Any:
        self._heads[conn] = time.monotonic()
        try:
            return super().handle(conn)
        finally:
            self._heads.pop(conn, None)

    def _end_slow_heads(self, now: float) -> None:
        """Cut off clients that drip the head of a request: each byte is progress, so nothing else ends them.

        The thread that reads there sees the end of its connection, past TLS, and closes it.
        """
        for conn, since in self._heads.copy().items():
            if now - since > self.cfg.keepalive:
                with suppress(OSError):
                    socket.socket.shutdown(conn.sock, socket.SHUT_RD)

    def _may_stay(self, connection: socket.socket) -> bool:
        return bool(self.alive) and self._taken <= self.cfg.threads and _is_readable_soon(connection)

    def notify(self) -> None:
        """Show the master a sign of life once a second; the poll loop comes by at every request."""
        now = time.monotonic()
        if now - self._noted >= 1.0:
            self._noted = now
            self._end_slow_heads(now)
            super().notify()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Refuse a malformed request and let its connection end; leave other failures to gunicorn."""
        if isinstance(exc, ssl.SSLError):
            _refuse_handshake(client, addr, exc)
            return
        if not isinstance(exc, ParseException):
            super().handle_error(req, client, addr, exc)
            return
        log.info("a malformed request was refused", extra={"client": addr[0] if addr else "", "reason": str(exc)})
        status, phrase = _STATUSES.get(type(exc), (400, "Bad Request"))
        _answer(
            client.sendall,
            client,
            status,
            phrase,
            f"this is no valid HTTP request: {exc}",
            "mend the client, or what is in between",
        )


def _refuse_handshake(client: Any, addr: Any, error: ssl.SSLError) -> None:
    """Note that a client and this server did not come together; tell a client that speaks plain HTTP why."""
    is_plain = error.reason == "HTTP_REQUEST"
    reason = "the client spoke plain HTTP, and this port speaks HTTPS" if is_plain else error.reason or str(error)
    log.info("a TLS connection failed", extra={"client": addr[0] if addr else "", "reason": reason})
    if is_plain:
        # This goes past TLS, which has not begun.
        plain = partial(socket.socket.sendall, client)
        _answer(
            plain,
            client,
            400,
            "Bad Request",
            "this port speaks HTTPS, and the request came in plain HTTP",
            "use https://",
        )


def _answer(send: Callable[[bytes], None], client: Any, status: int, phrase: str, reason: str, remedy: str) -> None:
    """Send an error document to a client whose request did not reach the application."""
    body = json.dumps(RegistryError(reason, remedy).document()).encode()
    head = (
        f"HTTP/1.1 {status} {phrase}\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    # A client that is gone, or takes nothing, is not waited for.
    with suppress(OSError):
        client.setblocking(False)
        send(head.encode() + body)
