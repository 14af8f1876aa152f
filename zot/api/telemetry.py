"""What is counted of requests, in zot's names where it has them.

The counters of all workers are files that they write through shared memory, so sums are right at any time, also when a
worker was killed. Nothing here grows with what clients send: methods, and the names of repositories, are bounded.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary
from prometheus_client.multiprocess import mark_process_dead

from zot.storage.protocol import Storage

# Neither can be the name of a repository.
OTHER = "(other)"
NONE = "N/A"
MOST_REPOSITORIES = 1000
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_LOCK_BUCKETS = (0.001, 0.01, 0.1, 1, 5, 10, 15, 30, 60)
_BUCKETS = (0.05, 0.5, 1, 5, 30, 60, 600)


class Names:
    """The repositories that have numbers of their own, the same in all processes; those that come later are `OTHER`.

    `file` is shared by the processes; without one this is the only process.
    """

    def __init__(self, file: str | None, most: int = MOST_REPOSITORIES) -> None:
        self._file = file
        self._most = most
        self._known: frozenset[str] = frozenset()
        self._guard = threading.Lock()

    def label(self, name: str) -> str:
        """Return the repository's name, or `OTHER`."""
        if name in self._known:
            return name
        if len(self._known) >= self._most:
            return OTHER
        with self._guard:
            self._known = self._admitted(name)
        return name if name in self._known else OTHER

    def _admitted(self, name: str) -> frozenset[str]:
        if self._file is None:
            return self._known | {name}
        with open(self._file, "a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            known = frozenset(file.read().split())
            if name in known or len(known) >= self._most:
                return known
            file.write(f"{name}\n")
            return known | {name}


class Telemetry:
    """Counts requests. Shared by threads. `registry` has what this process counted."""

    def __init__(self, registry: CollectorRegistry, names: Names) -> None:
        self.registry = registry
        self._names = names
        self._requests = Counter("zot_http_requests", "Requests answered.", ["method", "code"], registry=registry)
        self._seconds = Histogram(
            "zot_http_method_latency_seconds",
            "How long requests took, with their bodies and answers.",
            ["method"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._repository_seconds = Summary(
            "zot_http_repo_latency_seconds", "How long requests to a repository took.", ["repo"], registry=registry
        )
        self._uploads = Counter("zot_repo_uploads", "Manifests pushed.", ["repo"], registry=registry)
        self._downloads = Counter("zot_repo_downloads", "Manifests pulled.", ["repo"], registry=registry)
        self._copies = Counter(
            "zot_storage_copies", "Blobs stored once more because a hard link was not possible.", registry=registry
        )
        self._damages = Counter(
            "zot_storage_damages", "Content found missing or wrong when it was used.", registry=registry
        )
        self._locks = Histogram(
            "zot_storage_lock_latency_seconds", "How long requests waited for a repository's lock and held it.",
            ["store", "lock_type"], buckets=_LOCK_BUCKETS, registry=registry,
        )  # fmt: skip
        self._leaders = Gauge(
            "zot_leader_up", "Whether the leader process of a store runs.", ["store"],
            multiprocess_mode="mostrecent", registry=registry,
        )  # fmt: skip
        self._leader_starts = Counter("zot_leader_starts", "Starts of leader processes.", ["store"], registry=registry)
        self._children: dict[tuple[object, ...], Any] = {}

    def copied(self) -> None:
        """Count a blob that could not be shared."""
        self._copies.inc()

    def damaged(self) -> None:
        """Count content that was found damaged."""
        self._damages.inc()

    def time_locks(self, store: str, storage: Storage) -> None:
        """Count how long this process' locks of a store take from now on: the waiting and the holding, as zot does."""
        lock = storage.lock
        shared_ones, exclusive_ones = (self._locks.labels(store, kind) for kind in ("RLock", "RWLock"))

        @contextmanager
        def timed(name: str, *, shared: bool) -> Iterator[None]:
            with (shared_ones if shared else exclusive_ones).time(), lock(name, shared=shared):
                yield

        storage.lock = timed  # type: ignore[method-assign]  # no driver need know that it is watched

    def leader(self, store: str, pid: int, is_up: bool) -> None:
        """Note that the leader process of a store was started, or has ended; only the master calls this."""
        if not is_up:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]  # the library has no types here
        self._leaders.labels(store).set(is_up)
        self._leader_starts.labels(store).inc(is_up)

    def answered(self, environ: dict[str, Any], status: int) -> None:
        """Count a request whose answer begins, so that whoever was answered has been counted."""
        method = environ["REQUEST_METHOD"]
        self._child(self._requests, method if method in _METHODS else OTHER, str(status)).inc()
        if "/manifests/" in environ["PATH_INFO"] and (name := environ.get("zot.repository")):
            if status == 201 and method == "PUT":
                self._child(self._uploads, self._names.label(name)).inc()
            elif status == 200 and method in ("GET", "HEAD"):
                self._child(self._downloads, self._names.label(name)).inc()

    def finished(self, environ: dict[str, Any], status: int, seconds: float) -> None:
        """Count the time of a request whose answer is out."""
        method = environ["REQUEST_METHOD"]
        self._child(self._seconds, method if method in _METHODS else OTHER).observe(seconds)
        name = environ.get("zot.repository")
        # Only names of repositories that are there: others are what any client makes up.
        label = self._names.label(name) if name and status in (200, 201, 206) else NONE
        self._child(self._repository_seconds, label).observe(seconds)

    def _child(self, metric: Any, *labels: str) -> Any:
        key = (metric, *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*labels)
        return child


def shared_names() -> Names:
    """Return names that all processes share, if they have a directory for that."""
    directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    return Names(None if directory is None else f"{directory}/repositories")
