"""Addresses that the server may ask, or send a browser to; apart from `zot.outgoing`, which takes long to load."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}


class OutgoingError(Exception):
    """The request was not sent, or its answer not taken. The text names the host and never what was sent to it."""


class Origin(NamedTuple):
    """Scheme, host and port of an address."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        """Return the origin as the beginning of an address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if _PORTS[self.scheme] == self.port else f":{self.port}")


def origin(url: str) -> Origin:
    """Return the origin of an http or https address. Raises `OutgoingError` for anything else."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise OutgoingError("an address that can't be read is not asked") from None
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc or "\\" in url:
        raise OutgoingError("only addresses like https://host/path are asked")
    return Origin(parts.scheme, parts.hostname.lower(), _PORTS[parts.scheme] if port is None else port)
