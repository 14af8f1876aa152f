"""What the leader of a store sees to."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from zot.auth.keys import ApiKeys
from zot.auth.sessions import Sessions
from zot.jobs.sizes import Sizes
from zot.registry import paths, uploads
from zot.registry.keeping import Keeper, absence
from zot.registry.store import Store
from zot.registry.stores import Stores
from zot.storage.protocol import Lapsed, StorageError

log = logging.getLogger(__name__)

_SESSION_AGE = 24 * 3600


class Duty(NamedTuple):
    """What is to be done again and again, `pace` seconds after the last time."""

    work: Callable[[], None]
    pace: float


@contextmanager
def taken_up(
    stores: Stores, route: str, is_stopping: Callable[[], bool], measured: str | None = None
) -> Iterator[list[Duty]]:
    """Take up the duties of the store at a route, the most urgent first.

    The sizes of repositories are left in the directory `measured`, if there is one. At the end do for the last time
    what can't wait for a next leader.
    """
    store = stores.at(route)
    sweeps = [
        Duty(lambda: sweep_uploads(store), pace=3600),
        Duty(lambda: sweep_sessions(store), pace=3600),
        Duty(lambda: sweep_keys(store), pace=24 * 3600),
    ]
    if store.layouts is None:
        yield sweeps
        return
    keeper = Keeper(store, store.layouts, absence(store), lambda name: stores.of(name) is store)
    attempt(lambda: store.storage.write(paths.LEADING, b""))
    # Tests do not want to wait for a minute.
    pace = float(os.environ.get("ZOT_LOOK_SECONDS", "60"))
    if measured is not None:
        sweeps.append(Duty(Sizes(store, route, measured, pace).look_on, pace=1))
    yield [Duty(keeper.project_dirty, pace=1), Duty(lambda: keeper.look(is_stopping), pace), *sweeps]
    for last in (keeper.project_dirty, keeper.leave, lambda: store.storage.delete(paths.LEADING)):
        attempt(last)


def attempt(work: Callable[[], None]) -> None:
    """Do something; if the storage fails, say so: it will be done another time. Raises `Lapsed`."""
    try:
        work()
    except Lapsed:
        raise
    except StorageError as error:
        log.error("what the leader does is put off: %s", error)


def sweep_sessions(store: Store) -> None:
    """Forget the sessions of browsers that are over."""
    swept = Sessions(store.storage, paths.SESSIONS).sweep()
    if swept:
        log.info("%d sessions that are over were dropped", swept)


def sweep_keys(store: Store) -> None:
    """Forget which API keys were revoked long ago."""
    forgotten = ApiKeys(store.storage, paths.API_KEYS).forget_revoked()
    if forgotten:
        log.info("%d API keys that were revoked long ago were forgotten", forgotten)


def sweep_uploads(store: Store) -> None:
    """Drop the upload sessions that nobody wrote to for a day."""
    swept = uploads.sweep(store, time.time() - _SESSION_AGE)
    if swept:
        log.info("%d upload sessions that nobody wrote to for a day were dropped", swept)
