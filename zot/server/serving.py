"""gunicorn, set up for a registry: threads for slow clients, no limit on how long a transfer takes."""

from __future__ import annotations

import logging
import math
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger

from zot import __version__
from zot.config import Config
from zot.config.publication import Live, Publication
from zot.config.storage import StoreOptions
from zot.cores import Cores
from zot.errors import StartupError
from zot.logs import configure, gather
from zot.registry.flushing import Flusher
from zot.server.leading import Leaders, require_python
from zot.server.listening import Timeouts, listen, url
from zot.server.reloading import Reloading, Source
from zot.server.request_log import after_request
from zot.server.tls import Certificates
from zot.server.worker import HELD_BACK, Worker
from zot.storage.protocol import StorageError

log = logging.getLogger(__name__)

# How many seconds a connection is kept for its next request, if readTimeout sets no limit.
_IDLE = 120


@dataclass(frozen=True)
class ServeOptions:
    """How the server runs; times are in seconds.

    `graceful_timeout` bounds how long transfers under way may go on after SIGTERM.
    """

    workers: int
    threads: int = 128
    graceful_timeout: int = 30


def default_workers() -> int:
    """Return one worker for each core, at least two."""
    return max(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2)


def serve(config: Config, options: ServeOptions, source: Source | None = None) -> None:
    """Serve until told to stop, then leave the process. Raises `StartupError` if it can't begin.

    With a source the configuration is read again when its file changes, and at SIGHUP.
    """
    configure(config.log.level, config.log.output, config.log.audit)
    try:
        _serve(config, options, source)
    except StartupError as error:
        # It is said on the terminal by whoever called; a log that goes there too need not say it again.
        if config.log.output:
            log.error("the server can't start: %s", error)
        raise


