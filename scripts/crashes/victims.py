"""The server that is started, crashed and started again."""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from scripts.crashes.book import Broken
from tests.servers import environment, zot

_LISTENING = re.compile(r"Listening on http://(\S+)")
_SET_CHILD_SUBREAPER = 36


class Victim:
    """A server with all its processes, which are one process group.

    `scratch` is where its log, its configuration and its temporary files go.
    """

    def __init__(self, config: dict[str, Any], scratch: Path, workers: int) -> None:
        self.log = scratch / "server.log"
        self._scratch = scratch
        self.config = scratch / "config.json"
        self.config.write_text(json.dumps(config))
        self._workers = workers
        self._process: subprocess.Popen[str] | None = None
        # The leader becomes our child when the master is gone, so that we can wait for its end.
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1)

    def begin(self) -> None:
        """Start the server, and don't wait for it."""
        with self.log.open("a") as errors:
            self._process = subprocess.Popen(
                zot("serve", str(self.config), "--workers", str(self._workers)),
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**environment(), "TMPDIR": str(self._scratch)},
                text=True,
                start_new_session=True,
            )

    def start(self) -> str:
        """Start the server; returns host and port. Raises `Broken` if it does not come up."""
        self.begin()
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        match = _LISTENING.match(line)
        if match is None:
            raise Broken(f"the server does not start: {line!r} {self.log.read_text()[-2000:]}")
        return match.group(1)

    def kill(self) -> None:
        """Kill every process of it at once, and wait until they are gone and so are their locks."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it as an operator would."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(60)
        self._end(signal.SIGKILL)

    def _end(self, number: int) -> None:
        if self._process is None:
            return
        group = self._process.pid
        with suppress(ProcessLookupError):
            os.killpg(group, number)
        self._process.wait()
        with suppress(ChildProcessError):
            while True:
                os.waitpid(-group, 0)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None


def wait_until(holds: Callable[[], object], what: str, seconds: float) -> None:
    """Wait until a function returns something true. Raises `Broken`."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise Broken(f"{what}: not within {seconds} s")
        time.sleep(0.02)
