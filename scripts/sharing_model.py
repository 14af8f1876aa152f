"""Try every interleaving of how the S3 driver shares content, in a model of it; `scripts.lock_model` runs it.

A holder removes its key while others push the same content, and one of those removes its key again: no key may point to
bytes that are gone. A process may die between any two requests: it then makes no further step, which is one of the
interleavings. That a mark is void after a while is in the model of the lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import NamedTuple, TypeVar

LINK_LAST = "a holder looks for marks before it leaves its link"
MARK_LAST = "a remover looks for links before it leaves its mark"
WRONG = (LINK_LAST, MARK_LAST)

# Those that remove their key: 0 has it at the beginning, 1 pushes it first.
REMOVERS = (0, 1)


S = TypeVar("S", bound=Hashable)


def explore(
    begin: S, following: Callable[[S], Iterator[S]], is_bad: Callable[[S], bool]
) -> tuple[dict[S, S | None], S | None]:
    """Return every state that can be reached, each with the one before it, and the first bad one, where it stops."""
    before: dict[S, S | None] = {begin: None}
    waiting = deque([begin])
    while waiting:
        state = waiting.popleft()
        if is_bad(state):
            return before, state
        for after in following(state):
            if after not in before:
                before[after] = state
                waiting.append(after)
    return before, None


def way_to(state: S, before: dict[S, S | None]) -> list[S]:
    """Return the states that lead to one."""
    way = [state]
    while (earlier := before[way[-1]]) is not None:
        way.append(earlier)
    return way[::-1]


class Sharing(NamedTuple):
    """Keys with the data they point to, links, marks, the shared document, and the data that are there."""

    steps: tuple[str, ...]
    keys: tuple[int | None, ...]
    links: frozenset[int]
    marks: frozenset[int]
    shared: int | None
    data: frozenset[int]
    read: tuple[frozenset[int], ...]


def moves(state: Sharing, wrong: str) -> Iterator[Sharing]:
    """Yield what can happen next; a process that makes no step any more is one that died."""
    for me, step in enumerate(state.steps):
        move = _STEPS.get(step)
        if move is not None:
            yield move(state, me, wrong)


def _link(state: Sharing, me: int, wrong: str) -> Sharing:
    if wrong == LINK_LAST:
        return _next(state, me, "own" if state.marks else "late link")
    return _next(state._replace(links=state.links | {me}), me, "look for marks")


def _look_for_marks(state: Sharing, me: int, _: str) -> Sharing:
    if state.marks:
        return _next(state._replace(links=state.links - {me}), me, "own")
    return _next(state, me, "find")


def _find(state: Sharing, me: int, _: str) -> Sharing:
    if state.shared in state.data:
        return _next(_read(state, me, {state.shared}), me, "point")
    return _next(state._replace(data=state.data | {me}), me, "publish")


def _publish(state: Sharing, me: int, _: str) -> Sharing:
    # Written if it is not there, or if the data that it names are gone.
    if state.shared not in state.data:
        state = state._replace(shared=me)
    return _next(_read(state, me, {state.shared}), me, "point")


def _own(state: Sharing, me: int, _: str) -> Sharing:
    return _next(_read(state._replace(data=state.data | {me}), me, {me}), me, "point")


def _point(state: Sharing, me: int, _: str) -> Sharing:
    (found,) = state.read[me]
    return _next(_key(state, me, found), me, "unpoint" if me in REMOVERS else "end")


def _unpoint(state: Sharing, me: int, wrong: str) -> Sharing:
    after = _read(_key(state, me, None), me, {state.keys[me]})
    if me not in state.links:
        return _next(after, me, "remove")
    return _next(after, me, "unlink" if wrong == MARK_LAST else "mark")


def _mark(state: Sharing, me: int, wrong: str) -> Sharing:
    return _next(state._replace(marks=state.marks | {me}), me, "forget" if wrong == MARK_LAST else "unlink")


def _unlink(state: Sharing, me: int, _: str) -> Sharing:
    return _next(state._replace(links=state.links - {me}), me, "look for links")


def _look_for_links(state: Sharing, me: int, wrong: str) -> Sharing:
    return _next(state, me, "unmark" if state.links else "mark" if wrong == MARK_LAST else "forget")


def _forget(state: Sharing, me: int, _: str) -> Sharing:
    return _next(_read(state, me, state.read[me] | {state.shared})._replace(shared=None), me, "remove")


def _remove(state: Sharing, me: int, _: str) -> Sharing:
    return _next(state._replace(data=state.data - state.read[me]), me, "unmark")


def _unmark(state: Sharing, me: int, _: str) -> Sharing:
    return _next(state._replace(marks=state.marks - {me}), me, "end")


_STEPS: dict[str, Callable[[Sharing, int, str], Sharing]] = {
    "link": _link,
    "late link": lambda state, me, _: _next(state._replace(links=state.links | {me}), me, "find"),
    "look for marks": _look_for_marks,
    "find": _find,
    "publish": _publish,
    "own": _own,
    "point": _point,
    "unpoint": _unpoint,
    "mark": _mark,
    "unlink": _unlink,
    "look for links": _look_for_links,
    "forget": _forget,
    "remove": _remove,
    "unmark": _unmark,
}


def _next(state: Sharing, me: int, step: str) -> Sharing:
    return state._replace(steps=(*state.steps[:me], step, *state.steps[me + 1 :]))


def _key(state: Sharing, me: int, data: int | None) -> Sharing:
    return state._replace(keys=(*state.keys[:me], data, *state.keys[me + 1 :]))


def _read(state: Sharing, me: int, data: Iterable[int | None]) -> Sharing:
    found = frozenset(one for one in data if one is not None)
    return state._replace(read=(*state.read[:me], found, *state.read[me + 1 :]))


def is_bad(state: Sharing) -> bool:
    """Tell whether a key points to data that are gone."""
    return any(data is not None and data not in state.data for data in state.keys)


def explored(wrong: str = "") -> tuple[dict[Sharing, Sharing | None], Sharing | None]:
    """Explore a holder that removes its key, beside one that pushes and removes, and one that pushes."""
    nothing: frozenset[int] = frozenset()
    begin = Sharing(
        ("unpoint", "link", "link"), (0, None, None), frozenset({0}), nothing, 0, frozenset({0}), (nothing,) * 3
    )
    return explore(begin, lambda state: moves(state, wrong), is_bad)


def check() -> bool:
    """Try the sharing as it is, and print what came out."""
    states, bad = explored()
    print(f"sharing, three holders: {len(states)} states, {'goes wrong' if bad else 'holds'}", flush=True)
    if bad is not None:
        print("\n".join(f"  {state}" for state in way_to(bad, states)))
    return bad is None
