"""Logging: one JSON object a line, written in one piece, so that several processes can share a file."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime

from zot.errors import StartupError

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
        return json.dumps(line, default=str)


class OneWrite(logging.Handler):
    """Writes each line with one `write` to a descriptor that appends."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record; a log that can't be written does not stop the server."""
        try:
            os.write(self._fd, f"{self.format(record)}\n".encode())
        except OSError:
            self.handleError(record)


def configure(level: str, output: str) -> None:
    """Send what is logged from `level` on to the file `output`, or to standard error if that is empty.

    Raises `StartupError` if the file can't be opened.
    """
    handler = OneWrite(_open(output))
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    # What goes wrong while logging must not print tracebacks to a terminal.
    logging.raiseExceptions = False


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
