"""A store: the storage of some repositories with what goes with it. Every function of this package takes one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import BoundedSemaphore

from zot.registry import paths
from zot.registry.caches import Recent, RunningHashes
from zot.registry.retention import Retention
from zot.registry.statistics import Gathered
from zot.storage.layout_files import LayoutFiles
from zot.storage.protocol import NotFound, Storage, Unavailable

_MANIFEST_CACHE_BYTES = 32 * 1024 * 1024
_REMEMBERED_REFERENCES = 500_000
_MOST_ADOPTERS = 8


def _nothing() -> None:
    """Count nothing."""


@dataclass(eq=False)
class Store:
    """Storage, settings and this worker's caches. With `sparse` a manifest may name blobs that are not here.

    `layouts` are the files that other programs read and write beside the store, where it has such. `adopters` bounds
    how many requests of this worker wait for a layout to be taken over. `retention` says what garbage collection
    leaves, and which tags never move; another one takes its place, and nothing else ever changes, when the
    configuration is read anew. `gathered` is what this worker has seen and not written yet. `on_damage` is called when
    something is missing or wrong that can't be by the rules of this package.
    """

    storage: Storage
    dedupe: bool = True
    sparse: bool = False
    layouts: LayoutFiles | None = None
    retention: Retention = field(default_factory=Retention)
    on_damage: Callable[[], None] = _nothing
    gathered: Gathered = field(default_factory=Gathered)
    manifests: Recent[str, bytes] = field(default_factory=lambda: Recent(_MANIFEST_CACHE_BYTES))
    references: Recent[str, frozenset[str]] = field(default_factory=lambda: Recent(_REMEMBERED_REFERENCES))
    adopters: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(_MOST_ADOPTERS))
    hashes: RunningHashes = field(default_factory=RunningHashes)

    def check(self) -> None:
        """Read what every store has. Raises `StorageError` if the store fails, or is not there any more."""
        try:
            self.storage.read(paths.FORMAT)
        except NotFound:
            raise Unavailable("the storage is gone: its directory is empty, or is another one") from None
