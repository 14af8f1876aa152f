"""Whether a browser sends a request on behalf of somebody else's page (cross-site request forgery)."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from zot.auth.principal import Credentials

_SAFE = ("GET", "HEAD", "OPTIONS")
_OWN_SITES = ("", "same-origin", "none")


class Origins:
    """The origins whose pages may change something with a user's login: this registry's own, and the listed ones."""

    def __init__(self, listed: Iterable[str] = ()) -> None:
        self._listed = frozenset(_host(one) for one in listed if one not in ("", "*"))

    def is_foreign(self, credentials: Credentials) -> bool:
        """Tell whether the request would change something and comes from a page of another origin.

        Browsers say so in Origin or Sec-Fetch-Site; other clients send neither. A proxy may end TLS, so hosts are
        compared and not schemes.
        """
        if credentials.method in _SAFE:
            return False
        if credentials.origin:
            host = _host(credentials.origin)
            return host != credentials.host.lower() and host not in self._listed
        return credentials.site not in _OWN_SITES


def _host(origin: str) -> str:
    """Return the host and port of an origin in lower case; something that is no host for what is no origin."""
    try:
        return urlsplit(origin).netloc.lower() or origin
    except ValueError:
        return origin
