"""Real servers for tests: `zot serve` in a process of its own, on a free port."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent
PATIENCE = 120
"""How many seconds a test waits for what must come. No test proves anything by it: a busy machine may take its time."""

_LISTENING = re.compile(r"Listening on (https?://\S+)")


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    root: Path
    log: Path
    process: subprocess.Popen[str]
    authority: Path | None = None
    """The certificate of whoever signed the server's."""

    @property
    def pid(self) -> int:
        """The process that SIGTERM goes to."""
        return self.process.pid

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.url.rpartition(":")[2])

    def connect(self, timeout: float = PATIENCE) -> http.client.HTTPConnection:
        """Return a new connection."""
        if self.authority is not None:
            trusting = ssl.create_default_context(cafile=self.authority)
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=trusting)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Send one request on a connection of its own; returns status, headers in lower case, and body."""
        connection = self.connect()
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def stop(self) -> None:
        """End it as an operator would, and wait."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)


def zot(*arguments: str) -> list[str]:
    """Return the command line of a zot command, run from this checkout."""
    return [sys.executable, "-m", "cli.main", *arguments]


def environment() -> dict[str, str]:
    """Return the environment in which `zot` finds this checkout."""
    more = os.environ.get("PYTHONPATH")
    return dict(os.environ, PYTHONPATH=os.pathsep.join([str(REPOSITORY), *([more] if more else [])]))


def completed(root: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with a root and a free port, and the keys of these sections."""
    least: dict[str, Any] = {"storage": {"rootDirectory": str(root)}, "http": {"port": 0}}
    return least | {key: least.get(key, {}) | section for key, section in settings.items()}


@contextmanager
def running_server(
    directory: Path,
    *options: str,
    config: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    authority: Path | None = None,
    before: Sequence[str] = (),
) -> Iterator[Server]:
    """Run a server below a directory; at the end it must leave with 0 and have logged no traceback.

    Without a configuration file its root is `directory/root`, and it listens on a free port; `settings` are sections
    with further keys. With TLS `authority` is the certificate of whoever signed the server's. `before` is a command
    that runs the server.
    """
    root = directory / "root"
    if config is None:
        config = directory / "config.json"
        config.write_text(json.dumps(completed(root, settings or {})))
    log = directory / "server.log"
    with log.open("a") as errors:
        process = subprocess.Popen(
            [*before, *zot("serve", str(config), *options)],
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment(),
            cwd=directory,
            text=True,
        )
    server = None
    try:
        server = Server(_url(process, log), root, log, process, authority)
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        assert process.stdout is not None
        process.stdout.close()
    assert process.returncode in (0, -signal.SIGKILL), log.read_text()
    assert "Traceback" not in (said := log.read_text()), said


def _url(process: subprocess.Popen[str], log: Path) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    match = _LISTENING.match(line)
    assert match, f"{line!r} {log.read_text()}"
    return match.group(1)


def workers(server: Server) -> list[int]:
    """Return the worker processes that are ready: they take no notice of SIGHUP."""
    found = []
    for pid, command in _children(server):
        with suppress(FileNotFoundError, ProcessLookupError):
            ignored = re.search(r"^SigIgn:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
            # A process that is about to become the leader looks like a worker but for this.
            if b"zot.jobs.leader" not in command and ignored and int(ignored.group(1), 16) & 1 << signal.SIGHUP - 1:
                found.append(pid)
    return found


def leaders(server: Server) -> list[int]:
    """Return the leader processes."""
    return [pid for pid, command in _children(server) if b"zot.jobs.leader" in command]


def _children(server: Server) -> Iterator[tuple[int, bytes]]:
    """Yield the processes that the master started, and their command lines."""
    for pid in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split():
        # One may end while it is looked at.
        with suppress(FileNotFoundError, ProcessLookupError):
            yield int(pid), Path(f"/proc/{pid}/cmdline").read_bytes()


def wait_until(holds: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Wait until a function returns something true."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.05)


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on, and that is given to nobody else meanwhile.

    A socket stays bound to it until this process ends: the kernel gives the port neither to who wants any, nor to a
    connection, and who listens on it by its number, with SO_REUSEADDR as servers do, is not hindered.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    port: int = held.getsockname()[1]
    held.detach()
    return port