def _serve(config: Config, options: ServeOptions, source: Source | None) -> None:
    require_python()
    timeouts = _timeouts(config)
    certificates = _certificates(config, timeouts)
    bound = listen(config.http.address, config.http.port, timeouts)
    # For what the processes share. Counters are files here; their library looks for the variable when it is imported.
    shared = tempfile.mkdtemp(prefix="zot-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = shared
    owner = os.getpid()
    try:
        _Server(config, options, bound, certificates, shared).run(source)
    finally:
        # A worker that ends leaves by this way too.
        if os.getpid() == owner:
            shutil.rmtree(shared, ignore_errors=True)


def _timeouts(config: Config) -> Timeouts:
    read, write = config.http.read_timeout.total_seconds(), config.http.write_timeout.total_seconds()
    return Timeouts(read if read > 0 else None, write if write > 0 else None)


def _certificates(config: Config, timeouts: Timeouts) -> Certificates | None:
    """Return what TLS needs, or None if it is not asked for. Raises `StartupError`."""
    files = config.http.tls
    if files is None:
        return None
    return Certificates(files.cert, files.key, files.cacert or None, timeouts)


class _Server(BaseApplication):
    """The application as gunicorn runs it; it is loaded once, before the workers are forked from this process."""

    def __init__(
        self,
        config: Config,
        options: ServeOptions,
        bound: socket.socket,
        certificates: Certificates | None,
        shared: str,
    ) -> None:
        address = url(bound, "http" if certificates is None else "https")
        self._config = config
        self._certificates = certificates
        self._publication = Publication(shared)
        self._options = options
        self._fd = bound.detach()
        self._url = address
        super().__init__(prog="zot")
        app: Any = self.load()
        self.callable = app
        self._live: Live = app.extensions["live"]
        telemetry = app.extensions["telemetry"]
        self.leaders = Leaders(config, shared, telemetry and telemetry.leader)
        self.cfg.set("post_request", after_request(telemetry))

    def load_config(self) -> None:
        """Set what differs from gunicorn's defaults."""
        settings = {
            "bind": f"fd://{self._fd}",
            "worker_class": Worker,
            "workers": self._options.workers,
            "threads": self._options.threads,
            "graceful_timeout": self._options.graceful_timeout,
            "keepalive": math.ceil(_timeouts(self._config).read or _IDLE),
            # This one watches the worker's heartbeat, not its requests.
            "timeout": 120,
            # As many tags as one push may name, and a bearer token with many rights, need more than the defaults.
            "limit_request_line": 8190,
            "limit_request_field_size": 16 * 1024,
            "preload_app": True,
            "control_socket_disable": True,
            "logger_class": _Log,
            "proc_name": "zot",
            # No proxy's word is needed, so none is believed.
            "forwarded_allow_ips": "",
            "worker_tmp_dir": "/dev/shm" if os.path.isdir("/dev/shm") else None,
            "when_ready": lambda _: self._ready(),
            "on_exit": lambda _: self._end(),
            "post_worker_init": _settle_worker,
            "worker_exit": _leave_worker,
            "child_exit": _forget_worker,
        }
        if self._certificates is not None:
            context = self._certificates.context
            settings |= {
                "certfile": self._certificates.cert,
                "keyfile": self._certificates.key,
                "ssl_context": lambda _settings, _default: context(),
            }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Callable[..., Any]:
        """Make the Flask application; imported here, after the directory of the counters is known."""
        from zot.app import create_app

        return create_app(self._config, self._publication, threads=self._options.threads)

    def run(self, source: Source | None = None) -> None:
        """Run gunicorn's master in this process."""
        reloading = None
        if source is not None:
            reloading = Reloading(source, self._config, self._live, self.leaders.renew)
        _Master(self, self.leaders, reloading).run()

    def _ready(self) -> None:
        storage = self._config.storage
        places = ", ".join(_place(store) for store in (storage, *storage.sub_paths.values()))
        count = self._options.workers
        about = f"zot {__version__}, {count} worker{'' if count == 1 else 's'}, storage in {places}"
        if self._config.log.output:
            about += f", log in {self._config.log.output}"
        log.info("the server has started, listening on %s: %s", self._url, about)
        print(f"Listening on {self._url}", flush=True)
        print(about, flush=True)

    def _end(self) -> None:
        self.leaders.stop()
        log.info("the server has stopped")


def _place(store: StoreOptions) -> str:
    driver = store.storage_driver
    return store.root_directory if driver is None else f"bucket {driver.bucket} {driver.rootdirectory}".rstrip()


class _Master(Arbiter):
    """gunicorn's master, which looks after the leader processes and the configuration too."""

    def __init__(self, app: BaseApplication, leaders: Leaders, reloading: Reloading | None) -> None:
        self._leaders = leaders
        self._reloading = reloading
        super().__init__(app)

    def manage_workers(self) -> None:
        """Do so about once a second."""
        super().manage_workers()
        if self._reloading is not None:
            self._reloading.look()
        self._leaders.look_after()

    def stop(self, graceful: bool = True) -> None:
        """Stop the workers; gunicorn does so again to see whether any are left."""
        if self.LISTENERS:
            log.info("the server stops; transfers get %d s to end", self.cfg.graceful_timeout if graceful else 0)
        super().stop(graceful)

    def spawn_worker(self) -> int:
        """Fork a worker, which takes signals when it can act on them: before, they would go to this process' queue."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
        try:
            return int(super().spawn_worker())
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def handle_hup(self) -> None:
        """Read the configuration again."""
        if self._reloading is None:
            log.warning("SIGHUP is ignored, as there is no configuration file to read again")
        else:
            self._reloading.reload("SIGHUP")

    def handle_usr2(self) -> None:
        """Ignore SIGUSR2, by which gunicorn would start a second master."""


class _Log(Logger):
    """gunicorn's own log, sent through ours."""

    def setup(self, cfg: Any) -> None:
        """Add no handlers."""
        self.error_log.propagate = True
        self.error_log.setLevel(logging.WARNING)
        self.error_log.addFilter(_is_worth_a_line)

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Log nothing: `request_log` does."""


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """Drop the traceback that gunicorn logs when a client that sends nothing is cut off.

    A storage that fails in the middle of an answer is worth a line: the client is cut off, lest it take half for all.
    """
    raised = record.exc_info[1] if record.exc_info else None
    if isinstance(raised, StorageError):
        record.msg, record.args, record.exc_info = "an answer is cut off in its middle: %s", (str(raised),), None
    return not isinstance(raised, BlockingIOError | TimeoutError)


def _settle_worker(worker: Any) -> None:
    """Let requests beside a large upload get their turn soon, and none of them wait for the log or for another core."""
    sys.setswitchinterval(0.0005)
    # Whoever sends it to all processes means the master.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    Cores().pin(worker.age)
    gather()
    worker.flusher = Flusher(worker.app.callable.extensions["stores"])
    worker.flusher.start()


def _leave_worker(_master: Any, worker: Any) -> None:
    """Write what this worker has gathered. A worker that failed to start has nothing."""
    flusher = getattr(worker, "flusher", None)
    if flusher is not None:
        flusher.stop()
    logging.shutdown()


def _forget_worker(_master: Any, worker: Any) -> None:
    from prometheus_flask_exporter.multiprocess import GunicornPrometheusMetrics

    GunicornPrometheusMetrics.mark_process_dead_on_child_exit(worker.pid)
