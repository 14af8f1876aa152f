"""Reading of a repository only what decides on some of its content: on digests that something has lost hold of.

Whatever those lead to is read as `zot.gc.reading` reads it, or is known from a note. Of each other manifest, which is
taken to be kept, only the digests that its bytes show are compared, which takes a fraction of the time; where that does
not settle it, it is read like the others. So the plan for these digests is what a plan of the whole repository would
be, but for content that a kept manifest mentions in another place than its descriptors: that stays until a full pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress

from zot.gc import remembering
from zot.gc.reading import Held, Reader
from zot.gc.snapshot import Node, Snapshot, Tag
from zot.oci import digest as digests
from zot.oci.digest import Digest
from zot.registry import facts, paths
from zot.registry.changes import Digests
from zot.registry.store import Store
from zot.storage.protocol import Damaged, NotFound

_DIGEST = re.compile(r"(sha\d{3}):([0-9a-f]{64,128})")
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
        manifests = frozenset(self._store.storage.list(paths.manifests(self._name)))
        self._note = remembering.recall(self._store, self._name, len(manifests))
        candidates = self._with_all_below(about, manifests)
        held = manifests - {digest.filename for digest in candidates}
        if not held:
            # Perhaps nothing is left of the repository.
            raise _UnclearError
        blobs = about.union(candidates, *(node.blobs | node.children for node in candidates.values()))
        named = self._compare(held, blobs, about | candidates.keys())
        noted = frozenset(self._store.storage.list(paths.all_tagged(self._name)))
        if not noted <= manifests:
            # A tag may stand for a manifest without a fact, or a crash has left a note.
            raise _UnclearError
        tags = dict(self._tags(digest for digest in candidates if digest.filename in noted))
        return self._reader.part(tags, blobs, Held(held, named))

    def _with_all_below(self, about: Digests, manifests: frozenset[str]) -> dict[Digest, Node]:
        """Find out what manifests name, and those that they list, through any number of indexes."""
        waiting = [digest for digest in about if digest.filename in manifests]
        found = self._noted(waiting)
        while waiting := [digest for digest in waiting if digest not in found]:
            found |= self._read(waiting)
            listed = frozenset[Digest]().union(*(found[digest].children for digest in waiting))
            waiting = [digest for digest in listed if digest.filename in manifests]
        return found

    def _noted(self, chosen: Iterable[Digest]) -> dict[Digest, Node]:
        """Return those of these manifests that need not be read."""
        alone = [digest for digest in chosen if self._note.is_alone(digest.filename)]
        return {digest: self._reader.take(digest, self._note.names([digest.filename])) for digest in alone}

    def _read(self, chosen: Iterable[Digest]) -> dict[Digest, Node]:
        wanted = list(chosen)
        snapshot = self._reader.read_some(wanted)
        if snapshot.blind or not all(digest in snapshot.manifests for digest in wanted):
            raise _UnclearError
        return {digest: snapshot.manifests[digest] for digest in wanted}

    def _compare(self, held: frozenset[str], blobs: Digests, sought: Digests) -> Digests:
        """Return which of these blobs the held manifests name.

        One that mentions something of `sought`, by which it may list a manifest or have it for a subject, is read.
        """
        wanted = {digest.filename: digest for digest in blobs}
        note = self._note
        found: set[Digest] = set()
        for manifest in held - note.manifests if wanted.keys().isdisjoint(note.names(held)) else held:
            names = note.names([manifest]) or self._names(digests.from_filename(manifest))
            named = {wanted[one] for one in wanted.keys() & names}
            if named.isdisjoint(sought):
                found |= named
            else:
                self._read([digests.from_filename(manifest)])
        return frozenset(found)

    def _names(self, digest: Digest) -> Iterable[str]:
        """Return the file name of each digest that a manifest's bytes show."""
        try:
            body = self._store.storage.read(paths.blob(self._name, digest))
        except NotFound:
            raise _UnclearError from None
        if digests.of(body, digest.algorithm) != digest:
            raise _UnclearError
        if _ESCAPE in body:
            return [one.filename for one in self._read([digest])[digest].named()]
        return [f"{algorithm}-{hexadecimal}" for algorithm, hexadecimal in _DIGEST.findall(body.decode("latin-1"))]

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
