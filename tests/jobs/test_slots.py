"""How many jobs run at once on a server, and that they give way to everything else."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.servers import PATIENCE, environment, running_server, wait_until
from zot.jobs import scheduler
from zot.jobs.scheduler import Scheduler, Timing
from zot.jobs.slots import Slots
from zot.storage.memory import Memory

STORES = ("a", "b", "c")


def test_a_place_is_taken_for_as_long_as_a_process_has_it(tmp_path: Path) -> None:
    """Whoever finds no place waits until a process that has one has ended, unless it does not want one any more."""
    one, other = Slots(str(tmp_path), 1), Slots(str(tmp_path), 1)
    place = one.take(lambda _: True)
    assert place is not None
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[place]) as process:
        os.close(place)
        assert (other.busy(), len(other)) == (1, 1)
        assert other.take(lambda _: True) is None
        waited: list[float] = []

        def wait(seconds: float) -> bool:
            waited.append(seconds)
            process.kill()
            process.wait()
            return False

        assert other.take(wait) is not None
        assert len(waited) == 1


def test_a_job_that_could_not_be_started_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where no file can be opened for its place, a job is logged and planned anew, and not forgotten."""
    monkeypatch.setattr(scheduler, "_AGAIN", 0.0)
    shared = tmp_path / "shared"
    jobs = Scheduler(Memory(), "/", "{}", [Timing("gc", 0.1)], Slots(str(shared), 1))
    jobs.start()
    try:
        wait_until(lambda: caplog.text.count("the job gc can't be started") > 1, "a second try")
    finally:
        jobs.stop()


def test_a_stop_while_a_job_begins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """However soon after its start it is stopped, no thread of the scheduler ends with an error."""
    failed: list[object] = []
    monkeypatch.setattr(threading, "excepthook", failed.append)
    monkeypatch.setattr(Scheduler, "_run", lambda *_: None)
    switching = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(100):
            jobs = Scheduler(Memory(), "/", "{}", [Timing("gc", 60.0)], Slots(str(tmp_path), 1))
            jobs.start()
            jobs.stop()
    finally:
        sys.setswitchinterval(switching)
    assert failed == []


def test_a_job_whose_window_closed_while_it_waited_waits_for_the_next(tmp_path: Path) -> None:
    """It is not begun outside of its window, however long it waited for a place, and leaves the place to others."""
    begin, end = (datetime.now(UTC) + timedelta(hours=hours) for hours in (2, 3))
    timing = Timing("gc", 60.0, f"{begin:%H:%M}-{end:%H:%M}")
    slots = Slots(str(tmp_path), 1)
    jobs = Scheduler(Memory(), "/", "{}", [timing], slots)
    jobs._run(timing)
    assert jobs._scheduler.get_job("gc").trigger.run_date == begin.replace(second=0, microsecond=0)
    assert slots.busy() == 0


def job_processes(of: int) -> int:
    """Return how many jobs run that descend from a process."""
    count, waiting = 0, [of]
    while waiting:
        parent = waiting.pop()
        # A process may end while it is looked at.
        with suppress(FileNotFoundError, ProcessLookupError):
            count += b"zot.jobs.run\0" in Path(f"/proc/{parent}/cmdline").read_bytes()
            for task in Path(f"/proc/{parent}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
    return count


@pytest.mark.parametrize(("setting", "most"), [({"numWorkers": 1}, 1), ({}, 2)])
def test_a_server_runs_so_many_jobs_at_once(tmp_path: Path, setting: dict[str, int], most: int) -> None:
    """However many stores want to clean at the same time, all get their turn, and never more run than may."""
    sub_paths = {f"/{one}": {"rootDirectory": str(tmp_path / one), "gc": True, "gcInterval": "1s"} for one in STORES}
    settings = {"scheduler": setting, "storage": {"gcInterval": "1s", "subPaths": sub_paths}}
    roots = [tmp_path / "root", *(tmp_path / one for one in STORES)]
    seen, end = {0}, time.monotonic() + PATIENCE
    with running_server(tmp_path, "--workers", "1", settings=settings) as server:
        while max(seen) < most or not all(list(root.glob("_zot-blobs/jobs/runs/*")) for root in roots):
            assert time.monotonic() < end
            seen.add(job_processes(server.pid))
            time.sleep(0.005)
    assert max(seen) == most


def test_a_job_gives_way() -> None:
    """Its process is nicer, is scheduled as a batch, and comes last at the disk."""
    program = (
        "import os; from zot.storage import linux; linux.give_way()\n"
        "print(os.nice(0), os.sched_getscheduler(0) == os.SCHED_BATCH, flush=True)\n"
        "input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().split() == [str(min(os.nice(0) + 10, 19)), "True"]
        shown = subprocess.run(["ionice", "-p", str(process.pid)], capture_output=True, text=True, check=True)
        assert shown.stdout.strip() == "best-effort: prio 7"
        process.kill()
