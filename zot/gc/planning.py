"""What of a repository goes, and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from zot.gc.deciding import NEVER, Decision, decide, kept_untagged
from zot.gc.snapshot import Node, Snapshot
from zot.oci.digest import Digest
from zot.oci.reference import subject_of_tag
from zot.registry.retention import Policy, Retention


class Kind(StrEnum):
    """What is removed."""

    TAG = "tag"
    MANIFEST = "manifest"
    BLOB = "blob"
    FACT = "fact"
    REPOSITORY = "repository"


class Reason(StrEnum):
    """Why it is removed, in zot's words where zot has some."""

    RETENTION = "tagRetention"
    UNTAGGED = "deleteUntagged"
    NO_SUBJECT = "deleteReferrers"
    UNREFERENCED = "unreferenced"
    LEFT_BEHIND = "leftByACrash"
    EMPTY = "empty"


class Removal(NamedTuple):
    """One thing that goes. `size` is in bytes, `cared` when somebody last cared for it: if it is later, it stays."""

    kind: Kind
    reference: str
    digest: Digest | None
    size: int
    reason: Reason
    cared: float = 0.0
    why: str = ""


class Waiting(NamedTuple):
    """A manifest or blob that goes at `until`, unless somebody cares for it before; `size` is a blob's, in bytes."""

    kind: Kind
    size: int
    until: float


@dataclass(frozen=True)
class Plan:
    """What is done to a repository, in this order, and when it is worth while to look again.

    `kept` are the file names of the manifests that were taken into account and stay. What is too young now is in
    `waiting`; if `is_whole`, the rest of the repository was looked at as well.
    """

    name: str
    decisions: tuple[Decision, ...]
    removals: tuple[Removal, ...]
    kept: frozenset[str]
    due: float = NEVER
    problems: tuple[str, ...] = ()
    waiting: Mapping[Digest, Waiting] = field(default_factory=dict)
    is_whole: bool = True

    @property
    def size(self) -> int:
        """The bytes that go."""
        return sum(removal.size for removal in self.removals)


def plan(snapshot: Snapshot, rules: Retention, now: float, suspended: str = "") -> Plan:
    """Decide what goes, as of now. `suspended` is a reason for which no tag does."""
    return _Planner(snapshot, rules, now).plan(suspended)


class _Planner:
    """The work on one plan."""

    def __init__(self, snapshot: Snapshot, rules: Retention, now: float) -> None:
        self._snapshot = snapshot
        self._rules = rules
        self._policy: Policy = rules.of(snapshot.name)
        self._now = now
        self._alive: dict[Digest, Node] = dict(snapshot.manifests)
        self._tags: dict[Digest, set[str]] = defaultdict(set)
        self._removals: list[Removal] = []
        self._due = NEVER
        self._waiting: dict[Digest, Waiting] = {}

    def plan(self, suspended: str) -> Plan:
        """Decide on tags, then on manifests until nothing more goes, then on blobs."""
        snapshot = self._snapshot
        decisions = decide(self._policy, snapshot, self._now, suspended)
        for one in decisions:
            if one.kept:
                self._tags[one.digest].add(one.tag)
                self._come_back(one.until)
            else:
                self._removals.append(
                    Removal(Kind.TAG, one.tag, one.digest, 0, Reason.RETENTION, one.pushed, why=one.reason)
                )
        while going := list(self._going()):
            for digest, reason, cared in going:
                self._removals.append(Removal(Kind.MANIFEST, str(digest), digest, 0, reason, cared))
                del self._alive[digest]
                self._tags.pop(digest, None)
        for digest, key in snapshot.loose:
            self._removals.append(Removal(Kind.FACT, key, digest, 0, Reason.LEFT_BEHIND))
        blobs_left = self._plan_blobs()
        is_empty = not (blobs_left or snapshot.held or self._alive or any(self._tags.values()))
        if is_empty and snapshot.is_listed:
            self._removals.append(Removal(Kind.REPOSITORY, snapshot.name, None, 0, Reason.EMPTY))
        return Plan(
            snapshot.name,
            decisions,
            tuple(self._removals),
            snapshot.held.union(digest.filename for digest in self._alive),
            self._due,
            snapshot.problems,
            self._waiting,
            is_whole=not snapshot.held,
        )

    def _going(self) -> Iterator[tuple[Digest, Reason, float]]:
        """Yield the manifests that go as things stand now; none does while it is not known what another one names."""
        if self._snapshot.blind:
            return
        children = frozenset[Digest]().union(*(node.children for node in self._alive.values()))
        kept = self._kept_untagged(children)
        chosen: dict[Digest, Reason] = {}
        for digest, node in self._alive.items():
            if digest in children or digest.filename in self._snapshot.held:
                continue
            reason = self._reason(digest, node)
            if reason is Reason.UNTAGGED and digest in kept:
                self._come_back(kept[digest])
            elif reason is not None:
                chosen[digest] = reason
        enough = self._now - self._rules.delay
        for (digest, reason), cared in zip(chosen.items(), self._snapshot.cared(chosen, enough), strict=True):
            if cared <= enough:
                yield digest, reason, cared
            else:
                self._wait(digest, Waiting(Kind.MANIFEST, 0, cared + self._rules.delay))

    def _reason(self, digest: Digest, node: Node) -> Reason | None:
        tags = self._tags.get(digest, set())
        if any(self._policy.forbids_moving(tag) for tag in tags):
            return None
        if self._policy.delete_referrers and self._has_lost_its_subject(node, tags):
            return Reason.NO_SUBJECT
        if self._policy.delete_untagged and not tags and node.subject is None:
            return Reason.UNTAGGED
        return None

    def _has_lost_its_subject(self, node: Node, tags: set[str]) -> bool:
        if node.subject is not None:
            return not self._is_here(node.subject)
        named = [subject_of_tag(tag) for tag in tags]
        return bool(named) and all(subject is not None and not self._is_here(subject) for subject in named)

    def _is_here(self, digest: Digest) -> bool:
        return digest in self._alive or digest.filename in self._snapshot.held

    def _kept_untagged(self, children: frozenset[Digest]) -> dict[Digest, float]:
        keep = self._policy.keep_untagged
        if keep is None:
            return {}
        untagged = {
            digest: node
            for digest, node in self._alive.items()
            if not self._tags.get(digest) and digest not in children and node.subject is None
        }
        return kept_untagged(keep, untagged, self._now, self._snapshot.counted_since)

    def _plan_blobs(self) -> int:
        """Plan the removal of what nobody names, and return how many blobs stay."""
        snapshot, blobs = self._snapshot, self._snapshot.blobs
        if snapshot.blind:
            return len(blobs)
        named = {*snapshot.named, *self._alive}
        for node in self._alive.values():
            named |= node.blobs | node.children
        going, enough = 0, self._now - self._rules.gc_delay
        unnamed = sorted(blobs - named)
        for digest, found in zip(unnamed, snapshot.look(unnamed, enough), strict=True):
            if found is None:
                continue
            if found.modified <= enough:
                self._removals.append(
                    Removal(Kind.BLOB, str(digest), digest, found.size, Reason.UNREFERENCED, found.modified)
                )
                going += 1
            else:
                self._wait(digest, Waiting(Kind.BLOB, found.size, found.modified + self._rules.gc_delay))
        return len(blobs) - going

    def _wait(self, digest: Digest, waiting: Waiting) -> None:
        self._waiting[digest] = waiting
        self._come_back(waiting.until)

    def _come_back(self, when: float) -> None:
        self._due = min(self._due, when)
