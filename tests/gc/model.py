"""What goes, said as plainly as can be: a model that shares no code with `zot.gc`."""

import re
from typing import Any

World = dict[str, Any]
SIGNATURE = re.compile(r"^sha256-([0-9a-f]{64})(\.sig|\.att|\.sbom)?$")


def survivors(world: World, policy: dict[str, Any], now: float) -> tuple[set[str], set[str], set[str]]:
    """Return the tags, the manifests and the blobs that stay."""
    manifests, tags = (
        world["manifests"],
        {t: one for t, one in world["tags"].items() if keeps_tag(world, policy, t, now)},
    )
    while True:
        pointed = {one["digest"] for one in tags.values()}
        children = {child for one in manifests.values() for child in one["children"]}
        loose = {d for d in manifests if d not in pointed | children and not manifests[d]["subject"]}
        gone = set()
        for digest, one in manifests.items():
            names = [tag for tag in tags if tags[tag]["digest"] == digest]
            if digest in children or one["cared"] + policy["delay"] > now or any(immutable(policy, t) for t in names):
                continue
            if policy["deleteReferrers"]:
                said = [SIGNATURE.match(tag) for tag in names]
                lost = [match is not None and f"sha256:{match.group(1)}" not in manifests for match in said]
                if (one["subject"] and one["subject"] not in manifests) or (not one["subject"] and lost and all(lost)):
                    gone.add(digest)
            if digest in loose and policy["deleteUntagged"]:
                keep, group = policy["keepUntagged"], {d: manifests[d] for d in loose}
                if keep is None or not meets(keep, digest, group, now):
                    gone.add(digest)
        if not gone:
            break
        manifests = {d: one for d, one in manifests.items() if d not in gone}
        tags = {tag: one for tag, one in tags.items() if one["digest"] not in gone}
    named = set(manifests) | {d for one in manifests.values() for d in [*one["children"], *one["blobs"]]}
    blobs = {d for d, cared in world["blobs"].items() if d in named or cared + policy["gcDelay"] > now}
    return set(tags), set(manifests), blobs


def immutable(policy: dict[str, Any], tag: str) -> bool:
    return any(re.search(one, tag) for one in policy["immutable"])


def keeps_tag(world: World, policy: dict[str, Any], tag: str, now: float) -> bool:
    future = any(max(one["pushed"], one["pulled"]) > now + 300 for one in world["tags"].values())
    if not policy["keepTags"] or immutable(policy, tag) or SIGNATURE.match(tag) or future:
        return True
    first = {}
    for name in world["tags"]:
        entries = [n for n, one in enumerate(policy["keepTags"]) if any(re.search(p, name) for p in one["patterns"])]
        first[name] = entries[0] if entries and not immutable(policy, name) and not SIGNATURE.match(name) else None
    group = {name: one for name, one in world["tags"].items() if first[name] == first[tag]}
    return first[tag] is not None and meets(policy["keepTags"][first[tag]], tag, group, now)


def meets(rule: dict[str, Any], name: str, group: dict[str, Any], now: float) -> bool:
    if len(rule.keys() - {"patterns"}) == 0 or group[name]["pushed"] <= 0:
        return True
    one, better = group[name], {"pushed": 0, "pulled": 0}
    for kind in better:
        better[kind] = sum((-other[kind], at) < (-one[kind], name) for at, other in group.items())
    return bool(
        max(one["pushed"], one["pulled"]) > now - rule.get("pulledWithin", 0)
        or one["pushed"] > now - rule.get("pushedWithin", 0)
        or better["pushed"] < rule.get("mostRecentlyPushedCount", 0)
        or (one["pulled"] > 0 and better["pulled"] < rule.get("mostRecentlyPulledCount", 0))
    )
