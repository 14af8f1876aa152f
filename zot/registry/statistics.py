"""How often and when manifests were pulled: gathered in each worker's memory, kept in one document per repository.

A pull is counted for its digest and, if it was asked for by tag, for the tag. What a crash takes away is what the last
few seconds had.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Collection, Mapping
from typing import NamedTuple

from zot.oci.digest import Digest
from zot.oci.reference import subject_of_tag
from zot.registry import changes, paths
from zot.registry.changes import Changes
from zot.storage.protocol import Damaged, NotFound, Storage

# Since when pulls are counted at all in a store.
_SINCE = f"{paths.STATISTICS}.since"


class Pulled(NamedTuple):
    """How often something was pulled, and when for the last time, in seconds since 1970."""

    times: int
    last: float


Pulls = Mapping[str, Pulled]


class Gathered:
    """Pulls, and repositories in which something may have become garbage, that this process has not written yet."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._pulls: dict[str, dict[str, Pulled]] = {}
        self._changes = Changes()
        self._noted: dict[str, set[Digest] | None] = {}

    def pulled(self, name: str, digest: Digest, tag: str | None) -> None:
        """Count a pull; what a signature's tag stands for is pulled by machines, and is not counted."""
        if tag is not None and subject_of_tag(tag) is not None:
            return
        now = time.time()
        with self._guard:
            counts = self._pulls.setdefault(name, {})
            for key in (str(digest), tag):
                if key is not None:
                    known = counts.get(key)
                    counts[key] = Pulled(1 if known is None else known.times + 1, now)

    def changed(self, name: str, *about: Digest) -> None:
        """Note that these digests of the repository may be garbage from now on; without any, that anything may be."""
        with self._guard:
            self._changes.add(name, set(about) or None)

    def flush(self, storage: Storage) -> None:
        """Write what was gathered. What can't be written is kept for the next time, and the error passed on.

        Changes are noted once more the next time: the mark may have been taken away just when they were added to it.
        """
        with self._guard:
            pulls, self._pulls = self._pulls, {}
            noted, self._noted = self._noted, self._changes.take()
            for name, about in (*noted.items(), *self._noted.items()):
                self._changes.add(name, about)
            changed = self._changes.take()
        try:
            while changed:
                name = next(iter(changed))
                changes.note(storage, name, changed[name], time.time())
                del changed[name]
            while pulls:
                name = next(iter(pulls))
                _add(storage, name, pulls[name])
                del pulls[name]
        finally:
            self._take_back(pulls, changed)

    def _take_back(self, pulls: dict[str, dict[str, Pulled]], changed: dict[str, set[Digest] | None]) -> None:
        with self._guard:
            for name, about in changed.items():
                self._changes.add(name, about)
            for name, counts in pulls.items():
                self._pulls[name] = _sum(counts, self._pulls.get(name, {}))


def begin(storage: Storage) -> None:
    """Note, once in the life of a store, that pulls are counted from now on."""
    storage.write(_SINCE, json.dumps({"since": time.time()}).encode(), once=True)


def counted_since(storage: Storage) -> float:
    """Return since when pulls are counted, in seconds since 1970; now if they are not counted yet."""
    try:
        return float(json.loads(storage.read(_SINCE))["since"])
    except NotFound:
        return time.time()


def read(storage: Storage, name: str) -> Pulls:
    """Return the pulls of a repository's digests and tags. Raises `Damaged`."""
    try:
        return _decode(storage.read(paths.statistics(name)))
    except NotFound:
        return {}


def forget(storage: Storage, name: str, kept: Collection[str]) -> None:
    """Forget the pulls of what is not in the repository any more; `kept` are its digests and tags."""
    known = read(storage, name)
    if any(key not in kept for key in known):
        storage.update(paths.statistics(name), lambda before: _encode(_only(_decode(before or b"{}"), kept)))


def _add(storage: Storage, name: str, counts: Pulls) -> None:
    """Add pulls to those of a repository, if it is still there."""
    try:
        storage.stat(paths.repository(name))
    except NotFound:
        return
    storage.update(paths.statistics(name), lambda before: _encode(_sum(_decode(before or b"{}"), counts)))


def _only(pulls: Pulls, kept: Collection[str]) -> Pulls:
    return {key: one for key, one in pulls.items() if key in kept}


def _sum(one: Pulls, other: Pulls) -> dict[str, Pulled]:
    total = dict(one)
    for key, more in other.items():
        known = total.get(key)
        total[key] = more if known is None else Pulled(known.times + more.times, max(known.last, more.last))
    return total


def _decode(document: bytes) -> dict[str, Pulled]:
    try:
        return {key: Pulled(int(times), float(last)) for key, (times, last) in json.loads(document).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise Damaged("the record of pulls is damaged; remove it, and pulls are counted anew") from error


def _encode(pulls: Pulls) -> bytes:
    return json.dumps(pulls, separators=(",", ":")).encode()
