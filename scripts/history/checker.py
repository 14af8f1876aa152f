"""Whether the history of one tag is that of a linearizable register.

A history is linearizable if each operation can be thought to have happened at one moment between its call and its
return, such that what all of them saw fits (Herlihy and Wing, 1990). The check goes through calls and returns in the
order of time and keeps every state that the register may be in, together with the operations under way that have
happened already in that thought; when an operation returns, only the states in which it has happened remain.

An operation whose connection broke may have happened at any time since, or never: it is under way forever.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import inf
from typing import NamedTuple

NEVER = inf
"""When an operation returned whose outcome nobody knows."""


class Operation(NamedTuple):
    """One operation on a tag, with the times of its call and return.

    `kind` is what was done: `push` of `value`; `read`, which saw `value`, None for nothing; `list`, which saw that the
    tag was there or not (`found`); `delete` of the tag, and `remove` of the digest `value` with all its tags, which
    both found something or not, None if that is not known.
    """

    kind: str
    value: str | None
    called: float
    returned: float
    found: bool | None = True


class Illegal(Exception):
    """The operation can't have seen what it saw in this state."""


State = str | None
_Possible = tuple[State, frozenset[int]]


def apply(operation: Operation, state: State) -> State:
    """Return the state after an operation; raises `Illegal` if it can't have happened in this state."""
    kind, value = operation.kind, operation.value
    if kind == "push":
        return value
    there = state is not None
    if kind == "read":
        fits, after = state == value, state
    elif kind == "list":
        fits, after = there == operation.found, state
    elif kind == "delete":
        fits, after = operation.found in (there, None), None
    else:
        # A digest that is unknown has no tags.
        fits, after = operation.found is not False or state != value, None if state == value else state
    if not fits:
        raise Illegal
    return after


def first_violation(history: Iterable[Operation], initial: State = None) -> list[Operation] | None:
    """Return None if the history is linearizable; otherwise the operations around the first one that does not fit."""
    operations = sorted(history, key=lambda one: one.called)
    failed = _first_that_fails(operations, initial)
    if failed is None:
        return None
    end = operations[failed].returned
    under_way = (number for number, one in enumerate(operations) if one.called <= end <= one.returned)
    return [operations[one] for one in sorted({*under_way, *range(max(0, failed - 4), failed + 1)})]


def up_to_violation(history: Iterable[Operation]) -> list[Operation]:
    """Return what was called before the first operation that does not fit had returned; nothing if all is well."""
    operations = sorted(history, key=lambda one: one.called)
    failed = _first_that_fails(operations, None)
    return [] if failed is None else [one for one in operations if one.called <= operations[failed].returned]


def _first_that_fails(operations: list[Operation], initial: State) -> int | None:
    operations = _unseen_alike(operations)
    events = [(one.called, 0, number) for number, one in enumerate(operations)]
    events += [(one.returned, 1, number) for number, one in enumerate(operations) if one.returned != NEVER]
    possible: set[_Possible] = {(initial, frozenset())}
    under_way: set[int] = set()
    for _, is_return, number in sorted(events):
        if not is_return:
            under_way.add(number)
            continue
        possible = _after_return(possible, number, under_way, operations)
        if not possible:
            return number
        under_way.remove(number)
    return None


def _after_return(
    possible: set[_Possible], number: int, under_way: set[int], operations: list[Operation]
) -> set[_Possible]:
    """Return the states in which the operation has happened, letting others under way happen before it as needed."""
    open_ended = frozenset(one for one in under_way if operations[one].returned == NEVER)
    found: set[_Possible] = set()
    seen: dict[_Possible, list[frozenset[int]]] = {}
    left = deque(sorted(possible, key=lambda one: len(one[1])))
    while left:
        state, happened = left.popleft()
        if _is_known(seen, state, happened, open_ended):
            continue
        if number in happened:
            found.add((state, happened - {number}))
            continue
        for other in _that_differ(frozenset(under_way) - happened, open_ended, operations):
            try:
                left.append((apply(operations[other], state), happened | {other}))
            except Illegal:
                continue
    return found


def _unseen_alike(operations: list[Operation]) -> list[Operation]:
    """Give pushes without an outcome one value if nobody ever looked at theirs: which it was makes no difference."""
    looked_at = {one.value for one in operations if one.kind in ("read", "remove")}
    return [
        one._replace(value="unseen") if one.returned == NEVER and one.value not in looked_at else one
        for one in operations
    ]


def _that_differ(numbers: frozenset[int], open_ended: frozenset[int], operations: list[Operation]) -> list[int]:
    """Return the operations that can come next; of those without an outcome, the first of each kind and value."""
    alike: dict[tuple[str, str | None], int] = {}
    for number in sorted(numbers & open_ended):
        alike.setdefault((operations[number].kind, operations[number].value), number)
    return [*(numbers - open_ended), *alike.values()]


def _is_known(
    seen: dict[_Possible, list[frozenset[int]]], state: State, happened: frozenset[int], open_ended: frozenset[int]
) -> bool:
    """Tell whether something seen before can do all that this can; otherwise note this.

    An operation without an outcome that has not happened yet can still happen, or never. So of two possibilities that
    differ in nothing else, the one in which fewer of them have happened is enough, and however many they are, they do
    not make the search longer and longer.
    """
    alike = seen.setdefault((state, happened - open_ended), [])
    maybe = happened & open_ended
    if any(other <= maybe for other in alike):
        return True
    alike.append(maybe)
    return False
