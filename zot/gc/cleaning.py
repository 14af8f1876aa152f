"""Cleaning one repository: the one path that a plan, a dry run and a real run share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import NamedTuple

from zot.gc import narrow, remembering
from zot.gc.planning import Kind, Plan, Removal, plan
from zot.gc.removing import REST, Remover, report
from zot.gc.snapshot import Snapshot
from zot.oci import digest as digests
from zot.registry import statistics
from zot.registry.changes import Digests
from zot.registry.store import Store

log = logging.getLogger(__name__)


class Cleaned(NamedTuple):
    """What was removed, or would be, and the plan that it follows."""

    plan: Plan
    removed: tuple[Removal, ...]

    @property
    def size(self) -> int:
        """The bytes that are gone."""
        return sum(removal.size for removal in self.removed)

    @property
    def bodies(self) -> int:
        """How many of the blobs among it are manifests that are among it too."""
        manifests = {removal.digest for removal in self.removed if removal.kind is Kind.MANIFEST}
        return sum(removal.kind is Kind.BLOB and removal.digest in manifests for removal in self.removed)


def look(
    store: Store, name: str, now: float, suspended: str = "", about: Digests | None = None
) -> tuple[Snapshot, Plan]:
    """Read a repository and plan what goes. `suspended` is a reason for which no tag does; empty for none.

    With `about` it may be enough to read what decides on these digests, and on what they lead to.
    """
    snapshot = narrow.read(store, name, about)
    return snapshot, plan(snapshot, store.retention, now, suspended)


def clean(
    store: Store,
    name: str,
    now: float,
    *,
    dry_run: bool,
    go_on: Callable[[], None],
    suspended: str = "",
    rest: float = REST,
    about: Digests | None = None,
    told: Callable[[Cleaned], None] = lambda _: None,
) -> Cleaned:
    """Remove what goes, or only say so. `about` is as `look` has it, `go_on` and `rest` are as `Remover` has them.

    `told` is called with what it has done, also if it is stopped or fails in the middle.
    """
    snapshot, made = look(store, name, now, suspended, about)
    explain(made, dry_run)
    if dry_run:
        for removal in made.removals:
            report(name, removal, dry_run=True)
        done = Cleaned(made, made.removals)
        told(done)
        return done
    remembering.note(store, snapshot)
    if made.removals:
        log.info("executing gc of orphaned blobs for %s", name)
    removed = gone(Remover(store, snapshot, made, go_on, rest).run(), made, told)
    if removed:
        blobs = sum(removal.kind is Kind.BLOB for removal in removed)
        log.info("garbage collected blobs", extra={"repository": name, "count": blobs})
        log.info("gc successfully completed for %s", name)
    if made.is_whole and any(removal.digest is not None for removal in removed):
        statistics.forget(store.storage, name, _kept_digests(made) | _kept_tags(made))
    return Cleaned(made, removed)


def gone(removals: Iterable[Removal], made: Plan, told: Callable[[Cleaned], None]) -> tuple[Removal, ...]:
    """Return what is removed by a plan; `told` is as `clean` has it."""
    removed: list[Removal] = []
    try:
        # If that raises, what came before is in the list.
        removed += removals
    finally:
        told(Cleaned(made, tuple(removed)))
    return tuple(removed)


def _kept_digests(made: Plan) -> set[str]:
    return {str(digests.from_filename(filename)) for filename in made.kept}


def _kept_tags(made: Plan) -> set[str]:
    return {decision.tag for decision in made.decisions if decision.kept}


def explain(made: Plan, dry_run: bool) -> None:
    """Log what can't be read, and each decision about a tag that a policy made."""
    for problem in made.problems:
        log.warning("%s: %s", made.name, problem)
    for one in made.decisions:
        if one.by_policy:
            fields = {
                "dry-run": dry_run,
                "repository": made.name,
                "tag": one.tag,
                "digest": str(one.digest),
                "lastPullTimestamp": one.pulled,
                "pushTimestamp": one.pushed,
                "decision": "keep" if one.kept else "delete",
                "reason": one.reason,
            }
            log.info("applied policy", extra=fields)
