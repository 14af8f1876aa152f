"""Try every interleaving of how the S3 driver shares content, in a model of it; `scripts.lock_model` runs it.

A holder removes its key while others push the same content, and one of those removes its key again; or two push it by
one key, whose link of old a sweeper finds to be of no use. No key may point to bytes that are gone. A process may die
between any two requests: it then makes no further step, which is one of the interleavings. That a mark is void after a
while is in the model of the lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import NamedTuple, TypeVar

LINK_LAST = "a holder looks for marks before it leaves its link"
MARK_LAST = "a remover looks for links before it leaves its mark"
IN_COMMON = "two that push by one key have one link"
WRONG = (LINK_LAST, MARK_LAST, IN_COMMON)

# Who left the links of old.
_OLD = -1


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
    """What each process does next, with which key, and whether it removes that in the end; what the bucket holds.

    Keys have the data they point to; `alone` are those whose data nobody shares. Links are keys, and who left each.
    Data are called by who put them, and `read` is what a process has in mind to point to, or to remove.
    """

    steps: tuple[str, ...]
    own: tuple[int, ...]
    removers: tuple[int, ...]
    keys: tuple[int | None, ...]
    links: frozenset[tuple[int, int]]
    marks: frozenset[int]
    shared: int | None
    data: frozenset[int]
    read: tuple[frozenset[int], ...]
    alone: frozenset[int] = frozenset()


def moves(state: Sharing, wrong: str) -> Iterator[Sharing]:
    """Yield what can happen next; a process that makes no step any more is one that died."""
    for me, step in enumerate(state.steps):
        move = _STEPS.get(step)
        if move is not None:
            yield move(state, me, wrong)


def _own_link(state: Sharing, me: int, wrong: str) -> frozenset[tuple[int, int]]:
    return frozenset([(state.own[me], _OLD if wrong == IN_COMMON else me)])


def _link(state: Sharing, me: int, wrong: str) -> Sharing:
    if wrong == LINK_LAST:
        return _next(state, me, "own" if state.marks else "late link")
    return _next(state._replace(links=state.links | _own_link(state, me, wrong)), me, "look for marks")


def _late_link(state: Sharing, me: int, wrong: str) -> Sharing:
    return _next(state._replace(links=state.links | _own_link(state, me, wrong)), me, "find")


def _look_for_marks(state: Sharing, me: int, wrong: str) -> Sharing:
    if state.marks:
        return _next(state._replace(links=state.links - _own_link(state, me, wrong)), me, "own")
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
    return _next(_read(state._replace(data=state.data | {me}), me, {me}), me, "point alone")


def _point(state: Sharing, me: int, _: str, alone: bool = False) -> Sharing:
    (found,) = state.read[me]
    key = frozenset([state.own[me]])
    state = state._replace(alone=state.alone | key if alone else state.alone - key)
    return _next(_key(state, me, found), me, "unpoint" if me in state.removers else "end")


def _unpoint(state: Sharing, me: int, wrong: str) -> Sharing:
    after = _read(_key(state, me, None), me, {state.keys[state.own[me]]})
    if state.own[me] in state.alone:
        return _next(after, me, "remove")
    return _next(after, me, "unlink" if wrong == MARK_LAST else "mark")


def _sweep(state: Sharing, me: int, _: str) -> Sharing:
    return _next(state._replace(marks=state.marks | {me}), me, "look at key")


def _look_at_key(state: Sharing, me: int, _: str) -> Sharing:
    """See whether the key of a link of old shares anything."""
    key = state.own[me]
    shares = state.keys[key] is not None and key not in state.alone
    return _next(state, me, "unmark" if shares else "unlink old")


def _unlink_old(state: Sharing, me: int, _: str) -> Sharing:
    return _next(state._replace(links=state.links - {(state.own[me], _OLD)}), me, "look for links")


def _mark(state: Sharing, me: int, wrong: str) -> Sharing:
    return _next(state._replace(marks=state.marks | {me}), me, "forget" if wrong == MARK_LAST else "unlink")


def _unlink(state: Sharing, me: int, _: str) -> Sharing:
    return _next(
        state._replace(links=frozenset(one for one in state.links if one[0] != state.own[me])), me, "look for links"
    )


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
    "late link": _late_link,
    "look for marks": _look_for_marks,
    "find": _find,
    "publish": _publish,
    "own": _own,
    "point": _point,
    "point alone": lambda state, me, wrong: _point(state, me, wrong, alone=True),
    "unpoint": _unpoint,
    "sweep": _sweep,
    "look at key": _look_at_key,
    "unlink old": _unlink_old,
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
    own = state.own[me]
    return state._replace(keys=(*state.keys[:own], data, *state.keys[own + 1 :]))


def _read(state: Sharing, me: int, data: Iterable[int | None]) -> Sharing:
    found = frozenset(one for one in data if one is not None)
    return state._replace(read=(*state.read[:me], found, *state.read[me + 1 :]))


def is_bad(state: Sharing) -> bool:
    """Tell whether a key points to data that are gone."""
    return any(data is not None and data not in state.data for data in state.keys)


def _beginnings() -> dict[str, Sharing]:
    """Return a holder that removes its key, beside others; the links of old are there."""
    none, one = frozenset[int](), frozenset([0])
    held, lone = (0, _OLD), (1, _OLD)
    three = ("unpoint", "link", "link")
    swept = ("unpoint", "link", "link", "sweep")
    return {
        "three holders": Sharing(
            three, (0, 1, 2), (0, 1), (0, None, None), frozenset([held]), none, 0, one, (none,) * 3
        ),
        "two of one key, and a sweeper": Sharing(
            swept, (0, 1, 1, 1), (0,), (0, None), frozenset([held, lone]), none, 0, one, (none,) * 4
        ),
    }


def explored(wrong: str = "") -> Iterator[tuple[str, dict[Sharing, Sharing | None], Sharing | None]]:
    """Explore each beginning; yields its name, the states, and the first bad one."""
    for name, begin in _beginnings().items():
        yield name, *explore(begin, lambda state: moves(state, wrong), is_bad)


def is_found(wrong: str) -> bool:
    """Tell whether the model finds out that something is wrong."""
    return any(bad is not None for _, _, bad in explored(wrong))


def check() -> bool:
    """Try the sharing as it is, and print what came out."""
    good = True
    for name, states, bad in explored():
        print(f"sharing, {name}: {len(states)} states, {'goes wrong' if bad else 'holds'}", flush=True)
        if bad is not None:
            print("\n".join(f"  {state}" for state in way_to(bad, states)))
            good = False
    return good
