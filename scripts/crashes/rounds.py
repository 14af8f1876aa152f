"""Rounds: start, check, let clients work, crash; again and again."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from scripts.crashes.audit import Audit
from scripts.crashes.book import Broken
from scripts.crashes.judge import Judge
from scripts.crashes.load import Hand
from scripts.crashes.sweeping import check_disk, sweep
from scripts.crashes.victims import Victim, wait_until
from scripts.history.client import Answer, Client, Lost, Refused, UnexpectedAnswer
from zot.registry import paths

_SAMPLE = 4
# The leader rests for nineteen times as long as its work took, and syncs are slow on a busy disk.
_CATCHES_UP = 120.0


@dataclass
class Plan:
    """What to do: how often, after how many seconds at the latest, how many clients, and what chance begins with.

    All repositories have the prefix; `root` is where their files are, if they are on disk. Now and then a blob has
    `large` bytes, if that is not 0. With `swept`, for a store that nobody else uses, all garbage is collected last.
    """

    crashes: int
    seconds: float
    clients: int
    seed: int
    prefix: str
    root: Path | None
    large: int = 0
    swept: bool = False


class Listener(Client):
    """A client of a machine that goes off."""

    def __init__(self, host: str, off: threading.Event) -> None:
        super().__init__(host)
        self._off = off

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request and read its answer; raises `Lost` if the machine was off before it came."""
        answer = super().request(method, path, body, headers)
        if self._off.is_set():
            raise Lost(f"{method} {path}: the machine is off")
        return answer


@dataclass
class Rounds:
    """A server, its clients, and what came of it so far. `crash` ends the server, and brings its disk back.

    Where `with_power` says so the whole machine is thought to go off, so no answer is heard after the crash began: a
    file system that was cut off goes on to answer, and xfs even calls a sync of a directory a success then.
    """

    plan: Plan
    victim: Victim
    crash: Callable[[], None]
    with_power: bool = False
    steps: int = 0
    asked: int = 0
    living: int = 0
    left: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        plan = self.plan
        self._chance = random.Random(plan.seed)  # noqa: S311  # chance decides when, and nothing else
        self._hands = [Hand(number, plan.clients, plan.prefix, plan.seed, plan.large) for number in range(plan.clients)]
        self._books = [hand.book for hand in self._hands]

    def run(self, tell: Callable[[str], None]) -> None:
        """Do all rounds and check everything in the end. Raises `Broken`."""
        begun = time.monotonic()
        for number in range(1, self.plan.crashes + 1):
            if self._chance.random() < 0.05:
                self._crash_at_start()
            else:
                self._round()
            self._audit()
            if number % 20 == 0 or number == self.plan.crashes:
                seconds = (time.monotonic() - begun) / number
                tell(f"{number} crashes, {self.steps} steps, {self.asked} requests to check, {seconds:.2f} s each")
        self._check_all()

    def _round(self) -> None:
        host = self.victim.start()
        with closing(Client(host)) as client:
            judge = Judge(client)
            judge.check_changed(self._books, self._chance, _SAMPLE)
            judge.check_lists(self._books, self._names())
        if self._chance.random() < 0.25:
            self._check_index()
        self.asked += judge.asked
        self._work_until_crash(host)

    def _crash_at_start(self) -> None:
        self.victim.begin()
        time.sleep(self._chance.random() * 0.6)
        self.crash()

    def _work_until_crash(self, host: str) -> None:
        crashed = threading.Event()
        wrong: list[Exception] = []
        threads = [threading.Thread(target=self._work, args=(hand, host, crashed, wrong)) for hand in self._hands]
        for thread in threads:
            thread.start()
        time.sleep(self._chance.random() * self.plan.seconds)
        crashed.set()
        self.crash()
        for thread in threads:
            thread.join()
        if wrong:
            raise Broken(str(wrong[0])) from wrong[0]

    def _work(self, hand: Hand, host: str, crashed: threading.Event, wrong: list[Exception]) -> None:
        """Work until the crash; what goes wrong before it is wrong."""
        client = Listener(host, crashed) if self.with_power else Client(host)
        try:
            while True:
                try:
                    hand.step(client)
                except Refused:
                    # A bucket has locks that outlive who was killed for some minutes; a disk has none.
                    if self.plan.root is not None or crashed.is_set():
                        raise
                self.steps += 1
        except (Lost, UnexpectedAnswer) as error:
            if not crashed.is_set():
                wrong.append(error)
        finally:
            client.close()

    def _audit(self) -> Audit | None:
        """Look at what the crash left on disk: it fits together, and is what the books allow."""
        if self.plan.root is None:
            return None
        audit = Audit(self.plan.root)
        audit.check()
        self.left = audit.left
        found = audit.registers()
        for book in self._books:
            for register in (*book.living(), *book.gone):
                book.compare(register, found.pop(register, None))
        for register in found:
            if register.name.startswith(f"{self.plan.prefix}/"):
                raise Broken(f"{' '.join(register)} is there, and was never pushed")
        return audit

    def _check_index(self) -> None:
        """See that the indexes catch up with the facts."""
        root = self.plan.root
        if root is None:
            return
        marks = [root / mark for mark in (paths.DIRTY, paths.PROJECTING)]
        wait_until(
            lambda: not any(mark.is_dir() and any(mark.iterdir()) for mark in marks),
            "index.json is behind",
            _CATCHES_UP,
        )
        audit = Audit(root)
        for name in {name for name, _ in audit.manifests if name.startswith(f"{self.plan.prefix}/")}:
            tags = {(digest, tag) for (owner, tag), digest in audit.tags.items() if owner == name}
            untagged = {digest for owner, digest in audit.manifests if owner == name} - {digest for digest, _ in tags}
            expected = tags | {(digest, None) for digest in untagged}
            if (listed := audit.index(name)) != expected:
                raise Broken(f"{name}/index.json lacks {expected - listed} and has {listed - expected} too many")

    def _check_all(self) -> None:
        with closing(Client(self.victim.start())) as client:
            judge = Judge(client)
            for book in self._books:
                judge.check(book, [*book.living(), *book.gone])
            judge.check_lists(self._books, self._names())
        self._check_index()
        self.asked += judge.asked
        self.victim.stop()
        self._check_log()
        audit = self._audit()
        if audit is not None:
            audit.check_contents()
        if self.plan.swept:
            self._sweep()

    def _sweep(self) -> None:
        """Collect all garbage, and see that nothing is left of it, and that the tags are."""
        self.living = sweep(self.victim.config)
        if self.plan.root is not None:
            check_disk(self.plan.root)
        with closing(Client(self.victim.start())) as client:
            judge = Judge(client)
            for book in self._books:
                judge.check(book, [register for register in book.living() if register.kind == "tag"])
            judge.check_lists(self._books, self._names())
        self.victim.stop()

    def _check_log(self) -> None:
        """See that the server met with no error that it did not foresee."""
        log = self.victim.log.read_text()
        if (found := log.find("Traceback")) >= 0:
            line = log.rfind("\n", 0, found) + 1
            raise Broken(f"the server met an error of its own: {log[line : found + 3000]}")

    def _names(self) -> list[str]:
        return sorted({name for hand in self._hands for name in (hand.own, hand.shared)})
