"""Logging: one JSON object a line, written in one piece, so that several processes can share a file."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from contextlib import nullcontext, suppress
from datetime import UTC, datetime

from zot.errors import StartupError

_ENCODER = json.JSONEncoder(default=str)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """Formats a record with `time`, `level`, `logger`, `message` and whatever `extra` it was given."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _ENCODER.encode(line)


class Lines(logging.Handler):
    """Writes whole lines to a descriptor that appends, each of them at once, or several together.

    A process that logs every request calls `gather`: then lines below a warning are written by a thread of their own,
    ten times a second, so that a request does not wait for the log.
    """

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd
        self._gathered: list[str] = []
        self._gathers = False

    def gather(self) -> None:
        """Begin to gather lines; call it after a fork, since threads do not survive one."""
        self._gathers = True
        threading.Thread(target=self._write_on, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Write or gather the record; the caller holds the handler's lock."""
        self._gathered.append(self.format(record))
        if not self._gathers or record.levelno >= logging.WARNING:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered; a log that can't be written does not stop the server."""
        with self.lock or nullcontext():
            lines, self._gathered = self._gathered, []
        if lines:
            with suppress(OSError):
                os.write(self._fd, ("\n".join(lines) + "\n").encode())

    def _write_on(self) -> None:
        while True:
            time.sleep(0.1)
            self.flush()


def gather() -> None:
    """Let this process gather its log lines, see `Lines`."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, Lines):
            handler.gather()


def configure(level: str, output: str) -> None:
    """Send what is logged from `level` on to the file `output`, or to standard error if that is empty.

    Raises `StartupError` if the file can't be opened.
    """
    handler = Lines(_open(output))
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    set_level(level)


def set_level(level: str) -> None:
    """Log from this level on."""
    logging.getLogger().setLevel(level.upper())


def _open(output: str) -> int:
    if not output:
        return sys.stderr.fileno()
    try:
        return os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartupError(
            f"log.output {output} can't be opened: {os.strerror(error.errno or 0)}",
            "name a file that can be written to",
        ) from error
