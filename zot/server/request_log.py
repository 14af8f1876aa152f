"""One log line for each request, when its answer is out."""

from __future__ import annotations

import logging
import sys
import time
from functools import partial
from typing import Any

from zot import logs

log = logging.getLogger("zot.http")


def note(answer: Any, environ: dict[str, Any], seconds: float) -> None:
    """Log a request that gunicorn answered; the line itself is made later, by the thread that writes it.

    `bytes` are those of the answer's body, and those that were announced if the kernel sent them by itself; `aborted`
    says that the client, or the store, was gone before the end.
    """
    if not log.isEnabledFor(logging.INFO):
        return
    size = 0 if environ["REQUEST_METHOD"] == "HEAD" else answer.sent or answer.response_length or 0
    is_aborted = sys.exc_info()[0] is not None
    logs.add(partial(_line, time.time(), environ, answer.status_code, size, seconds, is_aborted))


def _line(created: float, environ: dict[str, Any], status: int, size: int, seconds: float, is_aborted: bool) -> str:
    fields: dict[str, object] = {
        "method": environ["REQUEST_METHOD"],
        "path": environ["PATH_INFO"],
        "repository": environ.get("zot.repository", ""),
        "status": status,
        "milliseconds": round(seconds * 1000, 2),
        "bytes": size,
        "client": environ.get("REMOTE_ADDR", ""),
        "user": environ.get("zot.user", ""),
        "agent": environ.get("HTTP_USER_AGENT", ""),
        "request": environ.get("zot.request", ""),
    }
    if "CONTENT_LENGTH" in environ:
        fields["received"] = int(environ["CONTENT_LENGTH"])
    if is_aborted:
        fields["aborted"] = True
    return logs.line(created, "info", log.name, "request", **fields)
