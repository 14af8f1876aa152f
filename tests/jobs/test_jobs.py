"""Leases, records, and when jobs run."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.gc.conftest import Pushes
from tests.gc.worlds import Clock
from tests.servers import environment, wait_until
from zot.gc import clock
from zot.jobs import kinds, lease, records
from zot.jobs.lease import HeldError, LostError
from zot.jobs.records import Record
from zot.jobs.running import Run, run
from zot.jobs.scheduler import Scheduler, Timing, into_window
from zot.jobs.slots import Slots
from zot.oci.globs import compile_glob
from zot.oci.patterns import Pattern
from zot.registry import manifests, paths, repositories
from zot.registry.retention import Keep, Policy, Retention
from zot.registry.store import Store
from zot.storage.filesystem import Filesystem
from zot.storage.memory import Memory
from zot.storage.protocol import Unavailable


def test_a_lease_has_one_holder() -> None:
    """While one holds it another is told who does; afterwards it is free, and its number has grown."""
    storage = Memory()
    with lease.take(storage, "gc") as first:
        first.check()
        with pytest.raises(HeldError, match=f"process {os.getpid()}"), lease.take(storage, "gc"):
            pass
        with lease.take(storage, "scrub"):
            pass
    with lease.take(storage, "gc") as second:
        assert second.number == first.number + 1


@pytest.mark.parametrize(
    "successor", [{"number": 2, "owner": "elsewhere-1-1"}, {"number": 1, "owner": "elsewhere-1-1"}]
)
def test_a_lost_lease_is_not_given_back(successor: dict[str, Any]) -> None:
    """Who stood still for so long that another has it leaves it to that one, also if its numbers began anew."""
    storage, key = Memory(), f"{paths.JOBS}/leases/gc"
    theirs = json.dumps({**successor, "host": "far", "process": 1, "until": 4e9}).encode()
    with lease.take(storage, "gc") as held:
        storage.write(key, theirs)
        with pytest.raises(lease.LostError):
            held._renewed(theirs)
    assert json.loads(storage.read(key)) == json.loads(theirs)


def test_a_lease_of_a_dead_process_is_free_at_once(tmp_path: Path) -> None:
    """Whoever was killed does not keep others out until the lease runs out."""
    storage = Filesystem(str(tmp_path), private=paths.PRIVATE)
    storage.start()
    program = (
        "import os, sys; from zot.jobs import lease; from zot.storage.filesystem import Filesystem\n"
        f"storage = Filesystem({str(tmp_path)!r}, private={paths.PRIVATE!r})\n"
        "with lease.take(storage, 'gc'): os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", program], env=environment(), check=False).returncode == 9
    with lease.take(storage, "gc") as held:
        assert held.number == 2


@pytest.mark.parametrize("document", [b"", b"\0", b"[]"])
def test_a_damaged_lease_is_nobodys(document: bytes) -> None:
    """Whoever comes next has it."""
    storage = Memory()
    storage.write(f"{paths.JOBS}/leases/gc", document)
    with lease.take(storage, "gc") as held:
        held.check()
        with pytest.raises(HeldError), lease.take(storage, "gc"):
            pass


def test_a_lease_outlives_a_clock_that_jumps(monkeypatch: pytest.MonkeyPatch) -> None:
    """While its holder lives on this machine nobody else has it, whatever the clock shows."""
    storage = Memory()
    with lease.take(storage, "gc"):
        monkeypatch.setattr(time, "time", lambda: 4e9)
        with pytest.raises(HeldError), lease.take(storage, "gc"):
            pass


@pytest.mark.parametrize("until", [1.0, 4e9])
def test_a_lease_of_another_machine_is_watched(monkeypatch: pytest.MonkeyPatch, until: float) -> None:
    """Whatever time its holder's clock shows: one that is renewed is held, one that is not is free when it has run out.

    Whoever is told to stop meanwhile does not have it.
    """
    monkeypatch.setattr(lease, "_WATCHED", 0.01)
    storage, key = Memory(), f"{paths.JOBS}/leases/gc"
    document = {"host": "far", "process": 1, "owner": "elsewhere-1-1", "number": 7, "until": until}
    storage.write(key, json.dumps(document).encode())
    with pytest.raises(HeldError, match="process 1 on far"), lease.take(storage, "gc", lambda: True):
        pass
    seen = threading.Event()

    def renew() -> None:
        for count in itertools.count(1):
            storage.write(key, json.dumps(document | {"until": until + count}).encode())
            if seen.wait(0.02):
                return

    renewing = threading.Thread(target=renew)
    renewing.start()
    with pytest.raises(HeldError), lease.take(storage, "gc"):
        pass
    seen.set()
    renewing.join()
    monkeypatch.setattr(lease, "LASTS", 0.1)
    with lease.take(storage, "gc") as held:
        assert held.number == 8


def test_a_lease_that_is_not_renewed_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A holder that can't renew it stops before it has run out; one whom another has replaced stops at once."""
    monkeypatch.setattr(lease, "_BEAT", 0.01)
    storage = Memory()
    with lease.take(storage, "gc") as held:
        storage.update(f"{paths.JOBS}/leases/gc", lambda _: b'{"number": 7, "until": 0}')
        wait_until(lambda: _lost(held), "it is lost")
    monkeypatch.setattr(lease, "LASTS", lease._MARGIN + 0.05)

    class Failing(Memory):
        def update(self, key: str, change: object, *, new_directory: bool = False) -> None:
            raise Unavailable("not now")

    with lease.take(storage, "other") as held:
        held._storage = Failing()
        wait_until(lambda: _lost(held), "it is lost")
        held._storage = storage


