"""Repositories: making them, asking for them, listing them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from zot.errors import NameUnknown, Unavailable
from zot.oci.digest import ALGORITHMS
from zot.oci.names import decode, encode
from zot.registry import paths
from zot.registry.store import Store
from zot.storage.protocol import Full, NotFound


class Page(NamedTuple):
    """Some names in byte order, and whether there are more after the last."""

    names: list[str]
    more: bool


def exists(store: Store, name: str) -> bool:
    """Tell whether the catalogue has the repository."""
    try:
        store.storage.stat(paths.repository(name))
    except NotFound:
        return False
    return True


def require(store: Store, name: str) -> None:
    """Raise `NameUnknown` if there is no such repository."""
    if not exists(store, name):
        raise NameUnknown(
            f"there is no repository {name!r}", "check the name, or push to it first", detail={"name": name}
        )


def ensure(store: Store, name: str) -> None:
    """Make the repository if it is not there yet; the caller holds its lock, shared.

    The catalogue's key is written last, so whoever sees it knows that what lies under it is durable.
    """
    if not exists(store, name):
        _refuse_while_adopted(store, name)
        store.storage.make_prefixes(*paths.prefixes(name))
        mark(store, name)
        store.storage.write(paths.repository(name), b"")


def remove_if_empty(store: Store, name: str) -> bool:
    """Take a repository away that has no tag, no manifest and no blob; the caller holds its lock, exclusively.

    Its own entries go one by one, as other repositories may live below it; its layout first, so that nobody takes over
    an index of what is gone.
    """
    storage, blobs = store.storage, [paths.blobs(name, algorithm) for algorithm in ALGORITHMS]
    holders = (paths.tags(name), paths.manifests(name), *blobs)
    if not exists(store, name) or any(next(iter(storage.list(holder)), None) is not None for holder in holders):
        return False
    remove_layout(store, name)
    storage.delete(paths.repository(name))
    noted = (paths.statistics, paths.changed, paths.waiting, paths.named, paths.dirty)
    storage.delete(*(key(name) for key in noted))
    storage.delete(*(f"{prefix}/" for prefix in (*blobs, f"{name}/blobs", name)))
    storage.delete(*(f"{prefix}/" for prefix in paths.prefixes(name)[1:]), f"{paths.facts_of(name)}/")
    return True


def remove_layout(store: Store, name: str) -> None:
    """Take away the layout of a repository that is no more; the caller holds its lock, exclusively.

    What is known of its index goes last: without that, the index would be taken for another program's.
    """
    store.storage.delete(*(paths.layout_file(name, file) for file in ("index.json", "oci-layout")))
    store.storage.delete(*(key(name) for key in (paths.replaced, paths.refused, paths.generation)), f"{name}/")


def mark(store: Store, name: str) -> None:
    """Note that index.json of the repository has to be written again; the caller holds its lock."""
    if store.layouts is not None:
        store.storage.write(paths.dirty(name), b"")


@contextmanager
def removing(store: Store, name: str) -> Iterator[None]:
    """Mark the repository before facts of it are removed; the caller holds its lock, exclusively.

    Removing goes on when the store is full: where there is no room even for the mark, it comes after, in the room that
    became free.
    """
    try:
        mark(store, name)
    except Full:
        yield
        with suppress(Full):
            mark(store, name)
    else:
        yield


def _refuse_while_adopted(store: Store, name: str) -> None:
    """Raise `Unavailable` while the repository is made of a layout that another program wrote."""
    if store.layouts is None:
        return
    with suppress(NotFound):
        store.storage.stat(paths.adopting(name))
        raise Unavailable(
            f"the layout that another program wrote at {name!r} is being taken over",
            "try again in a moment",
            headers={"Retry-After": "1"},
        )


def names(store: Store, last: str = "") -> Iterator[str]:
    """Yield the repositories of a store after `last`, which need not exist."""
    for encoded in store.storage.list(paths.CATALOGUE, encode(last)):
        yield decode(encoded)


def page(found: Iterator[str], limit: int) -> Page:
    """Take up to `limit` names."""
    taken: list[str] = []
    for name in found:
        if len(taken) == limit:
            return Page(taken, more=limit > 0)
        taken.append(name)
    return Page(taken, more=False)
