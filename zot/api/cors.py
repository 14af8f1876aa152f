"""Which pages may use the API in a browser (Fetch standard, section "CORS protocol")."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

Environ = dict[str, Any]
Headers = list[tuple[str, str]]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

_ALLOWED_HEADERS = "Authorization,content-type,X-ZOT-API-CLIENT"
_SHOWN_HEADERS = "Docker-Content-Digest,Link,Location,OCI-Filters-Applied,OCI-Subject,WWW-Authenticate,X-Request-Id"
_ANY = "*"


class Cors:
    """WSGI middleware that tells browsers which pages may read an answer, and may send requests beyond the simple ones.

    `origins` are those of the pages, or `*`. With `logins` pages of named origins may send the user's login along.
    `methods` returns those that a path has. Content is not pushed from a browser, so a page may not ask for that.
    """

    def __init__(
        self, application: Application, origins: Collection[str], methods: Callable[[str], Iterable[str]], logins: bool
    ) -> None:
        self._application = application
        self._origins = frozenset(origins)
        self._methods = methods
        self._logins = logins

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve the request."""
        own = self._headers(environ.get("HTTP_ORIGIN", ""))
        if own and environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ:
            allowed = ("Access-Control-Allow-Methods", self._allowed(environ["PATH_INFO"]))
            start_response("204 NO CONTENT", [*own, allowed, ("Access-Control-Allow-Headers", _ALLOWED_HEADERS)])
            return []

        def start(status: str, headers: Headers, exc_info: Any = None) -> Any:
            if own:
                headers += [*own, ("Access-Control-Expose-Headers", _SHOWN_HEADERS)]
            elif _ANY not in self._origins:
                # A cache must not hand this answer to a page that may have more.
                headers.append(("Vary", "Origin"))
            return start_response(status, headers, exc_info)

        return self._application(environ, start)

    def _headers(self, origin: str) -> Headers:
        """Return what lets pages of this origin in; nothing if they may not, or if the request is from no page."""
        if origin in self._origins and origin != _ANY:
            headers = [("Access-Control-Allow-Origin", origin), ("Vary", "Origin")]
            return [*headers, ("Access-Control-Allow-Credentials", "true")] if self._logins else headers
        if origin and _ANY in self._origins:
            return [("Access-Control-Allow-Origin", _ANY)]
        return []

    def _allowed(self, path: str) -> str:
        methods = set(self._methods(path))
        if "/blobs/" in path or "/manifests/" in path:
            methods &= {"GET", "HEAD", "DELETE"}
        return ",".join([*sorted(methods - {"OPTIONS"}), "OPTIONS"])
