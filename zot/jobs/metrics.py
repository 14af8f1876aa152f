"""What jobs did, as zot's metrics say it. Counted by the leader, which outlives the processes of the jobs."""

from __future__ import annotations

import logging

from prometheus_client import CollectorRegistry, Counter, Summary

from zot.jobs import records
from zot.storage.protocol import Storage, StorageError

log = logging.getLogger(__name__)

_TYPES = {"manifest": "manifest", "blob": "blob", "leftover": "upload", "tag": "tag"}


class JobMetrics:
    """Counters of garbage collection. Where the server's processes share theirs, these are among them."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._runs = Counter("zot_gc_runs", "Runs of garbage collection.", ["error"], registry=registry)
        self._seconds = Summary("zot_gc_duration_seconds", "How long they took.", registry=registry)
        self._deleted = Counter("zot_gc_deleted", "What they removed.", ["type"], registry=registry)
        self._freed = Counter("zot_gc_freed_bytes", "Bytes that they removed.", registry=registry)

    def count(self, storage: Storage, kind: str, code: int) -> None:
        """Take in the last run of a kind, whose process ended with a code."""
        if kind != "gc" or code not in (0, 1):
            return
        self._runs.labels(error="true" if code else "false").inc()
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
