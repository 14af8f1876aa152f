"""Who somebody is, from a provider's claims, and what is kept of it."""

from __future__ import annotations

from typing import Any

import pytest

from zot.auth.accounts import Account
from zot.auth.identity import ClaimNames, Identity, identity
from zot.auth.people import BELIEVED_SECONDS, People
from zot.errors import Unauthorized
from zot.storage.memory import Memory

FULL: dict[str, Any] = {"sub": "1", "email": "a@example.org", "preferred_username": "alice", "name": "Alice A"}


@pytest.mark.parametrize(
    ("username", "expected"),
    [
        ("email", "a@example.org"),
        ("preferred_username", "alice"),
        ("sub", "1"),
        ("name", "Alice A"),
        ("other", "a@example.org"),
    ],
)
def test_the_name_is_the_claim_that_was_asked_for(username: str, expected: str) -> None:
    """Any claim with a text may be the name; where it is missing the email address is."""
    assert identity(ClaimNames(username), FULL).name == expected


@pytest.mark.parametrize("email", [None, "", 3, ["a@example.org"], " a", "a\nb", "x" * 300])
def test_without_a_name_nobody_is_let_in(email: object) -> None:
    """No address, an odd one and none that is a text are refused."""
    with pytest.raises(Unauthorized):
        identity(ClaimNames("other"), {"email": email, "sub": "1"})


def test_an_address_that_is_not_verified_is_nobodys() -> None:
    """Whoever enters somebody else's address at a provider does not become them; other claims still name them."""
    claims = FULL | {"email_verified": False}
    with pytest.raises(Unauthorized, match="not verified"):
        identity(ClaimNames(), claims)
    assert identity(ClaimNames("sub"), claims).name == "1"


def test_groups_are_those_of_all_sources() -> None:
    """A list or one text, of the token and of what is said beside it; what is no text is left out."""
    found = identity(ClaimNames(), FULL | {"groups": ["a", "b", 3, None]}, {"groups": "c", "email": "b@example.org"})
    assert found == Identity("b@example.org", frozenset("abc"))
    assert identity(ClaimNames(groups="roles"), FULL | {"roles": ["x"], "groups": ["y"]}).groups == {"x"}


def test_cve_2025_23208_groups_are_replaced() -> None:
    """A login with fewer groups takes the others away, from what sessions and keys see too."""
    people = People(Memory(), "people", "oidc")
    people.note(Identity("alice", frozenset({"g1", "g2"})))
    people.note(Identity("alice", frozenset({"g1"})))
    assert people.account("alice") == Account("alice", frozenset({"g1"}))


def test_who_does_not_come_back_is_forgotten() -> None:
    """Thirty days after the last login nobody vouches for a user any more; another provider's users never count."""
    now = [0.0]
    storage = Memory()
    people = People(storage, "people", "oidc", clock=lambda: now[0])
    people.note(Identity("alice"))
    now[0] = BELIEVED_SECONDS
    assert people.account("alice") == Account("alice")
    assert People(storage, "people", "gitlab").account("alice") is None
    assert people.account("eve") is None
    now[0] += 1
    assert people.account("alice") is None
