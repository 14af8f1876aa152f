"""The leader process, as the master sees it: started, started again when it ends, stopped last."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time

from zot.config import Config

log = logging.getLogger(__name__)

_SLOWEST_RESTART = 30.0
_LAST_PASS = 15.0


class LeaderProcess:
    """One child that runs `zot.jobs.leader`; see there what it does."""

    def __init__(self, config: Config) -> None:
        self._config = config.to_json().encode()
        self._process: subprocess.Popen[bytes] | None = None
        self._pause = 1.0
        self._not_before = 0.0

    def look_after(self) -> None:
        """Start the process if it is not running; wait longer each time it ended soon."""
        now = time.monotonic()
        if self._process is not None:
            if self._process.poll() is None:
                return
            log.error("the leader process ended and is started again")
            self._process = None
            self._not_before = now + self._pause
            self._pause = min(self._pause * 2, _SLOWEST_RESTART)
        if now >= self._not_before:
            self._start()

    def stop(self) -> None:
        """Let it write what is left to write; it gets 15 seconds for that, and what is left then waits for a start."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(_LAST_PASS)
        except subprocess.TimeoutExpired:
            log.error("the leader process does not end and is killed; it goes on with the next start")
            self._process.kill()
            self._process.wait()

    def _start(self) -> None:
        command = [sys.executable, "-m", "zot.jobs.leader", "--parent", str(os.getpid())]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        assert self._process.stdin is not None
        with self._process.stdin as pipe:
            pipe.write(self._config)
