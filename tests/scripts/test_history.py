"""The checker of histories: it passes what a register can do and finds what it can't."""

from __future__ import annotations

from contextlib import suppress
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.history.checker import Illegal, Operation, State, apply, first_violation
from scripts.history.workloads import WORKLOADS, Run
from tests.servers import running_server

KINDS = st.sampled_from(["push", "read", "delete", "remove"])
VALUES = st.sampled_from(["a", "b"])


@st.composite
def histories(draw: st.DrawFn, *, honest: bool) -> list[Operation]:
    """Draw a history of up to six operations that overlap; an honest one was seen by a real register."""
    state: State = None
    found: list[Operation] = []
    for number in range(draw(st.integers(1, 6))):
        kind, value = draw(KINDS), draw(VALUES)
        early, late = draw(st.floats(0, 2)), draw(st.floats(0, 2))
        seen: State = value
        if kind == "read":
            seen = state if honest else draw(st.none() | VALUES)
        hit = state is not None if honest and kind == "delete" else draw(st.booleans())
        if honest and kind == "remove" and state == value:
            hit = True
        operation = Operation(kind, seen, number - early, number + late, hit)
        if honest:
            state = apply(operation, state)
        found.append(operation)
    return found


def by_brute_force(history: list[Operation]) -> bool:
    """Try every order that respects who returned before whom was called."""
    for order in permutations(history):
        pairs = ((one, other) for place, one in enumerate(order) for other in order[place + 1 :])
        if any(other.returned < one.called for one, other in pairs):
            continue
        with suppress(Illegal):
            state: State = None
            for operation in order:
                state = apply(operation, state)
            return True
    return False


@given(history=histories(honest=True))
def test_what_a_register_did_passes(history: list[Operation]) -> None:
    """A history that a register produced is linearizable."""
    assert first_violation(history) is None


@settings(max_examples=300, deadline=None)
@given(history=histories(honest=False))
def test_the_checker_agrees_with_brute_force(history: list[Operation]) -> None:
    """The checker finds a violation exactly where no order of the operations fits."""
    assert (first_violation(history) is None) == by_brute_force(history)


@pytest.mark.parametrize(
    "history",
    [
        [Operation("push", "a", 0, 1), Operation("read", None, 2, 3)],
        [Operation("push", "a", 0, 1), Operation("push", "b", 2, 3), Operation("read", "a", 4, 5)],
        [Operation("push", "a", 0, 9), Operation("read", "a", 1, 2), Operation("read", None, 3, 4)],
        [Operation("push", "a", 0, 1), Operation("delete", None, 2, 3, found=False)],
        [Operation("push", "a", 0, 1), Operation("remove", "a", 2, 3), Operation("read", "a", 4, 5)],
    ],
    ids=["lost push", "stale read", "flicker", "404 for what is there", "dangling tag"],
)
def test_known_violations_are_found(history: list[Operation]) -> None:
    """Each classic fault is found, and what is shown ends with the operation that does not fit."""
    wrong = first_violation(history)
    assert wrong
    assert wrong[-1] == history[-1]


def test_every_workload_holds(tmp_path: Path) -> None:
    """Each workload runs for a moment against a real server with three workers and finds nothing wrong."""
    with running_server(tmp_path, "--workers", "3") as server:
        for name, workload in WORKLOADS.items():
            run = Run((server.url.removeprefix("http://"),), 1.0, 8, 1, f"histories/of-{name}")
            assert workload(run)
            assert run.operations > 20
