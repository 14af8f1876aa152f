"""Histories with unknown outcomes, and the part of a wrong history that is shown."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.history.checker import NEVER, Illegal, Operation, State, apply, first_violation
from scripts.history.shrink import Droppable, deletes, disregarding_finds, looks, shrink, values

KINDS = st.sampled_from(["push", "push", "read", "list", "delete", "remove"])
VALUES = st.sampled_from(["a", "b"])


@st.composite
def histories(draw: st.DrawFn, *, honest: bool, longest: int = 6) -> list[Operation]:
    """Draw a history of operations that overlap, some without an outcome; an honest one was seen by a real register."""
    state: State = None
    found: list[Operation] = []
    for number in range(draw(st.integers(1, longest))):
        kind, value = draw(KINDS), draw(VALUES)
        called, returned = number - draw(st.floats(0, 2)), number + draw(st.floats(0, 2))
        there = state is not None
        hit: bool | None = draw(st.booleans())
        seen: State = value
        if honest and kind == "read":
            seen = state
        elif kind == "read":
            seen = draw(st.none() | VALUES)
        elif honest and kind in ("list", "delete"):
            hit = there
        elif honest and kind == "remove" and state == value:
            hit = True
        operation = Operation(kind, seen, called, returned, hit)
        lost = kind in ("push", "delete", "remove") and draw(st.integers(0, 3)) == 0
        if honest and not (lost and draw(st.booleans())):
            state = apply(operation, state)
        found.append(operation._replace(returned=NEVER, found=None) if lost else operation)
    return found


def by_brute_force(history: list[Operation]) -> bool:
    """Try every order of every choice of what happened that respects who returned before whom was called."""
    sure = [one for one in history if one.returned != NEVER]
    lost = [one for one in history if one.returned == NEVER]
    for chosen in range(2 ** len(lost)):
        happened = sure + [one for place, one in enumerate(lost) if chosen >> place & 1]
        for order in permutations(happened):
            pairs = ((one, other) for place, one in enumerate(order) for other in order[place + 1 :])
            if any(other.returned < one.called for one, other in pairs):
                continue
            with suppress(Illegal):
                state: State = None
                for operation in order:
                    state = apply(operation, state)
                return True
    return False


@given(history=histories(honest=True, longest=12))
def test_what_a_register_did_passes(history: list[Operation]) -> None:
    """A history that a register produced is linearizable, whatever got lost on the way."""
    assert first_violation(history) is None
    assert shrink(history) == []


@settings(max_examples=250)
@given(history=histories(honest=False))
def test_the_checker_agrees_with_brute_force(history: list[Operation]) -> None:
    """With unknown outcomes too, the checker finds a violation exactly where no order of the operations fits."""
    assert (first_violation(history) is None) == by_brute_force(history)


@settings(max_examples=250)
@given(history=histories(honest=False))
def test_what_is_shown_is_wrong_by_itself(history: list[Operation]) -> None:
    """The part of a wrong history that is shown is wrong by itself, and every operation left in it was there."""
    part = shrink(history)
    assert bool(part) == (first_violation(history) is not None)
    if part:
        assert not by_brute_force(part)
        assert {one._replace(found=None) for one in part} <= {one._replace(found=None) for one in history}


@pytest.mark.parametrize("droppable", [looks, deletes, values])
@settings(max_examples=300)
@given(history=histories(honest=True, longest=10))
def test_leaving_out_makes_nothing_wrong(
    droppable: Callable[[list[Operation]], list[Droppable]], history: list[Operation]
) -> None:
    """A history that is right stays so when any part that may go is left out, alone or with all others of its kind."""
    history = sorted(history, key=lambda one: one.called)
    if droppable is not looks:
        history = disregarding_finds(history)
    parts = droppable(history)
    for gone in [*parts, frozenset[int]().union(*parts)]:
        assert first_violation(one for number, one in enumerate(history) if number not in gone) is None


def test_a_long_history_is_shown_short() -> None:
    """Of 600 operations with one lost update the three that prove it are shown."""
    history = []
    for number in range(300):
        at = number * 3.0
        history += [Operation("push", f"v{number}", at, at + 1), Operation("read", f"v{number}", at + 1.1, at + 2)]
        if number % 10 == 5:
            history.append(Operation("delete", None, at + 2.1, at + 2.2))
    wrong = next(number for number, one in enumerate(history) if number > 400 and one.kind == "read")
    history[wrong] = history[wrong]._replace(value="v7")
    assert first_violation(history) is not None
    part = shrink(history)
    assert [one.kind for one in part] == ["push", "push", "read"]
    assert part[0].value == part[2].value == "v7"


def test_many_unknown_outcomes_are_checked_in_time() -> None:
    """Twenty pushes of unknown outcome do not make the check of 400 operations long: each order of them takes years."""
    history = [Operation("push", f"lost{number}", number, NEVER, None) for number in range(20)]
    for number in range(200):
        at = 50 + number * 2.0
        history += [Operation("push", f"v{number}", at, at + 3), Operation("read", f"v{number}", at + 1, at + 1.5)]
    assert first_violation(history) is None
    assert first_violation([*history, Operation("read", "never pushed", 9000, 9001)]) is not None
