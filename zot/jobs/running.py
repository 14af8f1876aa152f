"""Running a job: under its lease, with a record of what it did."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from zot.gc.cleaning import Cleaned
from zot.gc.scrubbing import Scrubbed
from zot.jobs import lease, records
from zot.jobs.lease import Lease
from zot.jobs.records import BODIES, Record
from zot.registry.store import Store
from zot.storage.protocol import Lapsed, StorageError

log = logging.getLogger(__name__)

# The record of a run under way is written this often, in seconds.
_SAVED = 5.0
# After so many repositories in a row the store itself is asked.
_MOST_IN_A_ROW = 10
# Of so many faults of ours a run logs where they were; there may be one for each repository.
_TRACED = 10
_NAMED = 5
_FAULT = "this is a fault of zot: "
# Jobs that must not go on side by side take one lease.
_LEASES = {"retention": "gc"}


class StoppedError(Exception):
    """The run was told to stop; what it did stays, and the next one goes on."""


class RefusedError(Exception):
    """The job can't be done as it was asked for; nothing was changed."""


class Run:
    """A run under way. `stopping` tells whether it is to end; `shown` is told each repository that is done."""

    def __init__(
        self,
        store: Store,
        record: Record,
        held: Lease,
        stopping: Callable[[], bool],
        shown: Callable[[Cleaned | Scrubbed], None],
    ) -> None:
        self.store = store
        self.record = record
        self._held = held
        self._stopping = stopping
        self._shown = shown
        self._saved = time.monotonic()
        self._passed_over: set[str] = set()
        self._in_a_row = 0

    def go_on(self) -> None:
        """Raise `StoppedError` or `LostError` if the run has to end."""
        if self._stopping():
            raise StoppedError
        self._held.check()

    @contextmanager
    def apart(self, name: str) -> Iterator[None]:
        """Note what fails for one repository, and let the others have their turn, unless the store itself fails."""
        try:
            yield
        except (StoppedError, lease.LostError, RefusedError, Lapsed):
            raise
        except Exception as error:
            # A fault of ours too must not keep all repositories after this one from being cleaned, in each run.
            fault = not isinstance(error, StorageError)
            what = f"{_FAULT}{type(error).__name__}: {error}" if fault else str(error)
            log.error("%s is passed over: %s", name, what, exc_info=fault and len(self._passed_over) < _TRACED)
            if name not in self._passed_over:
                self.record.complain(f"{name} is passed over: {what}")
            self._passed_over.add(name)
            self._in_a_row += 1
            if self._in_a_row == _MOST_IN_A_ROW:
                # So many in a row may be for the whole store: then this raises.
                self.store.check()
                self._in_a_row = 0
        else:
            self._in_a_row = 0

    def conclude(self) -> None:
        """Say what became of the run as a whole."""
        self.record.outcome = "failed" if self._passed_over else "done"
        if self._passed_over:
            names = sorted(self._passed_over)
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            self.record.message = f"repositories that were passed over: {', '.join(names[:_NAMED])}{more}"

    def cleaned(self, done: Cleaned) -> None:
        """Note what became of a repository."""
        self.record.repositories += 1
        for removal in done.removed:
            self.record.add(
                done.plan.name, removal.kind, removal.reference, removal.size, removal.why or removal.reason.value
            )
        if done.bodies:
            self.record.notes[BODIES] = self.record.notes.get(BODIES, 0) + done.bodies
        for problem in done.plan.problems:
            self.record.complain(f"{done.plan.name}: {problem}")
        self._tell(done)

    def _tell(self, done: Cleaned | Scrubbed) -> None:
        """Show what was done, and keep the record now and then."""
        self._shown(done)
        if time.monotonic() - self._saved > _SAVED:
            records.save(self.store.storage, self.record)
            self._saved = time.monotonic()

    def scrubbed(self, done: Scrubbed) -> None:
        """Note what was found in a repository."""
        record = self.record
        record.repositories += 1
        for key, count in (("manifests", done.manifests), ("blobs", done.blobs), ("bytes", done.size)):
            record.notes[key] = record.notes.get(key, 0) + count
        for finding in done.findings:
            kind = "mended" if finding.mended else "damaged"
            record.add(done.repository, kind, str(finding.digest), 0, finding.problem)
            where = " ".join(f"{done.repository}:{tag}" for tag in finding.tags) or done.repository
            record.complain(f"{where}: {finding.digest}: {finding.problem}")
        for problem in done.problems:
            record.add(done.repository, "damaged", "", 0, problem)
            record.complain(f"{done.repository}: {problem}")
        self._tell(done)

    def dropped(self, what: str, size: int) -> None:
        """Note that something of the storage's own went."""
        self.record.add("", "leftover", what, size, "leftover")


def run(
    store: Store,
    record: Record,
    work: Callable[[Run], None],
    *,
    stopping: Callable[[], bool] = lambda: False,
    shown: Callable[[Cleaned | Scrubbed], None] = lambda _: None,
) -> Record:
    """Do some work and return the record of it. Raises `HeldError` if it is being done already."""
    with lease.take(store.storage, _LEASES.get(record.kind, record.kind), stopping) as held:
        records.begin(store.storage, record)
        try:
            under_way = Run(store, record, held, stopping, shown)
            work(under_way)
            under_way.conclude()
        except StoppedError:
            record.outcome = "stopped"
        except RefusedError as error:
            record.outcome, record.message = "refused", str(error)
            log.warning("%s was refused: %s", record.kind, error)
        except (StorageError, lease.LostError) as error:
            record.outcome, record.message = "failed", str(error)
            log.error("%s failed: %s", record.kind, error)
        except Exception as error:
            # The last resort: a fault of ours too must leave a record, and give the lease back.
            record.outcome, record.message = "failed", f"{_FAULT}{type(error).__name__}: {error}"
            log.exception("%s failed", record.kind)
        finally:
            record.ended = time.time()
            store.gathered.flush(store.storage)
            records.save(store.storage, record)
    return record
