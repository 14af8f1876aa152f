"""A configuration that changes while the server runs: the master publishes it, and every worker takes it up."""

from __future__ import annotations

import logging
import mmap
import os
import threading
import time
from collections.abc import Callable

from zot.config.model import Config
from zot.errors import StartupError

log = logging.getLogger(__name__)

Prepare = Callable[[Config], Callable[[], None]]

_PAUSE_AFTER_FAILURE = 1.0


class Publication:
    """The newest configuration, in a file, and its number, in memory that a process shares with its children.

    Made before the children are.
    """

    def __init__(self, directory: str) -> None:
        self._file = f"{directory}/configuration"
        self._numbers = memoryview(mmap.mmap(-1, 8)).cast("Q")

    @property
    def number(self) -> int:
        """How many configurations were published."""
        return self._numbers[0]

    def publish(self, config: Config) -> None:
        """Put a configuration in the place of the last one."""
        beside = f"{self._file}.new"
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(config.to_json())
        os.replace(beside, self._file)
        self._numbers[0] += 1

    def read(self) -> Config:
        """Return the newest configuration."""
        with open(self._file) as file:
            return Config.from_json(file.read())


class Live:
    """The parts of an application that a changed configuration replaces. Shared by threads.

    `prepare` makes the new parts from a configuration, may raise `StartupError`, and changes nothing; what it returns
    puts them all in their places.
    """

    def __init__(self, prepare: Prepare, publication: Publication | None) -> None:
        self._prepare = prepare
        self._publication = publication
        self._taken = 0
        self._not_before = 0.0
        self._guard = threading.Lock()

    def refresh(self) -> None:
        """Take up what was published since the last time; called before each request."""
        if self._publication is not None and self._publication.number != self._taken:
            self._take_up(self._publication)

    def publish(self, config: Config) -> None:
        """Let all processes use a configuration. Raises `StartupError` if it can't be used, and none does then."""
        assert self._publication is not None
        put_in_place = self._prepare(config)
        self._publication.publish(config)
        put_in_place()
        self._taken = self._publication.number

    def _take_up(self, publication: Publication) -> None:
        with self._guard:
            number = publication.number
            if number == self._taken or time.monotonic() < self._not_before:
                return
            try:
                put_in_place = self._prepare(publication.read())
            except (StartupError, OSError) as error:
                # The master could use it a moment ago, so this passes.
                log.error("the changed configuration can't be used yet: %s", error)
                self._not_before = time.monotonic() + _PAUSE_AFTER_FAILURE
                return
            put_in_place()
            self._taken = number
