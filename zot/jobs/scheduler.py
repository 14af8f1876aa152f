"""When jobs run. Each run is a child process; how often, and whether now, is decided here.

A job runs again when its interval has passed since the end of its last run, which the store remembers: a server that is
started again and again neither runs it each time nor never. A run that was missed, or that failed to end, is made up
for once.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from zot.config.values import read_window
from zot.jobs import records
from zot.jobs.metrics import JobMetrics
from zot.jobs.run import HELD
from zot.jobs.slots import Slots
from zot.storage.protocol import Storage, StorageError

log = logging.getLogger(__name__)

# The clock has jumped when it moves by more than this, in seconds, beside the steady one.
_JUMP = 30.0
# A job that failed, or that another server does, is tried again after so many seconds at the soonest.
_AGAIN = 60.0
# Scrub begins at the soonest so many seconds after it ended, as zot has it.
SHORTEST_SCRUB = 2 * 3600.0
_STOPPED_IN = 10.0


class Timing(NamedTuple):
    """When a job runs: every so many seconds, or once if 0, and only from one time of the day (UTC) to another."""

    kind: str
    interval: float
    window: str = ""


class Scheduler:
    """Runs the jobs of one store, which this process leads."""

    def __init__(self, storage: Storage, route: str, config: str, timings: list[Timing], slots: Slots) -> None:
        self._storage = storage
        self._command = ["--store", route, "--parent", str(os.getpid())]
        self._config = config.encode()
        self._timings = timings
        self._slots = slots
        self._metrics = JobMetrics(timing.kind for timing in timings)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._guard = threading.Lock()
        self._stopping = threading.Event()
        self._clocks = (time.time(), time.monotonic())
        logging.getLogger("apscheduler").setLevel(logging.WARNING)
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(max(len(timings), 1))},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )

    def start(self) -> None:
        """Begin to run what is due."""
        self._metrics.begin()
        for timing in self._timings:
            self._plan(timing, self._next_run(timing))
        self._scheduler.start()

    def look_after(self) -> None:
        """See whether the clock has jumped, and if so plan anew: what was planned stands in the old time."""
        wall, steady = time.time(), time.monotonic()
        moved = (wall - self._clocks[0]) - (steady - self._clocks[1])
        self._clocks = (wall, steady)
        if abs(moved) > _JUMP:
            log.warning("the clock has jumped by %.0f seconds; jobs are planned anew", moved)
            for timing in self._timings:
                if timing.kind not in self._running:
                    self._plan(timing, self._next_run(timing))

    def stop(self) -> None:
        """Let what runs end in order, and run nothing more."""
        with self._guard:
            self._stopping.set()
            running = list(self._running.values())
        for process in running:
            process.terminate()
        deadline = time.monotonic() + _STOPPED_IN
        for process in running:
            try:
                process.wait(max(deadline - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._scheduler.running:
            # This waits for its thread to have started what is due; in the middle of that a shutdown makes it fail.
            self._scheduler.remove_all_jobs()
            self._scheduler.shutdown(wait=True)

    def _plan(self, timing: Timing, when: float | None) -> None:
        if when is None or self._stopping.is_set():
            return
        moment = datetime.fromtimestamp(into_window(when, timing.window), UTC)
        self._scheduler.add_job(
            self._run, "date", run_date=moment, args=[timing], id=timing.kind, replace_existing=True
        )

    def _next_run(self, timing: Timing) -> float | None:
        """Return when a job is due by what the store remembers; None if it is to run once and has."""
        now = time.time()
        try:
            last = next((one for one in records.newest(self._storage, timing.kind) if one.by == "schedule"), None)
        except StorageError as error:
            log.warning("the last run of %s can't be read: %s", timing.kind, error)
            return now + _AGAIN
        if last is None or not timing.interval:
            return now
        ended = last.ended or last.started
        # A time in the future was written by a clock that was wrong then, or is wrong now.
        return max(now, min(ended, now) + timing.interval)

    def _run(self, timing: Timing) -> None:
        """Run a job in a child process, wait for it, and plan the next run."""
        self._metrics.becomes(timing.kind, "ready")
        try:
            code = self._child(timing)
        except OSError as error:
            # No more files or processes; later there may be some.
            log.error("the job %s can't be started: %s", timing.kind, error)
            code = 1
        if self._stopping.is_set():
            return
        now = time.time()
        if code is None:
            self._metrics.becomes(timing.kind, "waiting")
            self._plan(timing, now)
            return
        if code:
            log.log(logging.INFO if code == HELD else logging.WARNING, "the job %s ended with %s", timing.kind, code)
        self._metrics.becomes(timing.kind, "waiting" if timing.interval else "done")
        if timing.interval:
            pause = timing.interval if code == 0 else max(_AGAIN, timing.interval)
            self._plan(timing, now + pause)

    def _child(self, timing: Timing) -> int | None:
        """Run a job when there is a place for it; None if by then it is not to be run, or its window has closed."""
        kind = timing.kind
        with self._metrics.queued(kind):
            place = self._slots.take(self._stopping.wait)
        if place is None:
            return None
        try:
            now = time.time()
            if into_window(now, timing.window) > now:
                log.info("the job %s waits for its window %s", kind, timing.window)
                return None
            with self._guard:
                if self._stopping.is_set():
                    return None
                command = [sys.executable, "-m", "zot.jobs.run", kind, *self._command]
                process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=[place])
                self._running[kind] = process
            begun = time.monotonic()
            process.communicate(self._config)
            self._metrics.took(kind, time.monotonic() - begun)
        finally:
            os.close(place)
            with self._guard:
                self._running.pop(kind, None)
        if process.returncode != HELD:
            self._metrics.count(self._storage, kind, process.returncode)
        return process.returncode


def into_window(when: float, window: str) -> float:
    """Return the first time from `when` on, in seconds since 1970, that lies in a window such as `22:00-04:00`, UTC."""
    if not window:
        return when
    begin, end = read_window(window)
    moment = datetime.fromtimestamp(when, UTC)
    now = moment.time()
    inside = begin <= now < end if begin < end else now >= begin or now < end
    if inside:
        return when
    opens = moment.replace(hour=begin.hour, minute=begin.minute, second=0, microsecond=0)
    return (opens if opens > moment else opens + timedelta(days=1)).timestamp()
