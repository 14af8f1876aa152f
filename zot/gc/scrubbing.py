"""Reading everything again: whether it still is what was pushed, and whether facts and content agree.

Content that is not what its digest says is set aside, so that it is served no more and a client pushes it anew. Facts
that can be told from content are put right. What is missing is reported, with the tags that suffer from it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

from zot.gc.hashing import Hashing, UnreadableError
from zot.gc.reading import Reader
from zot.gc.snapshot import Snapshot
from zot.logs import note_change
from zot.oci.digest import Digest
from zot.registry import mending, paths
from zot.registry.store import Store
from zot.storage.protocol import NotFound, Stat

log = logging.getLogger(__name__)

# Of what is looked at here only the size counts, so any time is old enough.
_ANY_AGE = float("inf")


class Finding(NamedTuple):
    """Something that was wrong: what, with which content, which tags lead to it, and whether it was put right."""

    repository: str
    digest: Digest
    tags: tuple[str, ...]
    problem: str
    mended: bool = False


class Scrubbed(NamedTuple):
    """What was looked at, in bytes too, what was found, and what could not be read."""

    repository: str
    manifests: int
    blobs: int
    size: int
    findings: tuple[Finding, ...]
    problems: tuple[str, ...] = ()


class Scrubber:
    """Scrubs one repository. `hashing` paces the reading; `go_on` is called before each piece of work."""

    def __init__(self, store: Store, name: str, hashing: Hashing, go_on: Callable[[], None]) -> None:
        self._store = store
        self._name = name
        self._hashing = hashing
        self._go_on = go_on
        self._size = 0
        self._aside: set[Digest] = set()

    def scrub(self) -> Scrubbed:
        """Check all that is in the repository."""
        log.info("executing scrub to check manifest/blob integrity for %s", self._name)
        snapshot = Reader(self._store, self._name).read()
        reached = _Reached(snapshot)
        findings = [
            Finding(self._name, digest, reached.tags(digest), problem, mended)
            for digest, problem, mended in (
                *self._check_blobs(snapshot),
                *self._check_missing(snapshot),
                *self._check_manifests(snapshot),
                *self._check_children(snapshot),
                *self._check_tags(snapshot),
            )
        ]
        for finding in findings:
            _report(finding)
        if findings:
            self._store.on_damage()
        log.info("scrub successfully completed for %s", self._name)
        # A manifest that can't be read is among the findings already.
        others = tuple(one for one in snapshot.problems if not any(str(known) in one for known in snapshot.unreadable))
        return Scrubbed(self._name, len(snapshot.manifests), len(snapshot.blobs), self._size, tuple(findings), others)

    def _check_blobs(self, snapshot: Snapshot) -> Iterator[tuple[Digest, str, bool]]:
        """Hash all content, manifests among it."""
        for digest in sorted(snapshot.blobs):
            self._go_on()
            try:
                while not self._is_good(digest):
                    if self._set_aside(digest):
                        yield digest, "its content is damaged and was set aside; push it again", False
                        break
            except NotFound:
                continue
            except UnreadableError as error:
                # It stays where it is: the disk, or the way to it, may be mended.
                yield digest, f"its content can't be read ({error}); see to the disk", False

    def _is_good(self, digest: Digest) -> bool:
        key = paths.blob(self._name, digest)
        self._seen = self._store.storage.stat(key).modified
        size, is_right = self._hashing.check(self._store.storage.open(key), digest, self._go_on)
        self._size += size
        return is_right

    def _set_aside(self, digest: Digest) -> bool:
        """Set content aside that was just found damaged; False if somebody has put it anew since."""
        key = paths.blob(self._name, digest)
        with self._store.storage.lock(paths.lock(self._name), shared=False):
            if self._store.storage.stat(key).modified != self._seen:
                return False
            self._store.storage.set_aside(key, shared=paths.content(digest))
        self._aside.add(digest)
        self._note("DELETE", digest, "set aside", "its content is damaged")
        return True

    def _note(self, action: str, digest: Digest, result: str, reason: str) -> None:
        """Write a change down in the audit log."""
        note_change("zot scrub", action, f"/v2/{self._name}/blobs/{digest}", self._name, result, reason)

    def _look(self, snapshot: Snapshot, digest: Digest) -> Stat | None:
        return next(snapshot.look([digest], _ANY_AGE))

    def _check_missing(self, snapshot: Snapshot) -> Iterator[tuple[Digest, str, bool]]:
        """Find what manifests need and is not here; where sparse images are accepted nobody knows that it should be."""
        if self._store.sparse:
            return
        needed = {blob for node in snapshot.manifests.values() for blob in node.blobs}
        for digest in sorted(needed - set(snapshot.blobs)):
            if self._look(snapshot, digest) is None:
                yield digest, "the blob is missing; push it again", False

    def _check_manifests(self, snapshot: Snapshot) -> Iterator[tuple[Digest, str, bool]]:
        """Compare each manifest's facts with its content."""
        for digest in sorted(snapshot.manifests):
            self._go_on()
            found = self._look(snapshot, digest)
            if digest in self._aside:
                continue
            if digest in snapshot.unreadable and found is not None:
                yield from self._mended(digest, mending.unreadable(self._store, self._name, digest))
                continue
            if found is None:
                yield digest, "the manifest has lost its content; push it again, or delete it", False
            else:
                yield from self._mended(digest, mending.manifest(self._store, self._name, digest, found.size))

    def _check_children(self, snapshot: Snapshot) -> Iterator[tuple[Digest, str, bool]]:
        """Find content that an index lists and that is no manifest of the repository."""
        listed = frozenset[Digest]().union(*(node.children for node in snapshot.manifests.values()))
        for digest in sorted(listed.intersection(snapshot.blobs) - snapshot.manifests.keys()):
            yield from self._mended(digest, mending.child(self._store, self._name, digest))

    def _check_tags(self, snapshot: Snapshot) -> Iterator[tuple[Digest, str, bool]]:
        """Compare what tags say with the manifests that they stand for."""
        for tag, known in sorted(snapshot.tags.items()):
            found = self._look(snapshot, known.digest)
            if found is not None and known.digest not in snapshot.unreadable:
                yield from self._mended(
                    known.digest, mending.tag(self._store, self._name, tag, known.digest, found.size)
                )

    def _mended(self, digest: Digest, problems: Iterator[str]) -> Iterator[tuple[Digest, str, bool]]:
        """Put facts right under the lock; what is gone meanwhile is passed over."""
        with self._store.storage.lock(paths.lock(self._name), shared=False), suppress(NotFound):
            for problem in problems:
                is_mended = problem.endswith("put right")
                if is_mended:
                    self._note("PUT", digest, "put right", problem)
                yield digest, problem, is_mended


class _Reached:
    """Which tags lead to some content."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._by: dict[Digest, set[Digest]] = {}
        for holder, node in snapshot.manifests.items():
            for named in (*node.children, *node.blobs):
                self._by.setdefault(named, set()).add(holder)

    def tags(self, digest: Digest) -> tuple[str, ...]:
        """Return them, through any number of indexes."""
        seen, waiting = {digest}, [digest]
        while waiting:
            for holder in self._by.get(waiting.pop(), set()) - seen:
                seen.add(holder)
                waiting.append(holder)
        return tuple(sorted(tag for tag, known in self._snapshot.tags.items() if known.digest in seen))


def _report(finding: Finding) -> None:
    for tag in finding.tags or ("",):
        fields = {
            "image": finding.repository,
            "tag": tag,
            "status": "affected",
            "affected blob": str(finding.digest),
            "error": finding.problem,
        }
        log.warning("blobs/manifest affected", extra=fields)
