"""Which store a repository belongs to."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping

from zot.config import Config
from zot.errors import StartupError
from zot.registry import repositories
from zot.registry.store import Store

DEFAULT = "/"


def routes(config: Config) -> list[str]:
    """Return where the stores of a configuration are, the default one first."""
    return [DEFAULT, *(f"/{route.strip('/')}" for route in config.storage.sub_paths)]


class Stores:
    """The stores of a registry, chosen by repository name.

    `below` has those of `storage.subPaths` by their routes. A route is one component: at `/a` are the repositories
    `a/…`, but not `a` itself, which is in the default store.
    """

    def __init__(self, default: Store, below: Mapping[str, Store] | None = None) -> None:
        self.default = default
        self._below = {route.strip("/"): store for route, store in (below or {}).items()}

    def of(self, name: str) -> Store:
        """Return the store that holds a repository of this name, or would."""
        if not self._below:
            return self.default
        first, slash, _ = name.partition("/")
        return self._below.get(first, self.default) if slash else self.default

    def at(self, route: str) -> Store:
        """Return the store at a route of the configuration; `/` is the default one. Raises `StartupError`."""
        for known, store in self.by_route():
            if known == route:
                return store
        raise StartupError(f"there is no store at {route!r}", "name a route of storage.subPaths, or /")

    def by_route(self) -> Iterator[tuple[str, Store]]:
        """Yield all stores with their routes, the default one first."""
        yield DEFAULT, self.default
        for component, store in self._below.items():
            yield f"/{component}", store

    def names(self, last: str = "") -> Iterator[str]:
        """Yield the repositories of all stores after `last`, which need not exist, in the order of their bytes.

        What a store holds that another is chosen for, as before a sub-path was configured, can't be reached and is
        passed over.
        """
        return heapq.merge(*(self._names_in(store, last) for _, store in self.by_route()))

    def _names_in(self, store: Store, last: str) -> Iterator[str]:
        return (name for name in repositories.names(store, last) if self.of(name) is store)
