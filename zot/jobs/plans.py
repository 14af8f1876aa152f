"""Plans of retention: made once, kept, and carried out as they are or not at all."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, NoReturn

from zot.gc import cleaning
from zot.gc.cleaning import Cleaned
from zot.gc.planning import Kind, Plan
from zot.gc.removing import Remover
from zot.gc.snapshot import Snapshot
from zot.jobs import kinds, records
from zot.jobs.running import RefusedError, Run
from zot.registry import paths, repositories
from zot.registry.store import Store
from zot.storage.protocol import NotFound

_PLANS = f"{paths.JOBS}/plans"
_KEPT = 50
_PLAN_ANEW = "make a new plan, which tells what goes now: zot retention plan"
_WAIT = "see that the clock of this machine is right; the plan stays, to be carried out when that time has passed"


@dataclass(frozen=True)
class RetentionPlan:
    """Which tags of a store are deleted, as of `now`, in seconds since 1970: by repository, tag and digest.

    `run` is the run that carried it out, and `ended` when it did; none and 0 before.
    """

    id: str
    now: float
    rules: str
    deleted: dict[str, dict[str, str]] = field(default_factory=dict)
    run: str = ""
    ended: float = 0.0


def make(store: Store, deleted: dict[str, dict[str, str]], now: float) -> RetentionPlan:
    """Keep what was decided, so that it can be carried out later."""
    moment = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S")
    made = RetentionPlan(f"{moment}-{secrets.token_hex(2)}", now, store.retention.fingerprint, deleted)
    _save(store, made)
    known = list(store.storage.list(_PLANS))
    store.storage.delete(*(f"{_PLANS}/{one}" for one in known[:-_KEPT]))
    return made


def read(store: Store, plan: str) -> RetentionPlan:
    """Return a plan that was kept. Raises `NotFound`."""
    if not records.is_id(plan):
        raise NotFound(plan)
    found: dict[str, Any] = json.loads(store.storage.read(f"{_PLANS}/{plan}"))
    return RetentionPlan(**found)


def _save(store: Store, planned: RetentionPlan) -> None:
    store.storage.write(f"{_PLANS}/{planned.id}", json.dumps(asdict(planned)).encode(), new_directory=True)


def deletes(made: Plan) -> dict[str, str]:
    """Return the tags that a repository's plan deletes, with their digests."""
    return {one.tag: str(one.digest) for one in made.decisions if not one.kept}


def carry_out(planned: RetentionPlan) -> Callable[[Run], None]:
    """Return a job that deletes exactly what a plan says.

    It raises `RefusedError`, before it has deleted anything, if the world has changed.
    """

    def job(run: Run) -> None:
        if planned.rules != run.store.retention.fingerprint:
            _refuse(run, "the rules have changed since the plan was made")
        suspended = kinds.settings_of(run).suspended
        if suspended:
            _refuse(run, f"deletion of tags is {suspended}", _WAIT)
        looked = [_look_again(run, name, planned) for name in planned.deleted]
        for snapshot, made in looked:
            _delete_tags(run, snapshot, made)
        if not run.record.dry_run:
            _save(run.store, replace(planned, run=run.record.id, ended=time.time()))

    return job


def delete_now(run: Run) -> None:
    """Delete the tags that the rules do not keep, in all repositories."""
    suspended = kinds.settings_of(run).suspended
    for name in repositories.names(run.store):
        run.go_on()
        with run.apart(name):
            _delete_tags(run, *cleaning.look(run.store, name, time.time(), suspended))


def _look_again(run: Run, name: str, planned: RetentionPlan) -> tuple[Snapshot, Plan]:
    snapshot, made = cleaning.look(run.store, name, planned.now)
    wanted, now = planned.deleted[name], deletes(made)
    if wanted != now:
        differing = sorted(tag for tag in wanted.keys() | now.keys() if wanted.get(tag) != now.get(tag))
        _refuse(run, f"{name}:{differing[0]} would be decided otherwise now")
    return snapshot, made


def _refuse(run: Run, why: str, remedy: str = _PLAN_ANEW) -> NoReturn:
    run.record.notes[records.REMEDY] = remedy
    raise RefusedError(why)


def _delete_tags(run: Run, snapshot: Snapshot, made: Plan) -> None:
    tags = Plan(
        made.name,
        made.decisions,
        tuple(removal for removal in made.removals if removal.kind is Kind.TAG),
        made.kept,
        problems=made.problems,
    )
    cleaning.explain(made, run.record.dry_run)
    if run.record.dry_run or not tags.removals:
        run.cleaned(Cleaned(tags, tags.removals))
        return
    run.store.gathered.changed(made.name)
    cleaning.gone(Remover(run.store, snapshot, tags, run.go_on).run(), tags, run.cleaned)
