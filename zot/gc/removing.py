"""Carrying out a plan: each step is checked once more under the repository's exclusive lock, milliseconds at a time."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import nullcontext

from zot.gc.planning import Kind, Plan, Reason, Removal
from zot.gc.reading import Reader, cared
from zot.gc.snapshot import Snapshot
from zot.logs import is_audited, note_change
from zot.oci import digest as digests
from zot.oci.digest import Digest
from zot.registry import facts, manifests, paths, repositories, statistics
from zot.registry.manifests import Traces
from zot.registry.statistics import Pulls
from zot.registry.store import Store
from zot.storage.protocol import Idle, NotFound, StorageError

log = logging.getLogger(__name__)

# Under the lock steps are taken for so long, in seconds, or a few times as long as it took to begin, where the store is
# far away or the repository large, but not longer than the last of these; and then it is left to others for this many
# times as long.
_HELD = 0.005
_TIMES_BEGUN = 4
_LONGEST_HELD = 0.25
REST = 3.0
# Of so many manifests at a time is asked whether somebody has cared for them; which have tags is not asked for all of a
# repository if so many times more stay.
_MANIFESTS = 50
_FEW = 20

_MESSAGES = {
    Reason.RETENTION: "removed tag",
    Reason.UNTAGGED: "removed untagged manifest",
    Reason.NO_SUBJECT: "removed manifest without reference",
    Reason.UNREFERENCED: "removed blob",
    Reason.LEFT_BEHIND: "removed what a crash had left",
    Reason.EMPTY: "removed empty repository",
}


def report(name: str, removal: Removal, *, dry_run: bool) -> None:
    """Log a removal, done or only planned, in the fields that zot has; blobs are many, and logged from debug on.

    One that is done has a line in the audit log too.
    """
    level = logging.DEBUG if removal.kind is Kind.BLOB else logging.INFO
    is_noted = not dry_run and is_audited()
    if not (is_noted or log.isEnabledFor(level)):
        return
    reason = removal.why or removal.reason
    fields = {"dry-run": dry_run, "repository": name, "reference": removal.reference, "decision": "delete"}
    log.log(level, "%s", _MESSAGES[removal.reason], extra={**fields, "reason": reason})
    if is_noted:
        subject = "zot retention" if removal.reason is Reason.RETENTION else "zot gc"
        note_change(subject, "DELETE", _object(name, removal), name, "deleted", reason)


def _object(name: str, removal: Removal) -> str:
    """Return what was removed as a request would name it, where one could."""
    match removal.kind:
        case Kind.TAG | Kind.MANIFEST:
            return f"/v2/{name}/manifests/{removal.reference}"
        case Kind.BLOB:
            return f"/v2/{name}/blobs/{removal.reference}"
        case Kind.FACT | Kind.REPOSITORY:
            return removal.reference


class Remover:
    """Removes what a plan names, if it still may go. `go_on` is called before each batch, and raises to stop.

    After a batch it rests `rest` times as long as that took.
    """

    def __init__(
        self, store: Store, snapshot: Snapshot, plan: Plan, go_on: Callable[[], None], rest: float = REST
    ) -> None:
        self._store = store
        self._snapshot = snapshot
        self._plan = plan
        self._go_on = go_on
        self._rest = rest
        self._name = plan.name
        # The manifests of this batch, which go at its end.
        self._going: dict[Digest, Traces] = {}
        self._named_since: set[Digest] = set()
        self._read_since = set(plan.kept)
        self._tagged: dict[Digest, set[str]] = defaultdict(set)
        for name, tag in snapshot.tags.items():
            self._tagged[tag.digest].add(name)
        self._steps: dict[Kind, Callable[[Removal], bool]] = {
            Kind.TAG: self._remove_tag,
            Kind.MANIFEST: self._remove_manifest,
            Kind.FACT: self._remove_fact,
            Kind.REPOSITORY: self._remove_repository,
        }

    def run(self) -> Iterator[Removal]:
        """Yield what was removed, in the plan's order; what somebody has cared for since is passed over.

        If a step fails, what went before it is yielded before that is raised.
        """
        left = list(reversed(self._plan.removals))
        while left:
            self._go_on()
            batch = list[Removal]()
            try:
                with self._store.storage.lock(paths.lock(self._name), shared=False):
                    begun, self._until = time.monotonic(), 0.0
                    while left and (not self._until or time.monotonic() < self._until):
                        self._batch(left, begun, batch)
            finally:
                for removal in batch:
                    report(self._name, removal, dry_run=False)
                yield from batch
            if left:
                time.sleep(self._rest * (time.monotonic() - begun))

    def _batch(self, left: list[Removal], begun: float, done: list[Removal]) -> None:
        """Take steps from the end of `left` until the time is over; at least one, and all of one kind.

        `begun` is when the lock was taken. What is removed is added to `done`, also if a later step fails.
        """
        kind = left[-1].kind
        if not self._prepare(left):
            left[:] = [removal for removal in left if removal.kind is not kind]
            return
        if not self._until:
            now = time.monotonic()
            self._until = now + min(max(_HELD, _TIMES_BEGUN * (now - begun)), _LONGEST_HELD)
        until = self._until
        if kind is Kind.BLOB:
            self._remove_blobs(left, until, done)
            return
        marked = kind in (Kind.TAG, Kind.MANIFEST)
        together: list[Removal] = []
        with repositories.removing(self._store, self._name) if marked else nullcontext():
            try:
                while left and left[-1].kind is kind and (kind is not Kind.MANIFEST or left[-1].digest in self._cared):
                    removal = left.pop()
                    if self._steps[kind](removal):
                        (together if kind is Kind.MANIFEST else done).append(removal)
                    if time.monotonic() > until:
                        break
            finally:
                self._forget(together, done)

    def _forget(self, together: list[Removal], done: list[Removal]) -> None:
        """Take the manifests of a batch away and add them to `done`; if that fails, those that are gone by then."""
        going, self._going = self._going, {}
        try:
            manifests.forget(self._store, self._name, going)
        except StorageError:
            done += [one for one in together if one.digest is not None and not self._is_here(one.digest)]
            raise
        done += together

    def _prepare(self, left: list[Removal]) -> bool:
        """Look once for the whole batch at what has come since the snapshot; False if nothing of this kind may go."""
        kind = left[-1].kind
        if kind is Kind.TAG:
            self._pulls: Pulls = statistics.read(self._store.storage, self._name)
            return self._kept_tags_are_there()
        if kind is Kind.MANIFEST:
            # File names of digests: what is not among these is no index, and has no tag.
            self._indexes = frozenset(self._store.storage.list(paths.indexes(self._name)))
            chosen = [one for one in left[-_MANIFESTS:] if one.kind is kind]
            self._noted = self._with_notes(chosen)
            self._listed_since = self._indexes_since()
            self._cared = self._look_at(chosen)
        if kind is Kind.BLOB:
            return self._read_manifests_since()
        return True

    def _with_notes(self, some: list[Removal]) -> frozenset[str]:
        """Return the file names of digests that have notes of tags; or all of these, if they are few among many."""
        if len(some) * _FEW >= len(self._plan.kept):
            return frozenset(self._store.storage.list(paths.all_tagged(self._name)))
        return frozenset(one.digest.filename for one in some if one.digest is not None)

    def _look_at(self, some: list[Removal]) -> dict[Digest | None, float]:
        """Return when somebody last cared for these manifests."""
        chosen = [one.digest for one in some if one.digest is not None]
        enough = max(one.cared for one in some)
        return dict(zip(chosen, cared(self._store, self._name, chosen, enough), strict=True))

    def _is_cared_for(self, digest: Digest, since: float) -> bool:
        """Tell whether somebody has cared for a manifest since; a time that may be too late is asked for exactly."""
        return self._cared[digest] > since and next(cared(self._store, self._name, [digest], since)) > since

    def _kept_tags_are_there(self) -> bool:
        """Ranks were given among all tags: if one of those that were to stay has gone, another may have to stay now."""
        there = set(self._store.storage.list(paths.tags(self._name)))
        if all(one.tag in there for one in self._plan.decisions if one.kept):
            return True
        log.warning("tags of %s were deleted meanwhile; its retention waits for the next run", self._name)
        return False

    def _indexes_since(self) -> dict[Digest, frozenset[str]]:
        """Return the children of each index that is here and that the plan does not keep."""
        return {
            digest: facts.decode_children(self._store.storage.read(paths.index(self._name, digest)))
            for digest in map(digests.from_filename, self._indexes - self._plan.kept)
        }

    def _read_manifests_since(self) -> bool:
        """Add to what is named what manifests name that are no part of what the plan keeps."""
        new = [one for one in self._store.storage.list(paths.manifests(self._name)) if one not in self._read_since]
        if not new:
            return True
        read = Reader(self._store, self._name).read_some(digests.from_filename(filename) for filename in new)
        for digest, node in read.manifests.items():
            self._named_since |= {digest} | node.blobs | node.children
        self._read_since.update(new)
        return not read.blind

    def _remove_tag(self, removal: Removal) -> bool:
        planned = self._snapshot.tags[removal.reference]
        try:
            fact = facts.decode_tag(self._store.storage.read(paths.tag(self._name, removal.reference)))
        except NotFound:
            return False
        pulled = max((self._pulls[key].last for key in (str(fact.digest), fact.name) if key in self._pulls), default=0)
        if (fact.digest, fact.pushed) != (planned.digest, planned.pushed) or pulled > planned.pulled:
            return False
        manifests.untag(self._store, self._name, fact.name, fact.digest)
        return True

    def _remove_manifest(self, removal: Removal) -> bool:
        digest = removal.digest
        assert digest is not None, "a manifest has a digest"
        node = self._snapshot.manifests[digest]
        if any(removal.reference in children for children in self._listed_since.values()):
            return False
        if self._is_cared_for(digest, removal.cared):
            return False
        if removal.reason is Reason.NO_SUBJECT and node.subject is not None and self._is_here(node.subject):
            return False
        is_noted = digest.filename in self._noted
        tags = manifests.tags_of(self._store, self._name, digest) if is_noted else []
        allowed = self._tagged[digest] if removal.reason is Reason.NO_SUBJECT else set[str]()
        if not allowed.issuperset(tags):
            return False
        for tag in tags:
            manifests.untag(self._store, self._name, tag, digest)
        self._going[digest] = Traces(node.subject, digest.filename in self._indexes, is_noted)
        self._listed_since.pop(digest, None)
        return True

    def _remove_blobs(self, left: list[Removal], until: float, done: list[Removal]) -> None:
        """Remove blobs from the end of `left`; the store makes that durable once for all of them."""
        tried: dict[str, Removal] = {}
        removed: list[str] = []

        def idle() -> Iterator[Idle]:
            while left and left[-1].kind is Kind.BLOB and not (tried and time.monotonic() > until):
                removal = left.pop()
                assert removal.digest is not None, "a blob has a digest"
                key = paths.blob(self._name, removal.digest)
                tried[key] = removal
                if removal.digest not in self._named_since:
                    yield Idle(key, paths.content(removal.digest), removal.cared)

        try:
            self._store.storage.remove_idle(idle(), removed)
        finally:
            gone = set(removed)
            done += [removal for key, removal in tried.items() if key in gone]

    def _remove_fact(self, removal: Removal) -> bool:
        assert removal.digest is not None, "a fact is about a manifest"
        if self._is_here(removal.digest) or self._is_tagged(removal):
            return False
        prefix = removal.reference.rpartition("/")[0]
        self._store.storage.delete(removal.reference, f"{prefix}/")
        return True

    def _is_tagged(self, removal: Removal) -> bool:
        assert removal.digest is not None, "a fact is about a manifest"
        return bool(manifests.tags_of(self._store, self._name, removal.digest))

    def _remove_repository(self, _removal: Removal) -> bool:
        return repositories.remove_if_empty(self._store, self._name)

    def _is_here(self, digest: Digest) -> bool:
        if digest in self._going:
            return False
        try:
            self._store.storage.stat(paths.manifest(self._name, digest))
        except NotFound:
            return False
        return True
