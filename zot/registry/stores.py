"""Which store a repository belongs to."""

from __future__ import annotations

from zot.registry.store import Store


class Stores:
    """The stores of a registry, chosen by repository name."""

    def __init__(self, default: Store) -> None:
        self.default = default

    def of(self, name: str) -> Store:
        """Return the store that holds a repository of this name, or would."""
        return self.default
