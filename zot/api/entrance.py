"""What every request passes before Flask sees it, and every answer on its way out."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

from zot.api.rates import Rates
from zot.api.telemetry import Telemetry
from zot.auth.principal import ANONYMOUS
from zot.config.publication import Live
from zot.errors import TooManyRequests
from zot.logs import audit

Environ = dict[str, Any]
Headers = list[tuple[str, str]]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

_CHANGING = frozenset(("POST", "PUT", "PATCH", "DELETE"))
_SANE = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)


class Entrance:
    """WSGI middleware: takes up a changed configuration, names and counts requests, audits those that change something.

    Clients that ask too often are refused here, before anything is done for them.
    A request's name comes from the client or proxy (`X-Request-Id`) if it is a sane one, and is told in the answer. An
    audited request is written down before its answer begins, so whoever was told of a change finds it there.
    """

    def __init__(self, application: Application, live: Live, rates: Rates, telemetry: Telemetry | None) -> None:
        self._application = application
        self._live = live
        self._rates = rates
        self._telemetry = telemetry

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve the request."""
        self._live.refresh()
        name = environ.get("HTTP_X_REQUEST_ID")
        if name is None or _SANE.fullmatch(name) is None:
            name = os.urandom(8).hex()
        environ["zot.request"] = name
        environ["zot.begun"] = time.perf_counter()

        def start(status: str, headers: Headers, exc_info: Any = None) -> Any:
            headers.append(("X-Request-Id", name))
            if self._telemetry is not None:
                self._telemetry.answered(environ, int(status[:3]))
            if environ["REQUEST_METHOD"] in _CHANGING and not audit.disabled:
                _audit(environ, int(status[:3]))
            return start_response(status, headers, exc_info)

        refused = self._rates.refusal(environ.get("REMOTE_ADDR", ""), environ["REQUEST_METHOD"], environ["PATH_INFO"])
        if refused is not None:
            return _refuse(refused, start)
        return self._application(environ, start)


def _refuse(refused: TooManyRequests, start: Callable[..., Any]) -> Iterable[bytes]:
    body = json.dumps(refused.document()).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *refused.headers.items()]
    start("429 TOO MANY REQUESTS", headers)
    return [body]


def _audit(environ: Environ, status: int) -> None:
    """Write down who asked for what, and what came of it, in the words of zot's audit log."""
    path = environ["PATH_INFO"]
    # Elsewhere a query may hold what nobody should read.
    query = environ.get("QUERY_STRING", "") if path.startswith("/v2/") else ""
    caller = environ.get("zot.caller", ANONYMOUS)
    facts = {
        "clientIP": environ.get("REMOTE_ADDR", ""),
        "subject": caller.name or "anonymous",
        **caller.proof(),
        "action": environ["REQUEST_METHOD"],
        "object": f"{path}?{query}" if query else path,
        "repository": environ.get("zot.repository", ""),
        "status": status,
        "request": environ["zot.request"],
    }
    if status in (403, 409) and (refused := environ.get("zot.refused")):
        facts["refused"] = refused
    audit.info("HTTP API Audit", extra=facts)
