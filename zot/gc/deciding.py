"""Which tags are kept, and by which rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from zot.gc.snapshot import Node, Snapshot, Tag
from zot.oci.digest import Digest
from zot.oci.reference import subject_of_tag
from zot.registry.retention import Keep, Policy

# Statistics may be so far ahead of this clock, in seconds, as the clocks of several servers differ.
AHEAD = 300.0
NEVER = float("inf")


class Decision(NamedTuple):
    """What becomes of a tag, and the rule that decided. `until` is when a rule of time stops to hold, if one held."""

    tag: str
    digest: Digest
    kept: bool
    rule: str
    pushed: float
    pulled: float
    until: float = NEVER
    by_policy: bool = True


class _Item(NamedTuple):
    name: str
    pushed: float
    pulled: float


def decide(policy: Policy, snapshot: Snapshot, now: float, suspended: str = "") -> tuple[Decision, ...]:
    """Decide on every tag, in the order of their names.

    With `suspended`, a reason, no tag goes; nor does one if statistics are in the future. The first entry of `keepTags`
    that a tag matches decides alone.
    """
    why = suspended or snapshot.doubt or _future(snapshot.tags, now)
    groups: dict[Keep, dict[str, Tag]] = {}
    fixed: dict[str, tuple[bool, str]] = {}
    for name, tag in snapshot.tags.items():
        fixed_by = _decided_by_name(policy, name)
        if fixed_by is not None:
            fixed[name] = fixed_by
        else:
            keep = next(keep for keep in policy.keep_tags if keep.is_about(name))
            groups.setdefault(keep, {})[name] = tag
    found = {name: (kept, rule, NEVER) for name, (kept, rule) in fixed.items()}
    for keep, tags in groups.items():
        items = [_Item(name, tag.pushed, tag.pulled) for name, tag in tags.items()]
        found |= judge(keep, items, now, snapshot.counted_since)
    return tuple(
        Decision(
            name,
            tag.digest,
            kept or bool(why),
            why if why and not kept else rule,
            tag.pushed,
            tag.pulled,
            until,
            bool(policy.keep_tags),
        )
        for name, tag in sorted(snapshot.tags.items())
        for kept, rule, until in [found[name]]
    )


def kept_untagged(keep: Keep, untagged: Mapping[Digest, Node], now: float, counted_since: float) -> dict[Digest, float]:
    """Return which of these manifests without a tag are kept, and until when."""
    known = {str(digest): digest for digest in untagged}
    items = [_Item(str(digest), node.pushed, node.pulled) for digest, node in untagged.items()]
    return {known[name]: until for name, (kept, _, until) in judge(keep, items, now, counted_since).items() if kept}


def judge(keep: Keep, items: list[_Item], now: float, counted_since: float) -> dict[str, tuple[bool, str, float]]:
    """Say of each whether it is kept, by which rule, and until when: it is as soon as any rule holds."""
    newest = _top(items, keep.most_recently_pushed, lambda item: item.pushed)
    latest = _top([item for item in items if item.pulled > 0], keep.most_recently_pulled, lambda item: item.pulled)
    verdicts = {}
    for item in items:
        rules = list(_rules_that_hold(keep, item, now, counted_since, newest, latest))
        until = max((end for _, end in rules), default=NEVER)
        rule = rules[0][0] if rules else "didn't meet any tag retention rule"
        verdicts[item.name] = (bool(rules), rule, until)
    return verdicts


def _rules_that_hold(
    keep: Keep, item: _Item, now: float, counted_since: float, newest: set[str], latest: set[str]
) -> Iterator[tuple[str, float]]:
    """Yield each rule that keeps an item and when it stops to."""
    if not keep.has_rules:
        yield "retained by patterns", NEVER
    if item.pushed <= 0:
        yield "its statistics are not known", NEVER
    if keep.pulled_within is not None:
        last = max(item.pulled, item.pushed)
        if last > now - keep.pulled_within:
            yield f"retained by pulledWithin {_duration(keep.pulled_within)}", last + keep.pulled_within
        # Of what was here before pulls were counted nobody knows whether it was pulled.
        elif item.pushed < counted_since and counted_since > now - keep.pulled_within:
            rule = f"pulls are counted for less than pulledWithin {_duration(keep.pulled_within)}"
            yield rule, counted_since + keep.pulled_within
    if keep.pushed_within is not None and item.pushed > now - keep.pushed_within:
        yield f"retained by pushedWithin {_duration(keep.pushed_within)}", item.pushed + keep.pushed_within
    if item.name in newest:
        yield f"retained by mostRecentlyPushedCount {keep.most_recently_pushed}", NEVER
    if item.name in latest:
        yield f"retained by mostRecentlyPulledCount {keep.most_recently_pulled}", NEVER


def _top(items: list[_Item], count: int | None, when: Callable[[_Item], float]) -> set[str]:
    ranked = sorted(items, key=lambda item: (-when(item), item.name))
    return {item.name for item in ranked[: count or 0]}


def _decided_by_name(policy: Policy, name: str) -> tuple[bool, str] | None:
    """Say what becomes of a tag if no time and no rank has to be asked."""
    if policy.forbids_moving(name):
        return True, "it is immutable"
    if not policy.keep_tags:
        return True, "no policy deletes tags here"
    if subject_of_tag(name) is not None:
        return True, "it goes with the image that it names"
    keep = next((keep for keep in policy.keep_tags if keep.is_about(name)), None)
    if keep is None:
        return False, "didn't meet any tag 'patterns' rules"
    return None if keep.has_rules else (True, "retained by patterns")


def _future(tags: Mapping[str, Tag], now: float) -> str:
    for name, tag in sorted(tags.items()):
        if max(tag.pushed, tag.pulled) > now + AHEAD:
            return f"suspended, as the statistics of {name} are in the future"
    return ""


def _duration(seconds: float) -> str:
    hours, rest = divmod(seconds, 3600)
    return f"{hours:.0f}h" if not rest else f"{seconds:g}s"
