"""The servers that are measured: this registry, its peers, and nginx for the same bytes as a file."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Target:
    """A running server. `files` is the directory that it serves, for nginx; a registry has none."""

    name: str
    host: str
    port: int
    pid: int
    files: Path | None = None


def free_port() -> int:
    """Return a port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def zot(directory: Path, workers: int) -> Iterator[Target]:
    """This checkout's server, with its defaults."""
    port = free_port()
    config = directory / "zot.json"
    config.write_text(f'{{"storage": {{"rootDirectory": "{directory}/zot"}}, "http": {{"port": {port}}}}}')
    command = [sys.executable, "-m", "cli.main", "serve", str(config), "--workers", str(workers)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    with _running(command, directory / "zot.log", environment) as process:
        _wait(port, "/v2/")
        yield Target("zot", "127.0.0.1", port, process.pid)


@contextmanager
def distribution(binary: str, directory: Path) -> Iterator[Target]:
    """The distribution project's registry: files, deletes allowed, errors logged only."""
    port = free_port()
    config = directory / "distribution.yml"
    config.write_text(
        "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
        f"storage: {{filesystem: {{rootdirectory: {directory}/distribution}}, delete: {{enabled: true}}}}\n"
        f'http: {{addr: "127.0.0.1:{port}"}}\n'
    )
    environment = {key: value for key, value in os.environ.items() if key != "AWS_CA_BUNDLE"}
    command = [binary, "serve", str(config)]
    with _running(command, directory / "distribution.log", environment) as process:
        _wait(port, "/v2/")
        yield Target("distribution", "127.0.0.1", port, process.pid)


@contextmanager
def nginx(binary: str, directory: Path) -> Iterator[Target]:
    """The web server, with sendfile, over one directory."""
    port = free_port()
    home = directory / "nginx"
    (home / "files").mkdir(parents=True)
    (home / "files/ready").write_text("ok")
    temporary = "".join(
        f"{kind}_temp_path {home}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (home / "nginx.conf").write_text(
        f"daemon off; user root; worker_processes 2; pid {home}/pid; error_log {home}/error.log;"
        f"events {{}} http {{ access_log off; sendfile on; {temporary} keepalive_requests 1000000;"
        f"server {{ listen 127.0.0.1:{port}; root {home}/files; }} }}"
    )
    command = [binary, "-p", str(home), "-c", str(home / "nginx.conf")]
    with _running(command, home / "log", dict(os.environ)) as process:
        _wait(port, "/ready")
        yield Target("nginx", "127.0.0.1", port, process.pid, home / "files")


@contextmanager
def _running(command: list[str], log: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(port: int, path: str) -> None:
    """Wait for the first 200."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", path)
            status = connection.getresponse().status
            connection.close()
            if status == 200:
                return
        time.sleep(0.005)
    raise RuntimeError(f"nothing answers on port {port}")
