"""The servers that are measured: this registry, its peers, and nginx for the same bytes as a file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from scripts.benchmark.load import one
from scripts.benchmark.processes import end, tree
from scripts.benchmark.wire import BadAnswerError, request
from tests.servers import free_port

REPOSITORY = Path(__file__).parents[2]
_STARTING = 30.0
_ENDING = 40.0


@dataclass(frozen=True)
class Target:
    """A running server. `files` is the directory that it serves, for nginx; a registry has none."""

    name: str
    host: str
    port: int
    pid: int
    files: Path | None = None


@contextmanager
def zot(directory: Path, workers: int, command: list[str] | None = None) -> Iterator[Target]:
    """This checkout's server, or what `command` is, with its defaults."""
    port = free_port()
    config = directory / "zot.json"
    config.write_text(f'{{"storage": {{"rootDirectory": "{directory}/zot"}}, "http": {{"port": {port}}}}}')
    begin = command or [sys.executable, "-m", "cli.main"]
    whole = [*begin, "serve", str(config), "--workers", str(workers)]
    environment = os.environ if command else os.environ | {"PYTHONPATH": str(REPOSITORY)}
    with _running(whole, directory / "zot.log", dict(environment), port, "/v2/") as process:
        yield Target("zot", "127.0.0.1", port, process.pid)


@contextmanager
def distribution(binary: str, directory: Path) -> Iterator[Target]:
    """The distribution project's registry: files, deletes allowed, no redirects, errors logged only."""
    port = free_port()
    config = directory / "distribution.yml"
    config.write_text(
        "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
        f"storage: {{filesystem: {{rootdirectory: {directory}/distribution}}, delete: {{enabled: true}},"
        " redirect: {disable: true}}\n"
        f'http: {{addr: "127.0.0.1:{port}"}}\n'
    )
    environment = {key: value for key, value in os.environ.items() if key != "AWS_CA_BUNDLE"}
    command = [binary, "serve", str(config)]
    with _running(command, directory / "distribution.log", environment, port, "/v2/") as process:
        yield Target("distribution", "127.0.0.1", port, process.pid)


@contextmanager
def nginx(binary: str, directory: Path) -> Iterator[Target]:
    """The web server, with sendfile and two workers, over one directory."""
    port = free_port()
    home = directory / "nginx"
    (home / "files").mkdir(parents=True)
    (home / "files/ready").write_text("ok")
    temporary = "".join(
        f"{kind}_temp_path {home}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    (home / "nginx.conf").write_text(
        f"daemon off; {user} worker_processes 2; pid {home}/pid; error_log {home}/error.log;"
        f"events {{}} http {{ access_log off; sendfile on; {temporary} keepalive_requests 1000000;"
        f"server {{ listen 127.0.0.1:{port}; root {home}/files; }} }}"
    )
    command = [binary, "-p", str(home), "-c", str(home / "nginx.conf")]
    with _running(command, home / "log", dict(os.environ), port, "/ready") as process:
        yield Target("nginx", "127.0.0.1", port, process.pid, home / "files")


def other(name: str, address: str) -> Target:
    """A server that runs already: `http://HOST:PORT@PID`. It is left running. Raises `ValueError`."""
    url, _, pid = address.rpartition("@")
    parts = urlsplit(url if "//" in url else f"//{url}")
    if not parts.hostname or not pid.isdecimal() or parts.scheme not in ("", "http"):
        raise ValueError(f"{name}={address}: neither a program nor http://HOST:PORT@PID")
    return Target(name, parts.hostname, parts.port or 80, int(pid))


@contextmanager
def _running(
    command: list[str], log: Path, environment: dict[str, str], port: int, path: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server from its first answer on; end it, and whatever it started, at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, start_new_session=True)
    try:
        _wait(process, port, path)
        yield process
    except (OSError, RuntimeError) as error:
        error.add_note(f"{' '.join(command)}: status {process.poll()}, logged at last: {_last_lines(log)}")
        raise
    finally:
        members = tree(process.pid)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_ENDING)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        end(process.pid, members)


def _wait(process: subprocess.Popen[bytes], port: int, path: str) -> None:
    """Wait for the first 200, asking every 2 ms. Raises `RuntimeError`."""
    deadline = time.monotonic() + _STARTING
    while time.monotonic() < deadline and process.poll() is None:
        try:
            one("127.0.0.1", port, request("GET", path, 200))
            return
        except (OSError, BadAnswerError):
            time.sleep(0.002)
    raise RuntimeError(f"nothing answers on port {port}")


def _last_lines(log: Path) -> str:
    return log.read_text(errors="replace")[-1000:]
