"""What a proof is good for beside what its user may do, and where a client is sent that may not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from zot.auth.access import AccessControl, MetricsRule
from zot.auth.actions import GRANTED, Action
from zot.auth.authority import Authority
from zot.auth.policy import OpenPolicy
from zot.auth.principal import Principal, Scope, Via
from zot.oci.globs import compile_glob

EVERYTHING = (Scope(compile_glob("**"), frozenset(GRANTED.values())),)
CLOSED = OpenPolicy(to_anonymous=False)
PEOPLE = {
    "nobody": Principal(),
    "user": Principal("alice", via=Via.PASSWORD),
    "session": Principal("alice", via=Via.SESSION),
    "key": Principal("alice", via=Via.KEY),
    "narrowed key": Principal("alice", via=Via.KEY, within=EVERYTHING),
    "token": Principal("alice", via=Via.TOKEN, within=EVERYTHING),
    "token without a name": Principal(via=Via.TOKEN, within=EVERYTHING),
}


def challenge(_action: Action, _repository: str | None, error: str) -> Mapping[str, str]:
    """Ask for a login."""
    return {"WWW-Authenticate": f"Bearer {error}"}


@pytest.mark.parametrize(
    ("policy", "those"),
    [
        (CLOSED, {"user", "session", "key"}),
        (AccessControl([], metrics=MetricsRule(frozenset({"alice"}))), {"user", "session", "key"}),
        (AccessControl([], metrics=MetricsRule(anonymous=True)), {"nobody"}),
        (AccessControl([]), set()),
        (OpenPolicy(), {"nobody", "user", "session", "key"}),
    ],
)
def test_who_sees_the_metrics(policy: OpenPolicy | AccessControl, those: set[str]) -> None:
    """Nobody without a name unless everybody does, no token, and no key that is narrowed, be it to everything."""
    authority = Authority(policy, challenge=challenge)
    assert {who for who, one in PEOPLE.items() if authority.permits(one, Action.METRICS, None)} == those


@pytest.mark.parametrize(
    ("who", "expected"),
    [("nobody", "Bearer "), ("token without a name", "Bearer "), ("token", None), ("narrowed key", None)],
)
def test_nobody_is_sent_for_a_token_that_shows_metrics(who: str, expected: str | None) -> None:
    """There is no such token: the nameless are asked to log in, and the others are told that they may not."""
    authority = Authority(AccessControl([], metrics=MetricsRule(frozenset({"alice"}))), challenge=challenge)
    found = authority.challenge_for(PEOPLE[who], Action.METRICS, None)
    assert (None if found is None else found["WWW-Authenticate"]) == expected


def test_a_token_that_is_too_narrow_is_sent_for_a_wider_one() -> None:
    """For a repository there is such a token, and the client is told so."""
    narrow = Principal("alice", via=Via.TOKEN, within=())
    found = Authority(CLOSED, challenge=challenge).challenge_for(narrow, Action.READ, "a")
    assert found == {"WWW-Authenticate": "Bearer insufficient_scope"}
