"""What a rule finds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import NamedTuple
from urllib.parse import urlsplit

from zot.config.model import Config
from zot.config.nodes import KeyPath
from zot.config.storage import StoreOptions

# No delay that is shorter lasts as long as a push.
A_PUSH = timedelta(minutes=1)
LONGER = "use a delay longer than a push takes, such as 1h"


class Finding(NamedTuple):
    """One thing that is wrong, or to be warned of, with a key, and what to do about it."""

    path: KeyPath
    what: str
    remedy: str
    warning: bool = False


def stores(config: Config) -> Iterator[tuple[KeyPath, StoreOptions]]:
    """Return every store's section, the default one first, with its path."""
    yield ("storage",), config.storage
    for route, options in config.storage.sub_paths.items():
        yield ("storage", "subPaths", route), options


def missing(path: KeyPath, keys: Iterable[tuple[str, object]], purpose: str) -> Iterator[Finding]:
    """Find each of the named keys of a section whose value is empty."""
    for name, value in keys:
        if not value:
            yield Finding((*path, name), "it is missing", f"add it: {purpose} needs it")


def is_url(text: str, *schemes: str) -> bool:
    """Tell whether a text is an absolute URL of one of these schemes."""
    try:
        parts = urlsplit(text)
        return parts.scheme in (schemes or ("http", "https")) and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


def is_origin(text: str) -> bool:
    """Tell whether a text is what a browser calls an origin: a scheme, a host, perhaps a port, and nothing more."""
    return is_url(text) and re.fullmatch(r"https?://[^/?#@]+", text) is not None
