"""Where a login sends a browser back to: an address of ours, never one that somebody else chose."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import unquote, urlsplit

from zot.addresses import OutgoingError, origin

HOME = "/"


def landing(asked: str, allowed: Collection[str]) -> str:
    """Return the address that was asked for, if it is a path here or begins with an allowed origin; else our home.

    Nothing was asked for: nothing. Browsers take a backslash for a slash, two slashes for the beginning of a host, and
    leave out line breaks and tabs, so none of these is let through.
    """
    if not asked:
        return ""
    if not asked.isascii() or not asked.isprintable() or " " in asked or "\\" in unquote(asked):
        return HOME
    try:
        parts = urlsplit(asked)
        if parts.scheme or parts.netloc:
            return asked if str(origin(asked)) in allowed else HOME
    except (ValueError, OutgoingError):
        return HOME
    return asked if asked.startswith("/") and not asked.startswith("//") else HOME
