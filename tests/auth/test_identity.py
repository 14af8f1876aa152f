"""Who somebody is, from a provider's claims, and what is kept of it."""

from __future__ import annotations

from typing import Any

import pytest

from zot.auth.accounts import Account
from zot.auth.identity import ClaimNames, Identity, identity
from zot.auth.people import BELIEVED_SECONDS, People
from zot.errors import Unauthorized
from zot.storage.memory import Memory

VERIFIED: dict[str, Any] = {"email": "a@example.org", "email_verified": True}
FULL: dict[str, Any] = {"sub": "1", "preferred_username": "alice", "name": "Alice A", **VERIFIED}


@pytest.mark.parametrize(
    ("username", "expected"),
    [
        ("email", "a@example.org"),
        ("preferred_username", "alice"),
        ("sub", "1"),
        ("name", "Alice A"),
    ],
)
def test_the_name_is_the_claim_that_was_asked_for(username: str, expected: str) -> None:
    """Any claim with a text may be the name."""
    assert identity(ClaimNames(username), "s", FULL) == Identity(expected, frozenset(), "s")


def test_no_other_claim_is_taken_for_the_name() -> None:
    """Where the claim that was asked for is missing, the email address is not taken instead."""
    with pytest.raises(Unauthorized, match="says no other"):
        identity(ClaimNames("other"), "", FULL)


@pytest.mark.parametrize("email", [None, "", 3, ["a@example.org"], " a", "a\nb", "x" * 300])
def test_without_a_name_nobody_is_let_in(email: object) -> None:
    """No address, an odd one and none that is a text are refused."""
    with pytest.raises(Unauthorized):
        identity(ClaimNames(), "", {**VERIFIED, "email": email, "sub": "1"})


@pytest.mark.parametrize("said", [{}, {"email_verified": None}, {"email_verified": False}, {"email_verified": "no"}])
def test_an_address_that_is_not_verified_is_nobodys(said: dict[str, Any]) -> None:
    """Whoever enters somebody else's address at a provider does not become them; other claims still name them."""
    claims = {"sub": "1", "email": "a@example.org", **said}
    with pytest.raises(Unauthorized, match="does not say that the email address is verified"):
        identity(ClaimNames(), "", claims)
    assert identity(ClaimNames("sub"), "", claims).name == "1"
    assert identity(ClaimNames(), "", claims | {"email_verified": "true"}).name == "a@example.org"


def test_the_word_that_an_address_is_verified_is_for_that_address() -> None:
    """An address of one source is not verified by what another says, of another address; the verified one counts."""
    mine, not_mine = VERIFIED, {"email": "b@example.org"}
    for sources in ((mine, not_mine), (not_mine, mine)):
        assert identity(ClaimNames(), "", *sources).name == "a@example.org"
    with pytest.raises(Unauthorized, match="verified"):
        identity(ClaimNames(), "", not_mine, {"email_verified": True})


def test_groups_are_those_of_all_sources() -> None:
    """A list or one text, of the token and of what is said beside it; what is no text is left out."""
    later = {**VERIFIED, "email": "b@example.org", "groups": "c"}
    found = identity(ClaimNames(), "", FULL | {"groups": ["a", "b", 3, None]}, later)
    assert found == Identity("b@example.org", frozenset("abc"))
    assert identity(ClaimNames(groups="roles"), "", FULL | {"roles": ["x"], "groups": ["y"]}).groups == {"x"}


def test_cve_2025_23208_groups_are_replaced() -> None:
    """A login with fewer groups takes the others away, from what sessions and keys see too."""
    people = People(Memory(), "people", "oidc", "https://a")
    people.note(Identity("alice", frozenset({"g1", "g2"})))
    people.note(Identity("alice", frozenset({"g1"})))
    assert people.account("alice") == Account("alice", frozenset({"g1"}))


def test_a_name_that_was_given_to_somebody_else() -> None:
    """Whoever logs in later with the same name, as another user of the provider, has another stamp."""
    people = People(Memory(), "people", "oidc", "https://a")
    found = []
    for stamp in ("one", "one", "two"):
        people.note(Identity("alice", frozenset(), stamp))
        found.append(people.account("alice"))
    assert found == [Account("alice", stamp="one")] * 2 + [Account("alice", stamp="two")]


def test_who_does_not_come_back_is_forgotten() -> None:
    """Thirty days after the last login nobody vouches for a user any more; another provider's users never count."""
    now = [0.0]
    storage = Memory()
    people = People(storage, "people", "oidc", "https://a", clock=lambda: now[0])
    people.note(Identity("alice"))
    now[0] = BELIEVED_SECONDS
    assert people.account("alice") == Account("alice")
    assert People(storage, "people", "gitlab", "https://a").account("alice") is None
    assert People(storage, "people", "oidc", "https://b").account("alice") is None
    assert people.account("eve") is None
    now[0] += 1
    assert people.account("alice") is None
