"""Reading of a repository only what decides on some of its content: on digests that something has lost hold of.

Whatever those lead to is read as `zot.gc.reading` reads it. Of each other manifest, which is taken to be kept, only the
digests that its bytes show are compared, which takes a fraction of the time; where that does not settle it, it is read
like the others. So the plan for these digests is what a plan of the whole repository would be, but for content that
a kept manifest mentions in another place than its descriptors: that stays until a full pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress

from zot.gc import remembering
from zot.gc.reading import Reader
from zot.gc.remembering import Names
from zot.gc.snapshot import Node, Snapshot, Tag
from zot.oci import digest as digests
from zot.oci.digest import Digest
from zot.registry import facts, paths
from zot.registry.changes import Digests
from zot.registry.store import Store
from zot.storage.protocol import Damaged, NotFound

_STARTS = re.compile(r":([0-9a-f]{16})[0-9a-f]{48}")
# In JSON a digest may be spelled with these, and then it does not show.
_ESCAPE = rb"\u"


class _UnclearError(Exception):
    """Something is not as it should be: the whole repository has to be read."""


def read(store: Store, name: str, about: Digests | None) -> Snapshot:
    """Return what decides on these digests; the whole repository if they are None, or if that can't be told from less.

    By rules about ranks and ages any tag may have to go, by that about referrers what has lost its subject.
    """
    policy = store.retention.of(name)
    if about is not None and not (policy.keep_tags or policy.keep_untagged or policy.delete_referrers):
        with suppress(_UnclearError, Damaged):
            return _Reading(store, name).read(about)
    return Reader(store, name).read()


class _Reading:
    """Reading one repository."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self._reader = Reader(store, name)

    def read(self, about: Digests) -> Snapshot:
        """Read manifests first and tags last, as `Reader` does, and for the same reason."""
        listed = list(self._store.storage.list(paths.manifests(self._name)))
        if not set(listed).issuperset(self._store.storage.list(paths.all_tagged(self._name))):
            # A tag may stand for a manifest without a fact, or a crash has left a note.
            raise _UnclearError
        manifests = frozenset(map(digests.from_filename, listed))
        candidates = self._with_all_below(about & manifests, manifests)
        held = manifests - candidates.keys()
        if not held:
            # Perhaps nothing is left of the repository.
            raise _UnclearError
        blobs = about.union(candidates, *(node.blobs | node.children for node in candidates.values()))
        others = self._compare(held, blobs, about | candidates.keys())
        return self._reader.part(dict(self._tags(candidates)), blobs, others)

    def _with_all_below(self, chosen: Digests, manifests: Digests) -> dict[Digest, Node]:
        """Read manifests, and those that they list, through any number of indexes."""
        found: dict[Digest, Node] = {}
        waiting = chosen
        while waiting:
            found |= self._read(waiting)
            listed = frozenset[Digest]().union(*(found[digest].children for digest in waiting))
            waiting = (listed & manifests) - found.keys()
        return found

    def _read(self, chosen: Iterable[Digest]) -> dict[Digest, Node]:
        wanted = list(chosen)
        snapshot = self._reader.read_some(wanted)
        if snapshot.blind or not all(digest in snapshot.manifests for digest in wanted):
            raise _UnclearError
        return {digest: snapshot.manifests[digest] for digest in wanted}

    def _compare(self, held: Digests, blobs: Digests, sought: Digests) -> dict[Digest, Node]:
        """Say which of these blobs each manifest names.

        One that mentions something of `sought`, by which it may list a manifest or have it for a subject, is read.
        """
        by_start = {remembering.start(digest): digest for digest in blobs}
        if len(by_start) < len(blobs):
            raise _UnclearError
        known = remembering.recall(self._store, self._name, len(held))
        found: dict[Digest, Node] = {}
        unclear = []
        for digest in held:
            names = known.get(digest.filename) or self._names(digest)
            named = frozenset(by_start[one] for one in by_start.keys() & names)
            if named.isdisjoint(sought):
                found[digest] = Node(0.0, blobs=named)
            else:
                unclear.append(digest)
        return found | self._read(unclear)

    def _names(self, digest: Digest) -> Names:
        """Return what stands for each digest that a manifest's bytes show."""
        try:
            body = self._store.storage.read(paths.blob(self._name, digest))
        except NotFound:
            raise _UnclearError from None
        if digests.of(body, digest.algorithm) != digest:
            raise _UnclearError
        if _ESCAPE in body:
            return remembering.names_of(self._read([digest])[digest])
        return _STARTS.findall(body.decode("latin-1"))

    def _tags(self, candidates: Iterable[Digest]) -> Iterator[tuple[str, Tag]]:
        """Yield the tags of manifests; raises `Damaged` if nobody knows what one stands for."""
        storage = self._store.storage
        for digest in candidates:
            for tag in list(storage.list(paths.tagged(self._name, digest))):
                try:
                    fact = facts.decode_tag(storage.read(paths.tag(self._name, tag)))
                except NotFound:
                    continue
                if fact.digest == digest and fact.name == tag:
                    yield tag, Tag(digest, fact.pushed)
