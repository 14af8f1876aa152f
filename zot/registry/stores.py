"""Which store a repository belongs to."""

from __future__ import annotations

from zot.errors import StartupError
from zot.registry.store import Store


class Stores:
    """The stores of a registry, chosen by repository name."""

    def __init__(self, default: Store) -> None:
        self.default = default

    def at(self, route: str) -> Store:
        """Return the store at a route of the configuration; `/` is the default one. Raises `StartupError`."""
        if route != "/":
            raise StartupError(f"there is no store at {route!r}", "name a route of storage.subPaths, or /")
        return self.default

    def of(self, name: str) -> Store:
        """Return the store that holds a repository of this name, or would."""
        return self.default
