"""One log line for each request, when its answer is out."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from zot import logs
from zot.auth.basic import tried_user
from zot.auth.principal import ANONYMOUS

if TYPE_CHECKING:
    # The library of the counters may be imported only when their directory is known.
    from zot.api.telemetry import Telemetry

log = logging.getLogger("zot.http")

# The answers to logins that failed, or were too many.
_REFUSED = (401, 429)


def after_request(telemetry: Telemetry | None) -> Callable[[Any, Any, dict[str, Any], Any], None]:
    """Return gunicorn's hook for when an answer is out, or has broken off."""

    def note(_worker: Any, _request: Any, environ: dict[str, Any], answer: Any) -> None:
        begun = environ.get("zot.begun")
        if begun is None:
            return
        seconds = time.perf_counter() - begun
        if telemetry is not None:
            telemetry.finished(environ, answer.status_code, seconds)
        if log.isEnabledFor(logging.INFO):
            _note(answer, environ, seconds)

    return note


def _note(answer: Any, environ: dict[str, Any], seconds: float) -> None:
    """Log a request; the line itself is made later, by the thread that writes it.

    `bytes` are those of the answer's body, and those that were announced if the kernel sent them by itself; `aborted`
    says that the client, or the store, was gone before the end.
    """
    size = 0 if environ["REQUEST_METHOD"] == "HEAD" else answer.sent or answer.response_length or 0
    is_aborted = sys.exc_info()[0] is not None
    logs.add(partial(_line, time.time(), environ, answer.status_code, size, seconds, is_aborted))


def _line(created: float, environ: dict[str, Any], status: int, size: int, seconds: float, is_aborted: bool) -> str:
    caller = environ.get("zot.caller", ANONYMOUS)
    fields: dict[str, object] = {
        "method": environ["REQUEST_METHOD"],
        "path": environ["PATH_INFO"],
        "repository": environ.get("zot.repository", ""),
        "status": status,
        "milliseconds": round(seconds * 1000, 2),
        "bytes": size,
        "client": environ.get("REMOTE_ADDR", ""),
        "user": caller.name,
        **caller.proof(),
        "agent": environ.get("HTTP_USER_AGENT", ""),
        "request": environ.get("zot.request", ""),
    }
    if "CONTENT_LENGTH" in environ:
        fields["received"] = int(environ["CONTENT_LENGTH"])
    if is_aborted:
        fields["aborted"] = True
    if status in _REFUSED and not caller.is_known and (tried := tried_user(environ.get("HTTP_AUTHORIZATION", ""))):
        fields["triedUser"] = tried
    if refused := environ.get("zot.refused"):
        fields["refused"] = refused
    return logs.line(created, "info", log.name, "request", **fields)
