"""One log line for each request."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

log = logging.getLogger("zot.http")

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class RequestLog:
    """WSGI middleware that logs method, path, status, and the time until the answer began, in milliseconds."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer the request, and log when its answer begins."""
        if not log.isEnabledFor(logging.INFO):
            return self._application(environ, start_response)
        begun = time.perf_counter()

        def logged_start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            log.info(
                "request",
                extra={
                    "method": environ["REQUEST_METHOD"],
                    "path": environ["PATH_INFO"],
                    "status": int(status[:3]),
                    "client": environ.get("REMOTE_ADDR", ""),
                    "milliseconds": round((time.perf_counter() - begun) * 1000, 2),
                },
            )
            return start_response(status, headers, exc_info)

        return self._application(environ, logged_start)
