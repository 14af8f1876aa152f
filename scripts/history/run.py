"""One run of a workload, and its clients."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from scripts.history.client import Client


@dataclass
class Run:
    """One run of a workload: against whom, how long, how many clients, and the source of chance.

    Several hosts are servers of one store; the connections are spread over them.
    """

    hosts: tuple[str, ...]
    seconds: float
    clients: int
    seed: int
    prefix: str
    operations: int = 0
    connections: int = 0
    guard: threading.Lock = field(default_factory=threading.Lock)

    def connect(self) -> Client:
        """Return a new connection, to the next host."""
        with self.guard:
            self.connections += 1
            return Client(self.hosts[self.connections % len(self.hosts)])

    def in_parallel(self, work: Callable[[Client, random.Random, int], None]) -> None:
        """Let every client do this work at once; raises what one of them raised."""

        def one(number: int) -> None:
            client = self.connect()
            try:
                # Chance decides what clients do, and nothing else.
                work(client, random.Random(self.seed * 1000 + number), number)  # noqa: S311
            finally:
                client.close()

        with ThreadPoolExecutor(self.clients) as pool:
            list(pool.map(one, range(self.clients)))

    def until_end(self) -> Callable[[], bool]:
        """Return a function that is true until the time is over, and counts."""
        end = time.monotonic() + self.seconds

        def goes_on() -> bool:
            with self.guard:
                self.operations += 1
            return time.monotonic() < end

        return goes_on
