"""Which tags are kept, and why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.gc.worlds import HOUR, START
from zot.config import load
from zot.gc.deciding import Decision, decide
from zot.gc.snapshot import Snapshot, Tag
from zot.gc.wording import duration, moment, rank
from zot.oci.digest import Digest
from zot.oci.globs import compile_glob
from zot.oci.patterns import Pattern
from zot.registry.retention import Immutable, Keep, Policy, Retention
from zot.registry.rules import retention_of

NOW = START
DAY = 24 * HOUR
NEW = Tag(Digest("sha256", "1" * 64), NOW - HOUR)
OLD = Tag(Digest("sha256", "2" * 64), NOW - 1000 * DAY)
PULLED = OLD._replace(pulled=NOW - HOUR)
# The example of zot's manual, as it stands there, comments and all.
EXAMPLE = """
{
  "storage": {
    "rootDirectory": "%s",
    "retention": {
      "dryRun": false, // if enabled will just log the retain action without actually removing
      "delay": "24h", // is applied on untagged and referrers, will remove them only if they are older than 24h
      "policies": [ // a repo will match a policy if it matches any repoNames[] glob pattern
        {
          "repoNames": ["infra/*", "prod/*"], // patterns to match
          "deleteReferrers": false, // delete manifests with missing Subject (default is false)
          "deleteUntagged": true, // delete untagged manifests (default is true)
          "KeepTags": [{ // same as repo, the first pattern(this time regex) matched is the policy applied
            "patterns": ["v2.*", ".*-prod"]
          },
          {
            "patterns": ["v3.*", ".*-prod"],
            "pulledWithin": "168h" // will keep v3.* and .*-prod tags that are pulled within last 168h
          }]
        }, // all tags under infra/* and prod/* will be removed! because they don't match any retention policy
        {
          "repoNames": ["tmp/**"], // matches recursively all repos under tmp/
          "deleteReferrers": true,
          "deleteUntagged": true,
          "KeepTags": [{ // will retain all tags starting with v1 and pulled within the last 168h
            "patterns": ["v1.*"], // all the other tags will be removed
            "pulledWithin": "168h",
            "pushedWithin": "168h"
          }]
        },
        {
          "repoNames": ["**"],
          "deleteReferrers": true,
          "deleteUntagged": true,
          "keepTags": [{
            "mostRecentlyPushedCount": 10, // top 10 recently pushed tags
            "mostRecentlyPulledCount": 10, // top 10 recently pulled tags
            "pulledWithin": "720h",
            "pushedWithin": "720h"
          }]
        }
      ]
    }
  }
}
"""


def snapshot(name: str, tags: dict[str, Tag], counted_since: float = 0.0) -> Snapshot:
    """Return a repository that has these tags."""
    return Snapshot(name, tags, {}, frozenset(), lambda *_: iter(()), lambda *_: iter(()), counted_since=counted_since)


def kept(rules: Retention, name: str, tags: dict[str, Tag]) -> set[str]:
    """Return the tags that stay."""
    return {one.tag for one in decide(rules.of(name), snapshot(name, tags), NOW) if one.kept}


def decision(policy: Policy, tag: Tag, counted_since: float = 0.0, name: str = "v1") -> Decision:
    """Return what is decided on a single tag."""
    return decide(policy, snapshot("a", {name: tag}, counted_since), NOW)[0]


@pytest.fixture
def example(tmp_path: Path) -> Retention:
    """The rules of the example."""
    file = tmp_path / "config.json"
    file.write_text(EXAMPLE % tmp_path)
    return retention_of(load(str(file)).storage)


def test_example_delays(example: Retention) -> None:
    """Untagged manifests and referrers are kept for 24 hours, blobs for the default hour; nothing is a dry run."""
    assert (example.delay, example.gc_delay, example.dry_run) == (DAY, HOUR, False)


@pytest.mark.parametrize("name", ["infra/a", "prod/b"])
def test_example_first_policy(example: Retention, name: str) -> None:
    """v2.* and .*-prod stay for ever, v3.* while they are pulled, and all else goes: nothing else matches a pattern."""
    policy = example.of(name)
    assert (policy.delete_referrers, policy.delete_untagged) == (False, True)
    tags = {"v2.0": OLD, "a-prod": OLD, "v3.1": PULLED, "v3.2": OLD, "v3.3": NEW, "latest": NEW, "v1": PULLED}
    # What was pushed within the time could not be pulled for longer: it counts as pulled, as zot has it.
    assert kept(example, name, tags) == {"v2.0", "a-prod", "v3.1", "v3.3"}


@pytest.mark.parametrize("name", ["tmp/a", "tmp/a/b/c", "tmp"])
def test_example_second_policy(example: Retention, name: str) -> None:
    """v1.* stay that were pulled or pushed in the last week, in all repositories below tmp; all others go."""
    policy = example.of(name)
    assert (policy.delete_referrers, policy.delete_untagged) == (True, True)
    tags = {"v1.0": OLD, "v1.1": PULLED, "v1.2": NEW, "v2": NEW}
    assert kept(example, name, tags) == {"v1.1", "v1.2"}


@pytest.mark.parametrize("name", ["a", "infra/a/b", "other/x"])
def test_example_third_policy(example: Retention, name: str) -> None:
    """Everywhere else stay the ten pushed last, the ten pulled last, and what was pushed or pulled in 30 days."""
    many = {f"p{number:02}": OLD._replace(pushed=OLD.pushed + number) for number in range(30)}
    pulled = {f"q{number:02}": OLD._replace(pushed=1, pulled=OLD.pushed + number) for number in range(1, 31)}
    recent = {f"r{number:02}": NEW for number in range(20)}
    assert kept(example, name, many) == {f"p{number:02}" for number in range(20, 30)}
    assert kept(example, name, many | pulled) == {f"{kind}{number:02}" for kind in "p" for number in range(20, 30)} | {
        f"q{number:02}" for number in range(21, 31)
    }
    assert kept(example, name, recent) == set(recent)


def test_no_policy_keeps_all() -> None:
    """A repository that no policy is about keeps its tags."""
    rules = Retention(policies=(Policy((compile_glob("a/*"),), keep_tags=(Keep((Pattern("v"),)),)),))
    assert kept(rules, "b", {"x": OLD}) == {"x"}
    assert kept(rules, "a/b", {"x": OLD}) == set()


def test_no_keep_tags_keeps_all() -> None:
    """An empty keepTags keeps all tags."""
    assert decision(Policy(), OLD).kept


def test_a_last_entry_for_the_rest() -> None:
    """`.*` as the last entry keeps what no other entry is about, and only that."""
    policy = Policy(keep_tags=(Keep((Pattern("^v"),), pushed_within=DAY), Keep((Pattern(".*"),))))
    assert not decision(policy, OLD).kept
    assert decision(policy, OLD, name="other").kept


def test_unknown_statistics_keep_the_tag() -> None:
    """Nobody knows when it was pushed, so it stays."""
    found = decision(Policy(keep_tags=(Keep(pushed_within=DAY),)), OLD._replace(pushed=0.0))
    assert found.kept
    assert "nobody knows when it was pushed" in found.rule


def test_pulls_that_were_not_counted_keep_the_tag() -> None:
    """While pulls are counted for less than `pulledWithin`, what was here before may have been pulled."""
    policy = Policy(keep_tags=(Keep(pulled_within=7 * DAY),))
    found = decision(policy, OLD, counted_since=NOW - DAY)
    assert (found.kept, "pulls are counted since" in found.rule) == (True, True)
    assert decision(policy, OLD, counted_since=NOW - DAY).until == NOW + 6 * DAY
    assert not decision(policy, OLD, counted_since=NOW - 8 * DAY).kept
    assert not decision(policy, OLD._replace(pushed=NOW - 8 * DAY), counted_since=NOW - 9 * DAY).kept


def test_times_in_the_future_suspend() -> None:
    """One tag from the future shows that some clock was wrong: no tag of the repository goes; a small step is none."""
    policy = Policy(keep_tags=(Keep(pushed_within=DAY),))
    for tag, suspended in (
        (NEW._replace(pushed=NOW + HOUR), True),
        (OLD._replace(pulled=NOW + HOUR), True),
        (NEW, False),
    ):
        found = decide(policy, snapshot("a", {"b": OLD, "c": tag}), NOW)
        assert found[0].kept == suspended
    assert "future" in decide(policy, snapshot("a", {"b": OLD, "c": NEW._replace(pushed=NOW + HOUR)}), NOW)[0].rule


def test_a_reason_to_suspend_keeps_all() -> None:
    """While the clock is not trusted no tag goes, and the reason is said."""
    policy = Policy(keep_tags=(Keep((Pattern("x"),)),))
    found = decide(policy, snapshot("a", {"v": OLD}), NOW, "suspended, as I say so")
    assert (found[0].kept, found[0].rule) == (True, "suspended, as I say so")


def test_immutable_tags_are_kept() -> None:
    """Retention leaves an immutable tag, and says why; an exception is no exception to the other rules."""
    policy = Policy(keep_tags=(Keep((Pattern("x"),)),), immutable=(Immutable((Pattern("^v"),), (Pattern("-rc"),)),))
    assert decision(policy, OLD).rule == "it is immutable"
    assert not decision(policy, OLD, name="v1-rc1").kept
    everything = replace(policy, immutable=(Immutable(),))
    assert decision(everything, OLD, name="latest").kept


def test_signatures_go_with_their_image() -> None:
    """A tag that cosign made, or a client that lists referrers itself, is none for patterns to decide on."""
    policy = Policy(keep_tags=(Keep((Pattern("^v"),)),))
    for ending in ("", ".sig", ".att", ".sbom"):
        assert decision(policy, OLD, name=f"sha256-{'a' * 64}{ending}").kept
    assert not decision(policy, OLD, name=f"sha256-{'a' * 64}.other").kept


def test_any_rule_is_enough() -> None:
    """The rules of an entry are joined by or, and the decision names one that holds and how long."""
    keep = Keep(pushed_within=DAY, pulled_within=2 * DAY)
    found = decision(Policy(keep_tags=(keep,)), NEW)
    assert found.kept
    assert found.rule == f"kept by pulledWithin: 48h (never pulled, pushed {moment(NEW.pushed)})"
    assert found.until == NEW.pushed + 2 * DAY


def test_a_reason_names_policy_entry_and_conditions(example: Retention) -> None:
    """Of each tag is said which policy, entry and pattern decide, and what each condition of the entry looked at."""
    tags = {"v2.0": OLD, "a-prod": OLD, "v3.1": PULLED, "v3.2": OLD, "latest": NEW}
    said = {one.tag: one.reason for one in decide(example.of("prod/b"), snapshot("prod/b", tags), NOW)}
    at = "policies[0] (prod/*), keepTags"
    assert said == {
        "v2.0": f"{at}[0] (v2.*): kept by its name",
        "a-prod": f"{at}[0] (.*-prod): kept by its name",
        "v3.1": f"{at}[1] (v3.*): kept by pulledWithin: 168h (pulled {moment(NOW - HOUR)})",
        "v3.2": f"{at}[1] (v3.*): not kept by pulledWithin: 168h (never pulled, pushed {moment(OLD.pushed)})",
        "latest": "policies[0] (prod/*): no entry of keepTags matches its name",
    }
    many = {f"p{number:02}": OLD._replace(pushed=OLD.pushed + number) for number in range(13)}
    last = decide(example.of("c"), snapshot("c", many), NOW)
    pushed = moment(OLD.pushed)
    assert last[0].reason == (
        f"policies[2] (**), keepTags[0] (all tags): not kept by pulledWithin: 720h (never pulled, pushed {pushed}), "
        f"pushedWithin: 720h (pushed {pushed}), mostRecentlyPushedCount: 10 (it is 13th of 13), "
        "mostRecentlyPulledCount: 10 (never pulled)"
    )
    assert last[3].rule == "kept by mostRecentlyPushedCount: 10 (it is 10th of 13)"
    nobody = Retention(policies=example.policies[:1])
    (found,) = decide(nobody.of("other"), snapshot("other", {"v": OLD}), NOW)
    assert found.reason == "no policy is for this repository, so all tags are kept"


def test_words_for_numbers() -> None:
    """Ranks, times and lengths of time are said as a person would, also when a clock was wrong beyond all calendars."""
    assert [rank(number, 200)[6:].split()[0] for number in (0, 1, 2, 3, 10, 11, 12, 20, 111)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "112th"
    ]  # fmt: skip
    assert [duration(one) for one in (604800.0, 5400.0, 90.0, 1.5, 0.0)] == ["168h", "90m", "90s", "1.5s", "0s"]
    assert (moment(0.0), moment(1e30)) == ("1970-01-01T00:00Z", "1e+30 s after 1970")
