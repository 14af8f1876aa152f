"""How much the repositories of a store hold, how much of it they share, and what sharing saves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from zot.oci.digest import ALGORITHMS, Digest
from zot.registry import paths, repositories
from zot.registry.store import Store
from zot.storage.protocol import NotFound


class Usage(NamedTuple):
    """What a repository holds, in bytes: all of it, and what would be free if it went: what others don't share."""

    repository: str
    blobs: int
    size: int
    unique: int


class Totals(NamedTuple):
    """What a store holds, in bytes: as its repositories see it, and as it lies there once."""

    repositories: int
    blobs: int
    size: int
    stored: int


class _Seen:
    """One blob: its size, how many repositories hold it, and whether they share it."""

    __slots__ = ("holders", "shared", "size")

    def __init__(self, size: int, *, shared: bool) -> None:
        self.size = size
        self.holders = 0
        self.shared = shared


def measure(store: Store, *, progress: Callable[[str], None]) -> tuple[list[Usage], Totals]:
    """Look at every blob of a store; `progress` is told each repository that is looked at.

    This takes a look at each blob, and about 250 bytes of memory for each that is different.
    """
    seen: dict[bytes, _Seen] = {}
    held: dict[str, list[bytes]] = {}
    for name in repositories.names(store):
        progress(name)
        held[name] = [_note(store, seen, digest, size) for digest, size in _blobs(store, name)]
    usages = [_usage(name, [seen[key] for key in keys]) for name, keys in held.items()]
    stored = sum(one.size if one.shared else one.size * one.holders for one in seen.values())
    totals = Totals(len(usages), len(seen), sum(usage.size for usage in usages), stored)
    return usages, totals


def size_of(store: Store, name: str) -> int:
    """Return how many bytes a repository holds, also those that it shares with others."""
    return sum(size for _, size in _blobs(store, name))


def _usage(name: str, blobs: list[_Seen]) -> Usage:
    size = sum(one.size for one in blobs)
    unique = sum(one.size for one in blobs if one.holders == 1 or not one.shared)
    return Usage(name, len(blobs), size, unique)


def _note(store: Store, seen: dict[bytes, _Seen], digest: Digest, size: int) -> bytes:
    key = bytes.fromhex(digest.hex)
    if key not in seen:
        seen[key] = _Seen(size, shared=store.dedupe and store.storage.is_shared(paths.content(digest)))
    seen[key].holders += 1
    return key


def _blobs(store: Store, name: str) -> Iterator[tuple[Digest, int]]:
    """Yield the blobs and manifests of a repository with their sizes."""
    for algorithm in ALGORITHMS:
        for encoded in store.storage.list(paths.blobs(name, algorithm)):
            digest = Digest(algorithm, encoded)
            try:
                yield digest, store.storage.stat(paths.blob(name, digest)).size
            except NotFound:
                continue
