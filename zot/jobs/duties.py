"""What the leader of a store sees to."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from zot.auth.sessions import Sessions
from zot.registry import layout, paths, uploads
from zot.registry.store import Store

log = logging.getLogger(__name__)

_SESSION_AGE = 24 * 3600


class Duty(NamedTuple):
    """What is to be done again and again, `pace` seconds after the last time, and when the leader ends if `at_end`."""

    work: Callable[[], None]
    pace: float
    at_end: bool = False


def of(store: Store) -> list[Duty]:
    """Return the duties, the most urgent first."""
    known = layout.remember()
    projection = Duty(lambda: layout.project_dirty(store, known), pace=1, at_end=True)
    return [
        *([projection] if store.projected else []),
        Duty(lambda: sweep_uploads(store), pace=3600),
        Duty(lambda: sweep_sessions(store), pace=3600),
    ]


def sweep_sessions(store: Store) -> None:
    """Forget the sessions of browsers that are over."""
    swept = Sessions(store.storage, paths.SESSIONS).sweep()
    if swept:
        log.info("%d sessions that are over were dropped", swept)


def sweep_uploads(store: Store) -> None:
    """Drop the upload sessions that nobody wrote to for a day."""
    swept = uploads.sweep(store, time.time() - _SESSION_AGE)
    if swept:
        log.info("%d upload sessions that nobody wrote to for a day were dropped", swept)
