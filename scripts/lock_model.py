"""Try every interleaving of the S3 driver's lock, in a model of it, and of its sharing (`scripts.sharing_model`).

    python -m scripts.lock_model [--four]

Pushes that point a tag at a blob, and deletes of that blob, on one repository: whatever any of them does, no tag may
point to a blob that is gone, and nothing acknowledged may be lost. A process may die or stand still between any two
requests. What the model takes for granted is what `zot.storage.s3.locks` reckons with: one call, from the look at the
owner's clock to the end of its request, takes less time than from lapsing to being void.

It also tries variants that are known to be wrong, to show that it would notice. It leaves with 0 if everything holds
and every wrong variant was found out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from scripts import sharing_model as sharing
from scripts.sharing_model import explore, way_to

# In ticks. An owner's call that began by LAPSED lands by LAPSED + 1, before anybody takes its claim for void.
LAPSED, VOID = 1, 3
DEATHS = 1

LOOK_FIRST = "a push looks for the mark before it leaves its intent"
LIST_FIRST = "a delete looks for intents before it leaves its mark"
NEVER_LAPSED = "an owner goes on after its claim was void"
UNLOCKED = "a delete takes no lock"
WRONG = (LOOK_FIRST, LIST_FIRST, NEVER_LAPSED, UNLOCKED)


class Process(NamedTuple):
    """One process: what it does next, how old its claim is by its own clock, and how long its call under way takes."""

    kind: str
    step: str
    own: int = 0
    call: int = 0
    alive: bool = True


class Lock(NamedTuple):
    """The bucket and the processes. `claims` has the age of each process's intent or mark by the bucket's clock."""

    processes: tuple[Process, ...]
    claims: tuple[int | None, ...]
    marked_by: int | None = None
    blob: bool = True
    tag: bool = False
    acknowledged: bool = False
    deaths: int = 0


Moves = Iterator[Lock]


def lock_moves(state: Lock, wrong: str) -> Moves:
    """Yield what can happen next: a step of a process, its death, its renewal, or time passing."""
    for number, process in enumerate(state.processes):
        if process.alive and process.step != "end":
            after = _STEPS[process.kind, process.step](state, number, wrong)
            if after is not None:
                yield after
            if state.deaths < DEATHS:
                dead = Process(process.kind, process.step, alive=False)
                yield _put(state, number, dead)._replace(deaths=state.deaths + 1)
            if state.claims[number] is not None and 0 < process.own <= LAPSED:
                yield _claim(_put(state, number, process._replace(own=0)), number, 0)
    later = tuple(
        _older(one, has_claim=age is not None) for one, age in zip(state.processes, state.claims, strict=True)
    )
    older = tuple(None if age is None else min(age + 1, VOID) for age in state.claims)
    yield state._replace(processes=later, claims=older)


def _older(one: Process, *, has_claim: bool) -> Process:
    """Let time pass for a process, as far as that may matter."""
    if not one.alive:
        return one
    own = min(one.own + 1, LAPSED + 1) if has_claim else 0
    return one._replace(own=own, call=min(one.call + 1, VOID - LAPSED) if one.step == "act" else 0)


def _begin_push(state: Lock, me: int, wrong: str) -> Lock | None:
    if wrong == LOOK_FIRST:
        return None if _is_marked(state) else _go(state, me, "late claim")
    return _claim(_go(state, me, "look", own=0), me, 0)


def _look(state: Lock, me: int, _: str) -> Lock | None:
    return _go(state, me, "back off" if _is_marked(state) else "check")


def _back_off(state: Lock, me: int, _: str) -> Lock | None:
    return _claim(_go(state, me, "wait"), me, None)


def _wait(state: Lock, me: int, _: str) -> Lock | None:
    return None if _is_marked(state) else _go(state, me, "begin")


def _check_blob(state: Lock, me: int, _: str) -> Lock | None:
    return _go(state, me, "clock" if state.blob else "release")


def _look_at_clock(state: Lock, me: int, wrong: str) -> Lock | None:
    return _go(state, me, "act" if _is_mine(state.processes[me], wrong) else "release")


def _point_tag(state: Lock, me: int, wrong: str) -> Lock | None:
    if _lands(state.processes[me], wrong):
        return _go(state._replace(tag=True), me, "acknowledge")
    return _go(state, me, "release")


def _acknowledge(state: Lock, me: int, wrong: str) -> Lock | None:
    acknowledged = state.acknowledged or _is_mine(state.processes[me], wrong)
    return _go(state._replace(acknowledged=acknowledged), me, "release")


def _take_back(state: Lock, me: int, _: str) -> Lock | None:
    return _claim(_go(state, me, "end"), me, None)


def _begin_delete(state: Lock, me: int, wrong: str) -> Lock | None:
    if wrong == UNLOCKED:
        return _go(state, me, "check")
    if wrong == LIST_FIRST:
        return None if _has_intents(state) else _go(state, me, "late claim")
    return _mark(state, me, "look")


def _mark(state: Lock, me: int, step: str) -> Lock | None:
    """Put the mark, if there is none that counts."""
    return None if _is_marked(state) else _claim(_go(state, me, step, own=0), me, 0)._replace(marked_by=me)


def _look_for_intents(state: Lock, me: int, _: str) -> Lock | None:
    if not _has_intents(state):
        return _go(state, me, "check")
    return _go(state, me, "release") if state.processes[me].own > LAPSED else None


def _check_tag(state: Lock, me: int, _: str) -> Lock | None:
    return _go(state, me, "release" if state.tag else "clock")


def _remove_blob(state: Lock, me: int, wrong: str) -> Lock | None:
    return _go(state._replace(blob=state.blob and not _lands(state.processes[me], wrong)), me, "release")


def _unmark(state: Lock, me: int, _: str) -> Lock | None:
    after = _go(state, me, "end")
    if state.marked_by == me and state.processes[me].own <= LAPSED:
        return _claim(after, me, None)._replace(marked_by=None)
    return after


_STEPS: dict[tuple[str, str], Callable[[Lock, int, str], Lock | None]] = {
    ("push", "begin"): _begin_push,
    ("push", "late claim"): lambda state, me, _: _claim(_go(state, me, "check", own=0), me, 0),
    ("push", "look"): _look,
    ("push", "back off"): _back_off,
    ("push", "wait"): _wait,
    ("push", "check"): _check_blob,
    ("push", "clock"): _look_at_clock,
    ("push", "act"): _point_tag,
    ("push", "acknowledge"): _acknowledge,
    ("push", "release"): _take_back,
    ("delete", "begin"): _begin_delete,
    ("delete", "late claim"): lambda state, me, _: _mark(state, me, "check"),
    ("delete", "look"): _look_for_intents,
    ("delete", "check"): _check_tag,
    ("delete", "clock"): _look_at_clock,
    ("delete", "act"): _remove_blob,
    ("delete", "release"): _unmark,
}


def _lands(one: Process, wrong: str) -> bool:
    """Tell whether a call ends in time; one that takes longer is given up before it reaches the bucket."""
    return one.call < VOID - LAPSED or wrong == NEVER_LAPSED


def _is_marked(state: Lock) -> bool:
    return state.marked_by is not None and _is_live(state, state.marked_by)


def _has_intents(state: Lock) -> bool:
    return any(one.kind == "push" and _is_live(state, number) for number, one in enumerate(state.processes))


def _is_mine(one: Process, wrong: str) -> bool:
    return one.own <= LAPSED or wrong == NEVER_LAPSED


def _is_live(state: Lock, number: int) -> bool:
    age = state.claims[number]
    return age is not None and age < VOID


def _go(state: Lock, me: int, step: str, own: int | None = None) -> Lock:
    one = state.processes[me]
    return _put(state, me, one._replace(step=step, call=0, own=one.own if own is None else own))


def _put(state: Lock, me: int, process: Process) -> Lock:
    return state._replace(processes=(*state.processes[:me], process, *state.processes[me + 1 :]))


def _claim(state: Lock, me: int, age: int | None) -> Lock:
    if age is None:
        state = _put(state, me, state.processes[me]._replace(own=0))
    return state._replace(claims=(*state.claims[:me], age, *state.claims[me + 1 :]))


def lock_is_bad(state: Lock) -> bool:
    """Tell whether a tag dangles, or something acknowledged is lost."""
    return (state.tag and not state.blob) or (state.acknowledged and not (state.tag and state.blob))


def lock_is_over(state: Lock) -> bool:
    """Tell whether all that live have come to an end."""
    return all(one.step == "end" or not one.alive for one in state.processes)


def try_lock(
    wrong: str = "", kinds: tuple[str, ...] = ("push", "delete")
) -> tuple[dict[Lock, Lock | None], Lock | None]:
    """Explore some pushes and deletes."""
    begin = _ordered(Lock(tuple(Process(kind, "begin") for kind in kinds), (None,) * len(kinds)))
    return explore(begin, lambda state: ordered_moves(state, wrong), lock_is_bad)


def ordered_moves(state: Lock, wrong: str = "") -> Moves:
    """Yield what can happen next, taking processes that are alike for one another."""
    return (_ordered(following) for following in lock_moves(state, wrong))


def _ordered(state: Lock) -> Lock:
    marks = [number == state.marked_by for number in range(len(state.processes))]
    claims = [-1 if age is None else age for age in state.claims]
    sorted_ = sorted(zip(state.processes, claims, marks, strict=True))
    return state._replace(
        processes=tuple(process for process, _, _ in sorted_),
        claims=tuple(None if age < 0 else age for _, age, _ in sorted_),
        marked_by=next((number for number, (_, _, has) in enumerate(sorted_) if has), None),
    )


def stuck(states: Iterable[Lock]) -> Lock | None:
    """Return a state from which some living process can't come to an end any more, if there is one."""
    known = set(states)
    leading_to: dict[Lock, list[Lock]] = {}
    for state in known:
        for following in ordered_moves(state):
            leading_to.setdefault(following, []).append(state)
    over = [state for state in known if lock_is_over(state)]
    ending = set(over)
    while over:
        for earlier in leading_to.get(over.pop(), ()):
            if earlier not in ending:
                ending.add(earlier)
                over.append(earlier)
    return next(iter(known - ending), None)


