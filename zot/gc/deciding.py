"""Which tags are kept, and by which rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from zot.gc.snapshot import Node, Snapshot, Tag
from zot.gc.wording import duration, entry_place, moment, policy_place, rank
from zot.oci.digest import Digest
from zot.oci.reference import subject_of_tag
from zot.registry.retention import NO_POLICY, Keep, Policy

# Statistics may be so far ahead of this clock, in seconds, as the clocks of several servers differ.
AHEAD = 300.0
NEVER = float("inf")


class Decision(NamedTuple):
    """What becomes of a tag, the rule that decided, and its place in the configuration, if it has one.

    `until` is when a rule of time stops to hold, if one held.
    """

    tag: str
    digest: Digest
    kept: bool
    rule: str
    pushed: float
    pulled: float
    until: float = NEVER
    by_policy: bool = True
    place: str = ""

    @property
    def reason(self) -> str:
        """The rule with its place: `policies[0] (prod/**), keepTags[1] (^v): kept by its name`."""
        return f"{self.place}: {self.rule}" if self.place else self.rule


class Verdict(NamedTuple):
    """Whether something is kept, by which rule, and until when."""

    kept: bool
    rule: str
    until: float = NEVER


class _Item(NamedTuple):
    name: str
    pushed: float
    pulled: float


class _Ranks(NamedTuple):
    """The place of each item among those pushed, and those pulled, last."""

    pushed: dict[str, int]
    pulled: dict[str, int]


class _Condition(NamedTuple):
    """A condition of an entry as its key has it, what was found of an item, and until when that is enough, if it is."""

    said: str
    found: str
    until: float | None

    def __str__(self) -> str:
        return f"{self.said} ({self.found})"


def decide(policy: Policy, snapshot: Snapshot, now: float, suspended: str = "") -> tuple[Decision, ...]:
    """Decide on every tag, in the order of their names.

    With `suspended`, a reason, no tag goes; nor does one if statistics are in the future. The first entry of `keepTags`
    that a tag matches decides alone.
    """
    why = suspended or snapshot.doubt or _future(snapshot.tags, now)
    groups: dict[int, list[_Item]] = {}
    found: dict[str, tuple[str, Verdict]] = {}
    for name, tag in snapshot.tags.items():
        number = next((number for number, keep in enumerate(policy.keep_tags) if keep.is_about(name)), None)
        by_name = _decided_by_name(policy, name, number)
        if by_name is not None:
            found[name] = by_name
        elif number is not None:
            groups.setdefault(number, []).append(_Item(name, tag.pushed, tag.pulled))
    for number, items in groups.items():
        keep = policy.keep_tags[number]
        for name, verdict in judge(keep, items, now, snapshot.counted_since).items():
            found[name] = entry_place("keepTags", number, keep.patterns, name), verdict
    whole = policy_place(policy.position, policy.repositories, snapshot.name) if policy is not NO_POLICY else ""
    decisions = []
    for name, tag in sorted(snapshot.tags.items()):
        entry, (kept, rule, until) = found[name]
        place = ", ".join(filter(None, (whole, entry)))
        if why and not kept:
            kept, rule, place = True, why, ""
        by_policy = bool(policy.keep_tags)
        decisions.append(Decision(name, tag.digest, kept, rule, tag.pushed, tag.pulled, until, by_policy, place))
    return tuple(decisions)


def kept_untagged(keep: Keep, untagged: Mapping[Digest, Node], now: float, counted_since: float) -> dict[Digest, float]:
    """Return which of these manifests without a tag are kept, and until when."""
    known = {str(digest): digest for digest in untagged}
    items = [_Item(str(digest), node.pushed, node.pulled) for digest, node in untagged.items()]
    return {known[name]: one.until for name, one in judge(keep, items, now, counted_since).items() if one.kept}


def judge(keep: Keep, items: list[_Item], now: float, counted_since: float) -> dict[str, Verdict]:
    """Say of each whether it is kept, by which rule, and until when: it is as soon as any rule holds."""
    ranks = _Ranks(
        _ranked(items, lambda item: item.pushed),
        _ranked([item for item in items if item.pulled > 0], lambda item: item.pulled),
    )
    return {item.name: _judge(keep, item, now, counted_since, ranks) for item in items}


def _judge(keep: Keep, item: _Item, now: float, counted_since: float, ranks: _Ranks) -> Verdict:
    if not keep.has_rules:
        return Verdict(True, "kept by its name")
    if item.pushed <= 0:
        return Verdict(True, "kept, as nobody knows when it was pushed")
    conditions = [*_times(keep, item, now, counted_since), *_counts(keep, item, ranks)]
    holding = [(one, one.until) for one in conditions if one.until is not None]
    if not holding:
        return Verdict(False, f"not kept by {', '.join(map(str, conditions))}")
    return Verdict(True, f"kept by {holding[0][0]}", max(end for _, end in holding))


def _times(keep: Keep, item: _Item, now: float, counted_since: float) -> Iterator[_Condition]:
    """Yield the conditions of an entry that are about times."""
    pushed = f"pushed {moment(item.pushed)}"
    if (within := keep.pulled_within) is not None:
        said = f"pulledWithin: {duration(within)}"
        last = max(item.pulled, item.pushed)
        found = f"pulled {moment(item.pulled)}" if item.pulled >= item.pushed else pushed
        found = found if item.pulled > 0 else f"never pulled, {pushed}"
        if last > now - within:
            yield _Condition(said, found, last + within)
        # Of what was here before pulls were counted nobody knows whether it was pulled.
        elif item.pushed < counted_since and counted_since > now - within:
            yield _Condition(said, f"pulls are counted since {moment(counted_since)} only", counted_since + within)
        else:
            yield _Condition(said, found, None)
    if (within := keep.pushed_within) is not None:
        ends = item.pushed + within
        yield _Condition(f"pushedWithin: {duration(within)}", pushed, ends if ends > now else None)


def _counts(keep: Keep, item: _Item, ranks: _Ranks) -> Iterator[_Condition]:
    """Yield the conditions of an entry that are about ranks."""
    for key, count, ranked in (
        ("mostRecentlyPushedCount", keep.most_recently_pushed, ranks.pushed),
        ("mostRecentlyPulledCount", keep.most_recently_pulled, ranks.pulled),
    ):
        if count is not None:
            place = ranked.get(item.name)
            found = "never pulled" if place is None else rank(place, len(ranked))
            yield _Condition(f"{key}: {count}", found, NEVER if place is not None and place < count else None)


def _ranked(items: list[_Item], when: Callable[[_Item], float]) -> dict[str, int]:
    ranked = sorted(items, key=lambda item: (-when(item), item.name))
    return {item.name: place for place, item in enumerate(ranked)}


def _decided_by_name(policy: Policy, name: str, entry: int | None) -> tuple[str, Verdict] | None:
    """Say what becomes of a tag, and where that stands, if no time and no rank has to be asked.

    `entry` is the number of the first entry of `keepTags` that is about it.
    """
    for number, rule in enumerate(policy.immutable):
        if rule.is_about(name):
            return entry_place("immutable", number, rule.patterns, name), Verdict(True, "it is immutable")
    if not policy.keep_tags:
        said = "no policy is for this repository" if policy is NO_POLICY else "there is no keepTags"
        return "", Verdict(True, f"{said}, so all tags are kept")
    if subject_of_tag(name) is not None:
        return "", Verdict(True, "it goes with the image that it names")
    if entry is None:
        return "", Verdict(False, "no entry of keepTags matches its name")
    keep = policy.keep_tags[entry]
    if keep.has_rules:
        return None
    return entry_place("keepTags", entry, keep.patterns, name), Verdict(True, "kept by its name")


def _future(tags: Mapping[str, Tag], now: float) -> str:
    for name, tag in sorted(tags.items()):
        if max(tag.pushed, tag.pulled) > now + AHEAD:
            return f"suspended, as the statistics of {name} are in the future"
    return ""
