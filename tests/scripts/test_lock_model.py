"""The model of the S3 driver's lock and sharing."""

from __future__ import annotations

import pytest

from scripts import lock_model, sharing_model


@pytest.mark.parametrize("kinds", [("push", "push", "delete"), ("push", "delete", "delete")])
def test_the_lock_holds_whatever_happens(kinds: tuple[str, ...]) -> None:
    """In no interleaving, death and pause included, does a tag dangle; and whoever lives comes to an end."""
    assert lock_model.check_lock(kinds)


def test_the_sharing_holds_whatever_happens() -> None:
    """In no interleaving does a key point to bytes that are gone."""
    assert sharing_model.check()


def test_the_model_finds_what_is_wrong() -> None:
    """Looking before putting, going on after lapsing, and taking no lock are found out."""
    assert lock_model.check_wrong()
