"""What jobs did, as zot's metrics say it. Counted by the leader, which outlives the processes of the jobs."""

from __future__ import annotations

import logging
from collections import Counter as Counting
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from zot.jobs import records, sizes
from zot.jobs.slots import Slots
from zot.storage.protocol import Storage, StorageError

log = logging.getLogger(__name__)

# How urgent zot takes them to be. Here each has a thread of its own, and none goes before another.
_PRIORITIES = {"gc": "medium", "scrub": "low"}
_STATES = ("waiting", "ready", "done")
_BUCKETS = (0.5, 1, 5, 15, 60, 300, 1800, 7200, 43200)
_TYPES = {"manifest": "manifest", "blob": "blob", "leftover": "upload", "tag": "tag"}


class JobMetrics:
    """Counters of the jobs of one store. Where the server's processes share theirs, these are among them.

    A job is `waiting` for its time, `ready` when that has come and until it has ended, or `done` for good.
    """

    def __init__(self, kinds: Iterable[str]) -> None:
        registry = CollectorRegistry()
        self._states = dict.fromkeys(kinds, "waiting")
        self._generators = Counter("zot_scheduler_generators", "Jobs that leaders have taken up.", registry=registry)
        self._status = Gauge(
            "zot_scheduler_generators_status", "Jobs by what becomes of them.", ["priority", "state"],
            multiprocess_mode="livesum", registry=registry,
        )  # fmt: skip
        self._queued = Gauge(
            "zot_scheduler_tasksqueue_length", "Jobs that wait for another one to end.", ["priority"],
            multiprocess_mode="livesum", registry=registry,
        )  # fmt: skip
        self._tasks = Histogram(
            "zot_scheduler_workers_tasks_duration_seconds", "How long the processes of jobs took.", ["name"],
            buckets=_BUCKETS, registry=registry,
        )  # fmt: skip
        self._runs = Counter("zot_gc_runs", "Runs of garbage collection.", ["error"], registry=registry)
        self._seconds = Summary("zot_gc_duration_seconds", "How long they took.", registry=registry)
        self._deleted = Counter("zot_gc_deleted", "What they removed.", ["type"], registry=registry)
        self._freed = Counter("zot_gc_freed_bytes", "Bytes that they removed.", registry=registry)

    def begin(self) -> None:
        """Note that the jobs are taken up."""
        self._generators.inc(len(self._states))
        for kind in self._states:
            self.becomes(kind, "waiting")
            self._queued.labels(_PRIORITIES[kind]).set(0)

    def becomes(self, kind: str, state: str) -> None:
        """Note what becomes of a job."""
        self._states[kind] = state
        known = [(_PRIORITIES[kind], state) for kind, state in self._states.items()]
        for one in _STATES:
            self._status.labels(_PRIORITIES[kind], one).set(known.count((_PRIORITIES[kind], one)))

    @contextmanager
    def queued(self, kind: str) -> Iterator[None]:
        """Count a job that waits for another one to end."""
        with self._queued.labels(_PRIORITIES[kind]).track_inprogress():
            yield

    def took(self, kind: str, seconds: float) -> None:
        """Count the time of a job's process."""
        self._tasks.labels(kind).observe(seconds)

    def count(self, storage: Storage, kind: str, code: int) -> None:
        """Take in the last run of a kind, whose process ended with a code."""
        if kind != "gc":
            return
        self._runs.labels(error="true" if code else "false").inc()
        if code not in (0, 1):
            # It was killed before it could say what it removed.
            return
        try:
            record = next(records.newest(storage, kind), None)
        except StorageError as error:
            log.warning("what %s removed is not counted: %s", kind, error)
            return
        if record is None or record.dry_run:
            return
        self._seconds.observe(max(record.ended - record.started, 0.0))
        self._freed.inc(record.freed)
        for what, label in _TYPES.items():
            self._deleted.labels(type=label).inc(record.removed.get(what, 0))


class Looked(Collector):
    """What is looked at when somebody asks, in what the processes of a server share: places for jobs, and sizes."""

    def __init__(self, directory: str, slots: Slots, routes: Iterable[str]) -> None:
        self._directory = directory
        self._slots = slots
        self._routes = tuple(routes)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield how many places are taken and free, and how large repositories are."""
        workers = GaugeMetricFamily("zot_scheduler_workers", "Places for processes of jobs.", labels=["state"])
        working = self._slots.busy()
        workers.add_metric(["working"], working)
        workers.add_metric(["idle"], len(self._slots) - working)
        yield workers
        bytes_ = GaugeMetricFamily("zot_repo_storage_bytes", "How large a repository is.", labels=["repo"])
        added: Counting[str] = Counting()
        for route in self._routes:
            added.update(sizes.read(self._directory, route))
        for name, size in added.items():
            bytes_.add_metric([name], size)
        yield bytes_
