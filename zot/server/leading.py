"""The leader processes, one for each store, as the master sees them: started, started again, stopped last."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from zot.config import Config
from zot.errors import StartupError
from zot.registry.stores import routes

log = logging.getLogger(__name__)

Tell = Callable[[str, int, bool], None]

_SLOWEST_RESTART = 30.0
_LAST_PASS = 15.0
# Signals that wait in a leader until it can act on them. The last two, as Ctrl-C sends one to every process of a
# terminal, are for the master only, and would end it before it knows that.
_HELD_BACK = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


def require_python() -> None:
    """Check that this user may run the program that leaders are. Raises `StartupError`.

    Whoever gave up rights between starting Python and here, as setpriv does, may not.
    """
    if not (sys.executable and os.access(sys.executable, os.X_OK)):
        raise StartupError(
            f"this user may not run {sys.executable or 'Python'}, which a process of the server's own needs",
            "install Python and zot where the user that runs zot may run them",
        )


class Leaders:
    """The leaders of all stores that a configuration names.

    `shared` is a directory for what they share; `tell` is called with a process when it begins and when it has ended.
    """

    def __init__(self, config: Config, shared: str, tell: Tell | None = None) -> None:
        self._config = config
        text = config.to_json().encode()
        self._leaders = [LeaderProcess(route, text, shared, tell or (lambda *_: None)) for route in routes(config)]

    def look_after(self) -> None:
        """Start those that do not run."""
        for leader in self._leaders:
            leader.look_after()

    def renew(self, config: Config) -> None:
        """Let those that run end, and lead again with a changed configuration, if it changes anything for them."""
        before, self._config = self._config, config
        if before.model_copy(update={"http": config.http}) != config:
            for leader in self._leaders:
                leader.renew(config.to_json().encode())

    def stop(self) -> None:
        """Let them write what is left to write; they get 15 seconds for that, and the rest waits for the next start.

        One that has ended before, as when a service manager tells every process to end at once, is started for it.
        """
        for leader in self._leaders:
            if self._config.storage.at(leader.route).storage_driver is None:
                leader.start_anew()
            leader.ask_to_end()
        deadline = time.monotonic() + _LAST_PASS
        for leader in self._leaders:
            leader.await_end(deadline)


class LeaderProcess:
    """One child that runs `zot.jobs.leader`; see there what it does."""

    def __init__(self, route: str, config: bytes, shared: str, tell: Tell) -> None:
        self.route = route
        self._shared = shared
        self._config = config
        self._tell = tell
        self._process: subprocess.Popen[bytes] | None = None
        self._pause = 1.0
        self._not_before = 0.0
        self._is_renewed = False

    def look_after(self) -> None:
        """Start the process if it is not running; wait longer each time it ended soon."""
        now = time.monotonic()
        if self._process is not None:
            if self._process.poll() is None:
                return
            self._tell(self.route, self._process.pid, False)
            self._process = None
            if not self._is_renewed:
                log.error("the leader process of %s ended and is started again", self.route)
                self._wait_longer(now)
            self._is_renewed = False
        if now >= self._not_before:
            self.start_anew()

    def start_anew(self) -> None:
        """Start the process if it is not running, however soon it ended before."""
        if self._is_running():
            return
        try:
            self._start()
        except OSError as error:
            # As when there are too many processes, or too little memory; requests are served meanwhile.
            why = os.strerror(error.errno or 0)
            log.error("the leader process of %s can't be started, it is tried again later: %s", self.route, why)
            self._wait_longer(time.monotonic())

    def _wait_longer(self, now: float) -> None:
        self._not_before = now + self._pause
        self._pause = min(self._pause * 2, _SLOWEST_RESTART)

    def renew(self, config: bytes) -> None:
        """Let the process end and start again with this configuration."""
        self._config = config
        self._is_renewed = self._is_running()
        self.ask_to_end()

    def ask_to_end(self) -> None:
        """Tell the process to end."""
        if self._is_running():
            assert self._process is not None
            self._process.terminate()

    def await_end(self, deadline: float) -> None:
        """Wait until it has ended, or kill it when the steady clock shows `deadline`."""
        if not self._is_running():
            return
        assert self._process is not None
        try:
            self._process.wait(max(deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            log.error("the leader process of %s does not end and is killed", self.route)
            self._process.kill()
            self._process.wait()

    def _is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _start(self) -> None:
        command = [sys.executable, "-m", "zot.jobs.leader", "--parent", str(os.getpid()), "--store", self.route]
        command += ["--shared", self._shared]
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        assert self._process.stdin is not None
        # One that dies before it has read this is found dead at the next look, and started again.
        with suppress(BrokenPipeError), self._process.stdin as pipe:
            pipe.write(self._config)
        self._tell(self.route, self._process.pid, True)