def _lost(held: lease.Lease) -> bool:
    try:
        held.check()
    except LostError:
        return True
    return False


def test_two_at_once_get_one_lease() -> None:
    """Of many that begin together one has it, and the others are told."""
    storage = Memory()
    ready, had = threading.Barrier(8), list[int]()

    def compete() -> None:
        ready.wait()
        try:
            with lease.take(storage, "gc") as held:
                wait_until(lambda: len(had) == 7, "the others are told")
                had.append(held.number)
        except HeldError:
            had.append(0)

    threads = [threading.Thread(target=compete) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(had) == [0] * 7 + [1]


@pytest.mark.parametrize(
    ("error", "outcome", "message"),
    [
        (None, "done", ""),
        (Unavailable("the disk is away"), "failed", "the disk is away"),
        (ZeroDivisionError("oh"), "failed", "this is a fault of zot: ZeroDivisionError: oh"),
    ],
)
def test_a_run_leaves_a_record(error: Exception | None, outcome: str, message: str) -> None:
    """Whatever becomes of a run can be read afterwards, and its lease is free."""
    store = Store(Memory())

    def work(under_way: Run) -> None:
        under_way.record.add("a", "blob", "sha256:1", 7, "unreferenced")
        assert records.read(store.storage, under_way.record.id).outcome == "running"
        if error is not None:
            raise error

    made = run(store, Record("gc", "hand"), work)
    kept = records.read(store.storage, made.id)
    assert (kept.outcome, kept.message, kept.freed, kept.removed) == (outcome, message, 7, {"blob": 1})
    assert kept.ended >= kept.started > 0
    assert run(store, Record("gc", "hand"), lambda _: None).outcome == "done"


def test_a_run_that_is_told_to_stop_says_so() -> None:
    """It ends with its next step."""
    store = Store(Memory())
    assert run(store, Record("gc", "hand"), lambda one: one.go_on(), stopping=lambda: True).outcome == "stopped"


def test_a_run_that_was_killed_is_not_said_to_go_on(tmp_path: Path) -> None:
    """The record of a process of this machine that is gone says so; the one of a process that lives does not."""
    storage = Filesystem(str(tmp_path), private=paths.PRIVATE)
    storage.start()
    program = (
        "import os; from zot.jobs.running import run; from zot.jobs.records import Record\n"
        "from zot.registry.store import Store; from zot.storage.filesystem import Filesystem\n"
        f"storage = Filesystem({str(tmp_path)!r}, private={paths.PRIVATE!r})\n"
        "run(Store(storage), Record('gc', 'hand'), lambda _: os._exit(9))"
    )
    assert subprocess.run([sys.executable, "-c", program], env=environment(), check=False).returncode == 9
    killed = next(records.newest(storage))
    assert (killed.outcome, killed.ended, "owner" in killed.document()) == ("killed", 0.0, False)
    records.begin(storage, Record("gc", "hand"))
    assert next(records.newest(storage)).outcome == "running"


class _BadDisk(Memory):
    """A store that fails for some repositories."""

    bad: tuple[str, ...] = ()

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        if any(prefix == paths.manifests(name) for name in self.bad):
            raise Unavailable("the storage failed: Input/output error")
        return super().list(prefix, after)


@pytest.mark.parametrize("work", [kinds.collect_all, kinds.collect, kinds.scrub])
def test_a_repository_that_fails_keeps_no_other_from_its_turn(work: Callable[[Run], None]) -> None:
    """It is named, the run has failed, and what comes after it was looked at."""
    storage = _BadDisk()
    store = Store(storage, retention=Retention(gc_delay=0.0, delay=0.0))
    push = Pushes(store)
    for name in ("a", "bad", "z"):
        push.image(name)
    store.gathered.flush(storage)
    storage.bad = ("bad",)
    kept = run(store, Record("gc", "hand"), work)
    assert (kept.outcome, kept.message) == ("failed", "repositories that were passed over: bad")
    assert kept.problems[0] == "bad is passed over: the storage failed: Input/output error"
    assert kept.repositories >= 2
    if work is not kinds.scrub:
        assert list(repositories.names(store)) == ["bad"]
        storage.bad = ()
        run(store, Record("gc", "hand"), kinds.collect)
        assert not list(repositories.names(store))


@pytest.mark.parametrize("gone", [False, True])
def test_a_store_that_fails_ends_the_run(gone: bool) -> None:
    """After ten repositories in a row the store itself is asked: if it answers, the others have their turn."""
    storage = _BadDisk()
    store = Store(storage)
    storage.write(paths.FORMAT, b"1")
    names = [f"r{number:02}" for number in range(30)]
    for name in (*names, "z"):
        Pushes(store).image(name, "v1")
    storage.bad = tuple(names)
    if gone:
        storage.delete(paths.FORMAT)
    kept = run(store, Record("scrub", "hand"), kinds.scrub)
    assert kept.outcome == "failed"
    assert len(kept.problems) == (10 if gone else 30)
    assert kept.repositories == (0 if gone else 1)
    assert kept.message.startswith("the storage is gone" if gone else "repositories that were passed over: r00, r01")


def test_a_fault_in_each_repository_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """All are named; where the fault was is logged for the first ten."""
    storage = Memory()
    for number in range(13):
        Pushes(Store(storage)).image(f"r{number:02}")
    storage.write(paths.FORMAT, b"1")

    def work(done: Run) -> None:
        for name in repositories.names(done.store):
            with done.apart(name):
                raise ZeroDivisionError

    kept = run(Store(storage), Record("gc", "hand"), work)
    assert len(kept.problems) == 13
    assert [bool(one.exc_info) for one in caplog.records if "is passed over" in one.message] == [True] * 10 + [
        False
    ] * 3


def test_records_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the last ones are kept, and of what one removed only so much is listed; all is counted."""
    monkeypatch.setattr(records, "_KEPT", 5)
    monkeypatch.setattr(records, "_LISTED", 3)
    storage, clock = Memory(), Clock()
    for number in range(9):
        clock.now += 1
        record = Record("gc" if number % 2 else "scrub", "hand")
        for item in range(5):
            record.add("a", "blob", str(item), 1, "")
        with clock.running():
            records.begin(storage, record)
    assert len(list(records.newest(storage))) <= 6
    assert {one.kind for one in records.newest(storage, "gc")} == {"gc"}
    newest = next(records.newest(storage))
    assert (len(newest.listed), newest.removed["blob"]) == (3, 5)


@pytest.mark.parametrize(
    ("now", "window", "then"),
    [
        ("12:00", "", "12:00"),
        ("12:00", "11:00-13:00", "12:00"),
        ("13:00", "11:00-13:00", "+11:00"),
        ("10:59", "11:00-13:00", "11:00"),
        ("23:30", "22:00-04:00", "23:30"),
        ("03:59", "22:00-04:00", "03:59"),
        ("04:00", "22:00-04:00", "22:00"),
    ],
)
def test_windows(now: str, window: str, then: str) -> None:
    """A job begins within its window, which may go over midnight and does not hold its end."""

    def moment(text: str) -> float:
        hour, minute = (int(part) for part in text.removeprefix("+").split(":"))
        return datetime(2026, 3, 30 + text.startswith("+"), hour, minute, tzinfo=UTC).timestamp()

    assert into_window(moment(now), window) == moment(then)


@pytest.mark.parametrize(
    ("ended", "interval", "waits"),
    [(None, 3600.0, 0), (-100.0, 3600.0, 3500), (-9999.0, 3600.0, 0), (5000.0, 3600.0, 3600), (-100.0, 0.0, 0)],
)
def test_the_last_run_decides_about_the_next(ended: float | None, interval: float, waits: float) -> None:
    """A restart neither runs a job at once nor puts it off; what was missed is done now; the future is not believed."""
    storage = Memory()
    if ended is not None:
        record = records.begin(storage, Record("gc", "schedule"))
        record.ended = time.time() + ended
        records.save(storage, record)
        records.begin(storage, Record("gc", "hand"))
    scheduler = Scheduler(storage, "/", "{}", [], Slots("/nowhere", 1))
    before = time.time()
    planned = scheduler._next_run(Timing("gc", interval))
    assert planned is not None
    # The end of the last run is some moment before.
    assert before - 60 < planned - waits <= time.time()


def test_a_full_pass_is_due_by_what_it_costs() -> None:
    """A cheap one is done each time, a dear one so that it takes a twentieth of the time, each once a day."""
    store = Store(Memory())

    def is_due(seconds: float, ago: float, rules: str = store.retention.fingerprint) -> bool:
        record = records.begin(store.storage, Record("gc", "schedule", notes={"fullSeconds": seconds, "rules": rules}))
        record.outcome, record.ended = "done", time.time() - ago
        records.save(store.storage, record)
        found: list[bool] = []
        run(store, Record("gc", "hand"), lambda one: found.append(kinds.is_full_pass_due(one)))
        store.storage.delete(*(f"{paths.JOBS}/runs/{one}" for one in store.storage.list(f"{paths.JOBS}/runs")))
        return found[0]

    assert is_due(0.1, 3600)
    assert not is_due(600, 3600)
    assert is_due(600, 600 * 21)
    assert not is_due(10_000, 80_000)
    assert is_due(10_000, 90_000)
    assert is_due(600, -100)
    assert is_due(600, 3600, rules="other")


def test_a_clock_that_jumped_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """No tag goes in that run, though no rule keeps it; the log and the run's record say why."""
    policy = Policy((compile_glob("**"),), keep_tags=(Keep((Pattern("^v"),)),))
    store = Store(Memory(), retention=Retention(policies=(policy,)))
    Pushes(store).image("a", "latest")
    now = clock.read()
    clock.suspicion(store.storage, now._replace(wall=now.wall - 2 * 3600))
    record = run(store, Record("gc", "hand"), kinds.collect_all)
    assert record.outcome == "done"
    assert "the clock has jumped" in record.problems[0]
    assert "deletion of tags is suspended, as the clock has jumped by 2.0 hours" in caplog.messages
    assert manifests.describe(store, "a", "latest")
