"""Whether the history of one tag is that of a linearizable register.

A history is linearizable if each operation can be thought to have happened at one moment between its call and its
return, such that what all of them saw fits (Herlihy and Wing, 1990). The check goes through calls and returns in the
order of time and keeps every state that the register may be in, together with the operations under way that have
happened already in that thought; when an operation returns, only the states in which it has happened remain.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Operation(NamedTuple):
    """One operation on a tag, with the times of its call and return.

    `kind` is what was done: `push` of `value`; `read`, which saw `value`, None for nothing; `delete` of the tag, and
    `remove` of the digest `value` with all its tags, which both found something or not (`found`).
    """

    kind: str
    value: str | None
    called: float
    returned: float
    found: bool = True


class Illegal(Exception):
    """The operation can't have seen what it saw in this state."""


State = str | None
_Possible = tuple[State, frozenset[int]]


def apply(operation: Operation, state: State) -> State:
    """Return the state after an operation; raises `Illegal` if it can't have happened in this state."""
    kind, value = operation.kind, operation.value
    if kind == "push":
        return value
    if kind == "read":
        fits, after = state == value, state
    elif kind == "delete":
        fits, after = (state is not None) == operation.found, None
    elif operation.found:
        fits, after = True, None if state == value else state
    else:
        # A digest that is unknown has no tags.
        fits, after = state != value, state
    if not fits:
        raise Illegal
    return after


def first_violation(history: Iterable[Operation], initial: State = None) -> list[Operation] | None:
    """Return None if the history is linearizable; otherwise the operations around the first one that does not fit."""
    operations = sorted(history, key=lambda one: one.called)
    events = [(one.called, 0, number) for number, one in enumerate(operations)]
    events += [(one.returned, 1, number) for number, one in enumerate(operations)]
    possible: set[_Possible] = {(initial, frozenset())}
    under_way: set[int] = set()
    for _, is_return, number in sorted(events):
        if not is_return:
            under_way.add(number)
            continue
        possible = _after_return(possible, number, under_way, operations)
        if not possible:
            return [operations[one] for one in sorted({*under_way, *range(max(0, number - 4), number + 1)})]
        under_way.remove(number)
    return None


def _after_return(
    possible: set[_Possible], number: int, under_way: set[int], operations: list[Operation]
) -> set[_Possible]:
    """Return the states in which the operation has happened, letting others under way happen before it as needed."""
    found: set[_Possible] = set()
    seen: set[_Possible] = set()
    left = list(possible)
    while left:
        one = left.pop()
        if one in seen:
            continue
        seen.add(one)
        state, happened = one
        if number in happened:
            found.add((state, happened - {number}))
            continue
        for other in under_way - happened:
            try:
                left.append((apply(operations[other], state), happened | {other}))
            except Illegal:
                continue
    return found
