"""What deleting tags would free in the end, when the delays have passed."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from zot.gc.deciding import Decision
from zot.gc.planning import Kind, Plan, plan
from zot.gc.snapshot import Snapshot
from zot.oci.digest import Digest
from zot.registry.retention import Retention


class Estimate(NamedTuple):
    """Bytes that go with each tag, whatever it shares with others that go too, and with all of them together."""

    by_tag: dict[str, int]
    total: int


def estimate(snapshot: Snapshot, rules: Retention, made: Plan, now: float) -> Estimate:
    """Say what the tags that a plan deletes would free."""
    going = [decision for decision in made.decisions if not decision.kept]
    if not going:
        return Estimate({}, 0)
    at_last = plan(snapshot, replace(rules, gc_delay=float("-inf"), delay=float("-inf")), now)
    sizes = {one.digest: one.size for one in at_last.removals if one.kind is Kind.BLOB and one.digest is not None}
    reached = {decision.tag: _reached(snapshot, decision) for decision in going}
    by_tag = {tag: sum(sizes.get(digest, 0) for digest in digests) for tag, digests in reached.items()}
    return Estimate(by_tag, sum(sizes.get(digest, 0) for digest in frozenset[Digest]().union(*reached.values())))


def _reached(snapshot: Snapshot, decision: Decision) -> frozenset[Digest]:
    """Return all that a tag leads to, by whatever way."""
    found: set[Digest] = set()
    waiting = [decision.digest]
    while waiting:
        digest = waiting.pop()
        if digest in found:
            continue
        found.add(digest)
        node = snapshot.manifests.get(digest)
        if node is not None:
            waiting += [*node.children, *node.blobs]
    return frozenset(found)
