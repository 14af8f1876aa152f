"""What every request passes before Flask sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from zot.config.publication import Live

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class Entrance:
    """WSGI middleware that takes up a changed configuration before it serves a request."""

    def __init__(self, application: Application, live: Live) -> None:
        self._application = application
        self._live = live

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve the request."""
        self._live.refresh()
        return self._application(environ, start_response)
