"""Access control: the user's example, comment by comment, and what it leaves open."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.auth.policies import SEED, access_control
from zot.auth import opening
from zot.auth.access import AccessControl
from zot.auth.actions import GRANTED, NEEDS, Action, effective
from zot.auth.authority import Authority
from zot.auth.policy import OpenPolicy
from zot.auth.principal import ANONYMOUS, Principal, Scope, Via
from zot.config.access import AccessControl as AccessControlSettings
from zot.oci.globs import compile_glob

COMBINATIONS = [one for length in range(6) for one in itertools.combinations(GRANTED, length)]


@pytest.fixture(scope="module")
def seed() -> AccessControl:
    """The policy of the example."""
    return access_control(SEED)


def may(policy: AccessControl, name: str, repository: str, groups: frozenset[str] = frozenset()) -> str:
    """Return what somebody may do, by the first letters: r, c, u, d; `!` stands for the detection of collisions."""
    letters = dict(zip(GRANTED.values(), "rcud!", strict=True))
    principal = Principal(name, groups)
    return "".join(letter for action, letter in letters.items() if policy.allows(principal, action, repository))


def test_all_repositories(seed: AccessControl) -> None:
    """`**` "matches all repos (which are not matched by any other per-repository policy)"; charlie has his policy."""
    for repository in ("a", "a/b/c", "repos2", "repos2/other", "infra", "infra/a/b"):
        assert may(seed, "charlie", repository) == "rcu", repository


def test_default_policy(seed: AccessControl) -> None:
    """It is for "authenticated users, other than" charlie, and lets them "detect manifests collision"."""
    assert may(seed, "somebody", "a/b") == "rcd!"
    assert "d" not in may(seed, "charlie", "a/b")


def test_anonymous_policy(seed: AccessControl) -> None:
    """It is "applied for unauthenticated users => so they can read repositories"; only where its pattern decides."""
    assert may(seed, "", "a/b") == "r"
    assert may(seed, "", "tmp/a") == ""
    assert may(seed, "", "infra/a") == ""


def test_tmp(seed: AccessControl) -> None:
    """`tmp/**` "matches all repos under tmp/ recursively", where "all users have read/create/update"."""
    for repository in ("tmp/a", "tmp/infra/repo"):
        for name in ("somebody", "charlie", "mallory"):
            assert may(seed, name, repository) == "rcu"


def test_infra(seed: AccessControl) -> None:
    """`infra/*` "matches all repos directly under infra/ (not recursively)": for alice, bob, mallory and the others."""
    assert [may(seed, name, "infra/a") for name in ("alice", "bob", "mallory", "eve")] == ["rcud", "rcud", "rc", "r"]
    assert may(seed, "alice", "infra/a/b") == may(seed, "somebody", "a")


def test_one_repository(seed: AccessControl) -> None:
    """`repos2/repo` "matches only repos2/repo repository", and goes before `**` "because it's longer"; groups count."""
    assert [may(seed, name, "repos2/repo") for name in ("bob", "jane", "mallory", "alice")] == ["rc", "rc", "rc", "r"]
    assert may(seed, "bob", "repos2/repo2") == "rcd!"


def test_admin_policy(seed: AccessControl) -> None:
    """It "overrides per-repo policy": the admin may do all that it lists everywhere; what it does not list stays."""
    for repository in ("a", "tmp/a", "infra/a", "infra/a/b", "repos2/repo"):
        assert set("rcud") <= set(may(seed, "admin", repository))
    assert "!" not in may(seed, "admin", "infra/a")
    limited = access_control({**SEED, "adminPolicy": {"users": ["admin"], "actions": ["read", "delete"]}})
    assert may(limited, "admin", "infra/a") == "rd"


def test_no_pattern_matches() -> None:
    """What no pattern matches is for nobody but the admin."""
    policy = access_control({"repositories": {"a/*": {"defaultPolicy": ["read"]}}, "adminPolicy": SEED["adminPolicy"]})
    assert [may(policy, name, "b") for name in ("", "eve", "admin")] == ["", "", "rcud"]


def test_groups_of_the_file_and_others(seed: AccessControl) -> None:
    """A group counts whether it comes with the login or from the file; an anonymous caller has none."""
    policy = access_control(
        {"repositories": {"a": {"policies": [{"groups": ["devs", "group1"], "actions": ["read"]}]}}}
    )
    assert may(policy, "eve", "a", frozenset({"devs"})) == "r"
    assert may(policy, "eve", "a", frozenset({"others"})) == ""
    assert may(seed, "eve", "repos2/repo", frozenset({"group1"})) == "rc"


def test_several_policies_add_up() -> None:
    """Whoever is named by several policies of the pattern that decides may do what any of them says."""
    policies = [{"users": ["a"], "actions": ["read"]}, {"groups": ["g"], "actions": ["create"]}]
    policy = access_control({"repositories": {"**": {"policies": policies, "defaultPolicy": ["read", "delete"]}}})
    assert may(policy, "a", "x", frozenset({"g"})) == "rc"
    assert may(policy, "b", "x", frozenset({"g"})) == ""
    assert may(policy, "c", "x") == "rd"


def test_conditions_that_nobody_evaluates() -> None:
    """A policy with conditions grants nothing to whom it names, not even what others have, and nothing to an admin."""
    condition = [{"expression": "req.tls.enabled", "message": "come by TLS"}]
    policies = [{"users": ["ann"], "actions": ["read"], "conditions": condition}]
    settings = AccessControlSettings.model_validate(
        {
            "repositories": {"**": {"policies": policies, "defaultPolicy": ["read"]}},
            "adminPolicy": {"users": ["root"], "actions": ["read", "create"], "conditions": condition},
        }
    )
    policy = opening.access_control(settings)
    assert may(policy, "ann", "a") == ""
    assert may(policy, "eve", "a") == may(policy, "root", "a") == "r"


@pytest.mark.parametrize("actions", COMBINATIONS)
def test_what_an_action_needs(actions: tuple[str, ...]) -> None:
    """Create, update and delete count only with read, update also with create, and detection only with delete."""
    got = may(access_control({"repositories": {"**": {"defaultPolicy": list(actions)}}}), "eve", "a")
    has = set(actions)
    expected = {
        "r": {"read"},
        "c": {"read", "create"},
        "u": {"read", "create", "update"},
        "d": {"read", "delete"},
        "!": {"read", "delete", "detectManifestCollision"},
    }
    assert got == "".join(letter for letter, needs in expected.items() if needs <= has)


@given(st.frozensets(st.sampled_from(list(GRANTED.values()))))
def test_what_counts_has_what_it_needs(actions: frozenset[Action]) -> None:
    """What is left of a set of actions is a part of it in which every action has its needs, and nothing to add."""
    left = effective(actions)
    assert left <= actions
    assert all(NEEDS.get(action, frozenset()) <= left for action in left)
    assert effective(left) == left


def test_the_registry_itself(seed: AccessControl) -> None:
    """The base and the catalogue are for whoever may do something somewhere, the metrics for those who are named."""
    closed = access_control({"repositories": {"**": {"defaultPolicy": ["read"]}}})
    for action in (Action.PING, Action.LIST):
        assert seed.allows(ANONYMOUS, action, None)
        assert not closed.allows(ANONYMOUS, action, None)
        assert closed.allows(Principal("eve"), action, None)
    assert not seed.allows(ANONYMOUS, Action.METRICS, None)
    assert not seed.allows(Principal("admin"), Action.METRICS, None)
    metrics = access_control({"metrics": {"users": ["prometheus"], "anonymousPolicy": ["read"]}})
    assert metrics.allows(Principal("prometheus"), Action.METRICS, None)
    assert metrics.allows(ANONYMOUS, Action.METRICS, None)
    assert not metrics.allows(Principal("eve"), Action.METRICS, None)


def test_who_reads_everything(seed: AccessControl) -> None:
    """An admin who reads does, and whoever may read under every pattern if `**` is one of them."""
    assert seed.reads_everything(Principal("admin"))
    assert seed.reads_everything(Principal("eve"))
    assert not seed.reads_everything(ANONYMOUS)
    assert not access_control({"repositories": {"a/**": {"defaultPolicy": ["read"]}}}).reads_everything(
        Principal("eve")
    )


@pytest.mark.parametrize(
    ("name", "action", "repository", "pattern", "rule"),
    [
        ("mallory", Action.DELETE, "infra/a", "infra/*", "policies[1]"),
        ("eve", Action.CREATE, "infra/a", "infra/*", "defaultPolicy"),
        ("charlie", Action.DELETE, "x", "**", "policies[0]"),
        ("admin", Action.DELETE, "infra/a", "infra/*", "adminPolicy, which overrides defaultPolicy"),
        ("", Action.READ, "x", "**", "anonymousPolicy"),
        ("eve", Action.METRICS, None, None, "http.accessControl.metrics"),
    ],
)
def test_what_decided(
    seed: AccessControl, name: str, action: Action, repository: str | None, pattern: str | None, rule: str
) -> None:
    """A decision names the pattern and the part of its rules that gave it."""
    decision = seed.decide(Principal(name), action, repository)
    assert (decision.pattern, decision.rule) == (pattern, rule)
    assert decision.allowed == seed.allows(Principal(name), action, repository)


def test_an_admin_where_no_pattern_matches() -> None:
    """There is nothing that the admin's rights override then, and that is said."""
    admin = {"users": ["admin"], "actions": ["read", "delete"]}
    policy = access_control({"repositories": {"a/**": {}}, "adminPolicy": admin})
    decision = policy.decide(Principal("admin"), Action.DELETE, "b")
    assert decision == (True, "adminPolicy; no pattern of accessControl.repositories matches it", None)


