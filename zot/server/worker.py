"""The worker class: gunicorn's thread worker, which refuses broken requests in the registry's own words."""

from __future__ import annotations

import json
import logging
import time
from contextlib import suppress
from typing import Any

from gunicorn.http.errors import ExpectationFailed, LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.workers.gthread import ThreadWorker

from zot.errors import RegistryError

log = logging.getLogger(__name__)

_STATUSES: dict[type[ParseException], tuple[int, str]] = {
    ExpectationFailed: (417, "Expectation Failed"),
    LimitRequestHeaders: (431, "Request Header Fields Too Large"),
    LimitRequestLine: (414, "URI Too Long"),
}


class Worker(ThreadWorker):
    """Answers what is no HTTP request, and so never reaches the application, with an OCI error document too."""

    _noted = 0.0

    def notify(self) -> None:
        """Show the master a sign of life once a second; the poll loop comes by at every request."""
        now = time.monotonic()
        if now - self._noted >= 1.0:
            self._noted = now
            super().notify()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Refuse a malformed request and let its connection end; leave other failures to gunicorn."""
        if not isinstance(exc, ParseException):
            super().handle_error(req, client, addr, exc)
            return
        log.info("a malformed request was refused", extra={"client": addr[0] if addr else "", "reason": str(exc)})
        status, phrase = _STATUSES.get(type(exc), (400, "Bad Request"))
        refusal = RegistryError(f"this is no valid HTTP request: {exc}", "mend the client, or what is in between")
        body = json.dumps(refusal.document()).encode()
        head = (
            f"HTTP/1.1 {status} {phrase}\r\nConnection: close\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        # A client that is gone, or takes nothing, is not waited for.
        with suppress(OSError):
            client.setblocking(False)
            client.sendall(head.encode() + body)
