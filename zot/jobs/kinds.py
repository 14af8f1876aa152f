"""The kinds of jobs, as functions of a run."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from zot.gc import clock, passes
from zot.gc.passes import Settings
from zot.jobs import records
from zot.jobs.running import Run

log = logging.getLogger(__name__)

# A full pass is made once a day, or as often as it takes at most this part of the time.
_DAY = 24 * 3600.0
_PART = 20
# Scrub reads so many bytes a second.
SCRUB_RATE = 64e6


def collect(run: Run) -> None:
    """Collect garbage where something changed, and everywhere when that has not been done for long."""
    settings = settings_of(run)
    passes.over_changed(run.store, settings, run)
    if is_full_pass_due(run):
        collect_all(run, resume=True)


def collect_all(run: Run, *, resume: bool = False) -> None:
    """Collect garbage everywhere."""
    begun = time.time()
    run.record.notes["rules"] = run.store.retention.fingerprint
    passes.over_all(run.store, settings_of(run), run, resume=resume)
    run.record.notes["fullSeconds"] = time.time() - begun


def settings_of(run: Run) -> Settings:
    """Return how the passes of a run go, after a look at the clock."""
    suspended = clock.suspicion(run.store.storage, clock.read())
    if suspended:
        log.warning("deletion of tags is %s", suspended)
        if suspended not in run.record.problems:
            run.record.complain(f"deletion of tags is {suspended}")
    return Settings(run.record.dry_run, suspended)


def is_full_pass_due(run: Run) -> bool:
    """Tell whether the last full pass was by other rules, or is so long ago that another costs little or is needed."""
    for record in records.newest(run.store.storage, run.record.kind):
        if "fullSeconds" in record.notes and not record.dry_run:
            if record.notes["rules"] != run.store.retention.fingerprint:
                return True
            since = time.time() - record.ended
            return since < 0 or since > min(_PART * record.notes["fullSeconds"], _DAY)
    return True


def scrub(run: Run) -> None:
    """Read everything again, from where the last run stopped."""
    passes.scrub_all(run.store, SCRUB_RATE, run, resume=True)


SCHEDULED: dict[str, Callable[[Run], None]] = {"gc": collect, "scrub": scrub}
