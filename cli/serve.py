"""`zot serve`."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import tempfile
from datetime import timedelta

import click

from cli.configuration import choose, read
from cli.options import config_argument
from cli.output import Output
from zot.config import Config, Problem, default_config, load
from zot.logs import configure

log = logging.getLogger(__name__)


@click.command()
@config_argument
@click.option("--tmp", is_flag=True, help="Serve from a temporary root that goes away at exit, on a free port.")
@click.option("--address", help="Listen on this address instead of http.address.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Listen on this port instead of http.port; 0 for a free one."
)
@click.option("--workers", type=click.IntRange(1, 512), help="Worker processes.  [default: one per core, at least 2]")
@click.option("--threads", type=click.IntRange(1, 1024), default=128, show_default=True, help="Threads of each worker.")
@click.option(
    "--graceful-timeout",
    type=click.IntRange(0, 86400),
    default=30,
    show_default=True,
    help="Seconds that transfers under way may go on after SIGTERM.",
)
@click.option(
    "--idle-timeout",
    type=click.IntRange(1, 86400),
    help="Drop a client that neither sends nor takes anything after these seconds, instead of http.readTimeout and "
    "http.writeTimeout.",
)
def serve(
    config: str | None,
    tmp: bool,
    address: str | None,
    port: int | None,
    workers: int | None,
    threads: int,
    graceful_timeout: int,
    idle_timeout: int | None,
) -> None:
    """Serve a registry until SIGTERM or Ctrl-C.

    CONFIG is a file in JSON or YAML; without it the one that $ZOT_CONFIG names, or /etc/zot/config.json, .yaml or .yml.
    Without any the registry keeps its data in your data directory and listens on 127.0.0.1:8080.

    \b
    Examples:
      zot serve
      zot serve config.json --workers 4
      zot serve --tmp                  for the tests of another project
    """
    from zot.server import ServeOptions, Source
    from zot.server import serve as run
    from zot.server.serving import default_workers

    if tmp and config is not None:
        raise click.UsageError("--tmp goes without a configuration file.")
    signal.signal(signal.SIGTERM, _leave)
    root, owner = tempfile.mkdtemp(prefix="zot-") if tmp else None, os.getpid()
    try:
        chosen = _listening(_read(config, root), address, port, idle_timeout)
        file = None if tmp else choose(config)[0]
        source = None
        if file is not None:
            # A working directory that goes away later does no harm.
            absolute = os.path.abspath(file)
            source = Source(absolute, lambda: _listening(load(absolute), address, port, idle_timeout))
        run(chosen, ServeOptions(workers or default_workers(), threads, graceful_timeout), source)
    finally:
        # A worker that ends leaves by this way too, while others go on.
        if root is not None and os.getpid() == owner:
            shutil.rmtree(root, ignore_errors=True)


def _leave(_signal: int, _frame: object) -> None:
    """End by the same way as a failure does while the server is not up yet; gunicorn's handler comes after."""
    sys.exit(0)


def _read(config: str | None, temporary: str | None) -> Config:
    """Return what to serve; what it is warned of goes to its log, and to the terminal too if that is a file."""
    if temporary is not None:
        return default_config(temporary, port=0)
    warnings: list[Problem] = []
    output = Output()
    chosen = read(config, output, warn=warnings.append)
    configure(chosen.log.level, chosen.log.output)
    for warning in warnings:
        log.warning("%s", warning)
        if chosen.log.output:
            output.warning(str(warning))
    return chosen


def _listening(config: Config, address: str | None, port: int | None, idle_timeout: int | None) -> Config:
    changes: dict[str, object] = {}
    if address is not None:
        changes["address"] = address
    if port is not None:
        changes["port"] = port
    if idle_timeout is not None:
        changes |= dict.fromkeys(("read_timeout", "write_timeout"), timedelta(seconds=idle_timeout))
    return config.model_copy(update={"http": config.http.model_copy(update=changes)})
