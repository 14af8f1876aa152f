"""What may have become garbage: marks of which a repository has one, written some seconds after a change.

A mark names the digests that something lost hold of, or nothing more closely: then anything may be garbage. It tells
the time of its first change. What a crash loses of it a full pass finds. It is taken away without a lock, and what was
added to it in that moment is added again some seconds later (`zot.registry.statistics`).
"""

from __future__ import annotations

import json
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from zot.errors import DigestInvalid
from zot.oci import digest as digests
from zot.oci.digest import Digest
from zot.registry import paths
from zot.storage.protocol import NotFound, Storage

Digests = frozenset[Digest]
# What reading a document raises that is not what was written.
DAMAGED = (ValueError, TypeError, KeyError, AttributeError, DigestInvalid)
# A mark that would name more than this names none.
_MOST = 2000


class Change(NamedTuple):
    """Since when, in seconds since 1970, which digests may be garbage; None if any may be."""

    since: float
    about: Digests | None


class Changes:
    """The changes of this process that are not written yet, by repository. To be used under a lock of the caller's."""

    def __init__(self) -> None:
        self._known: dict[str, set[Digest] | None] = {}

    def add(self, name: str, about: AbstractSet[Digest] | None) -> None:
        """Take note of a change."""
        known = self._known.setdefault(name, set())
        if known is not None and about is not None:
            known |= about
        else:
            self._known[name] = None

    def take(self) -> dict[str, set[Digest] | None]:
        """Return all, and forget them."""
        taken, self._known = self._known, {}
        return taken


def note(storage: Storage, name: str, about: AbstractSet[Digest] | None, now: float) -> None:
    """Add to a repository's mark."""
    before = read(storage, name)
    if before is None or not covers(before.about, about):
        storage.update(paths.changed(name), lambda document: _encode(_together(_decode(document), about, now)))


def read(storage: Storage, name: str) -> Change | None:
    """Return a repository's mark, None if it has none."""
    try:
        return _decode(storage.read(paths.changed(name)))
    except NotFound:
        return None


def encode_digests(about: AbstractSet[Digest] | None) -> list[str] | None:
    """Return digests as a document has them."""
    return None if about is None else sorted(map(str, about))


def decode_digests(document: list[str] | None) -> Digests | None:
    """Read what `encode_digests` returned."""
    return None if document is None else frozenset(map(digests.parse, document))


def covers(all_: Digests | None, some: AbstractSet[Digest] | None) -> bool:
    """Tell whether some digests, any if they are None, are among all of these."""
    return all_ is None or (some is not None and some <= all_)


def _together(known: Change | None, about: AbstractSet[Digest] | None, now: float) -> Change:
    if known is None:
        return Change(now, None if about is None else frozenset(about))
    if known.about is None or about is None or len(known.about | about) > _MOST:
        return Change(known.since, None)
    return Change(known.since, known.about | about)


def _encode(change: Change) -> bytes:
    return json.dumps({"since": change.since, "digests": encode_digests(change.about)}).encode()


def _decode(document: bytes | None) -> Change | None:
    """Read a mark; one that is damaged, or was left empty by an earlier version, is about anything, for long."""
    if document is None:
        return None
    try:
        read = json.loads(document)
        return Change(float(read["since"]), decode_digests(read["digests"]))
    except DAMAGED:
        return Change(0.0, None)