def check_lock(kinds: tuple[str, ...]) -> bool:
    """Try the lock as it is, and print what came out."""
    states, bad = try_lock("", kinds)
    print(f"the lock, {', '.join(kinds)}: {len(states)} states, {'goes wrong' if bad else 'holds'}", flush=True)
    if bad is not None:
        print("\n".join(f"  {state}" for state in way_to(bad, states)))
        return False
    if (state := stuck(states)) is not None:
        print(f"  nobody comes to an end from {state}")
        return False
    return True


def check_wrong() -> bool:
    """Try the variants that are wrong; tell whether each was found out."""
    found = {wrong: try_lock(wrong)[1] is not None for wrong in WRONG}
    found |= {wrong: sharing.is_found(wrong) for wrong in sharing.WRONG}
    for wrong, is_found in found.items():
        print(f"{wrong}: {'goes wrong, as it must' if is_found else 'NOT FOUND OUT'}", flush=True)
    return all(found.values())


def main(arguments: list[str]) -> int:
    """Try everything, and print what came out; with --four, which takes minutes, two pushes beside two deletes too."""
    crowds: list[tuple[str, ...]] = [("push", "push", "delete"), ("push", "delete", "delete")]
    if arguments == ["--four"]:
        crowds.append(("push", "push", "delete", "delete"))
    good = [check_lock(kinds) for kinds in crowds]
    good += [sharing.check(), check_wrong()]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
