"""The shortest part of a wrong history that shows by itself that it is wrong.

Not every operation may be left out: without a push, a read of what it pushed looks wrong though it was right. What may
go, because a history that was linearizable stays so without it:

- what only looked: reads, lists, and deletes that found nothing;
- a push together with all reads of its value, if the value's digest was never removed, whether deletes found something
  is disregarded, and no list is left;
- a delete, if every read of nothing that is left came before it, or has a whole push between the delete and itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from scripts.history.checker import Operation, up_to_violation

Droppable = frozenset[int]


def shrink(history: Iterable[Operation]) -> list[Operation]:
    """Return a part of the history that is not linearizable by itself; nothing if the history is linearizable."""
    wrong = up_to_violation(history)
    before = -1
    while len(wrong) != before:
        before = len(wrong)
        for droppable in (looks, deletes, values):
            wrong = _without_what_is_not_needed(wrong, droppable)
    return wrong


def looks(history: list[Operation]) -> list[Droppable]:
    """Return what only looked at the register, each operation by itself."""
    return [
        frozenset({number})
        for number, one in enumerate(history)
        if one.kind in ("read", "list") or (one.kind in ("delete", "remove") and one.found is False)
    ]


def deletes(history: list[Operation]) -> list[Droppable]:
    """Return the deletes and removes that no read of nothing can have been the result of."""
    nothing = [one for one in history if _saw_nothing(one)]
    pushes = [one for one in history if one.kind == "push"]
    if any(one.kind == "list" for one in history):
        return []

    def apart(gone: Operation, look: Operation) -> bool:
        between = (one for one in pushes if gone.returned < one.called)
        return look.returned < gone.called or any(one.returned < look.called for one in between)

    return [
        frozenset({number})
        for number, one in enumerate(history)
        if one.kind in ("delete", "remove") and all(apart(one, look) for look in nothing)
    ]


def values(history: list[Operation]) -> list[Droppable]:
    """Return each value that was never removed, with its pushes and reads."""
    removed = {one.value for one in history if one.kind == "remove"}
    if any(one.kind == "list" or one.found is False for one in history):
        return []
    parts: dict[str, set[int]] = {}
    for number, one in enumerate(history):
        if one.kind in ("push", "read") and one.value is not None and one.value not in removed:
            parts.setdefault(one.value, set()).add(number)
    return [frozenset(part) for part in parts.values()]


def disregarding_finds(history: list[Operation]) -> list[Operation]:
    """Return the history as if nobody knew whether deletes found something."""
    return [one._replace(found=None) if one.kind in ("delete", "remove") else one for one in history]


def _saw_nothing(one: Operation) -> bool:
    return one.found is False or (one.kind == "read" and one.value is None)


def _without_what_is_not_needed(
    wrong: list[Operation], droppable: Callable[[list[Operation]], list[Droppable]]
) -> list[Operation]:
    """Leave out as much of what may go as leaves the history wrong: large parts first, then smaller ones."""
    weakened = wrong if droppable is looks else disregarding_finds(wrong)
    if weakened != wrong and not up_to_violation(weakened):
        return wrong
    wrong = weakened
    size = len(droppable(wrong))
    while size:
        place = 0
        while place < len(parts := droppable(wrong)):
            gone = frozenset[int]().union(*parts[place : place + size])
            rest = [one for number, one in enumerate(wrong) if number not in gone]
            if up_to_violation(rest):
                wrong = rest
            else:
                place += size
        size //= 2
    return wrong