def test_scopes_narrow_and_never_widen(seed: AccessControl) -> None:
    """A key with scopes may do what both its scopes and its user's policy allow."""
    scope = Scope(compile_glob("infra/*"), frozenset({Action.READ, Action.CREATE, Action.DELETE}))
    authority = Authority(seed)
    mallory = Principal("mallory", via=Via.KEY, within=(scope,))
    assert authority.permits(mallory, Action.CREATE, "infra/a")
    assert not authority.permits(mallory, Action.DELETE, "infra/a")
    assert not authority.permits(mallory, Action.READ, "a")
    assert authority.decide(mallory, Action.READ, "a").rule == "the API key is not for that"
    assert not authority.permits(Principal("alice", within=()), Action.READ, "infra/a")


def test_without_access_control() -> None:
    """Everybody may do everything, or everybody with a name; the probes are for all."""
    closed = OpenPolicy(to_anonymous=False)
    assert OpenPolicy().allows(ANONYMOUS, Action.DELETE, "a")
    assert closed.allows(Principal("eve"), Action.DELETE, "a")
    assert not closed.allows(ANONYMOUS, Action.READ, "a")
    assert closed.allows(ANONYMOUS, Action.HEALTH, None)
    assert not closed.reads_everything(ANONYMOUS)
    assert closed.decide(ANONYMOUS, Action.READ, "a").rule.startswith("without accessControl everybody who logs in")
