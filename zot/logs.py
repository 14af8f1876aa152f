"""Logging: one JSON object a line, written in one piece, so that several processes can share a file."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext, suppress
from datetime import UTC, datetime

from zot.errors import StartupError

_ENCODER = json.JSONEncoder(default=str)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

audit = logging.getLogger("zot.audit")
"""Who changed what. Its lines go to `log.audit` at once, and nowhere if that is not set."""
audit.disabled = True


def line(created: float, level: str, logger: str, message: str, **fields: object) -> str:
    """Return a line of the log, without its end; `created` is in seconds since 1970."""
    time_ = datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds")
    start = {"time": time_, "level": level, "logger": logger, "module": _module(logger), "message": message}
    return _ENCODER.encode(start | fields)


def _module(logger: str) -> str:
    """Return the part of the server that a logger belongs to, as zot's `module` has it: `zot.gc.removing` is of gc."""
    return logger.removeprefix("zot.").partition(".")[0]


class JsonLines(logging.Formatter):
    """Formats a record with `time`, `level`, `logger`, `message` and whatever `extra` it was given."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        extra = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            extra["exception"] = self.formatException(record.exc_info)
        return line(record.created, record.levelname.lower(), record.name, record.getMessage(), **extra)


class File:
    """A file that this process appends to, or standard error if it has no name.

    When it is renamed or removed, as by logrotate, a new one takes its place within a second. One that is truncated
    goes on from its beginning.
    """

    def __init__(self, name: str, key: str) -> None:
        self._name = name
        self._fd = _open(name, key) if name else sys.stderr.fileno()
        self._looked = time.monotonic()

    def write(self, text: str) -> None:
        """Append a text; a log that can't be written does not stop the server."""
        with suppress(OSError):
            self._follow()
            os.write(self._fd, text.encode())

    def _follow(self) -> None:
        now = time.monotonic()
        if not self._name or now - self._looked < 1.0:
            return
        self._looked = now
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(self._name), os.fstat(self._fd)):
                return
        fresh = _open_to_append(self._name)
        os.dup2(fresh, self._fd, inheritable=False)
        os.close(fresh)


class Lines(logging.Handler):
    """Writes whole lines to a file, each of them at once, or several together.

    A process that logs every request calls `gather`: then lines below a warning are written by a thread of their own,
    ten times a second, so that a request does not wait for the log.
    """

    def __init__(self, file: File) -> None:
        super().__init__()
        self._file = file
        self._gathered: deque[str | Callable[[], str]] = deque()
        self._gathers = False
        self.setFormatter(JsonLines())

    def gather(self) -> None:
        """Begin to gather lines; call it after a fork, since threads do not survive one."""
        self._gathers = True
        threading.Thread(target=self._write_on, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Write or gather the record; the caller holds the handler's lock."""
        self._gathered.append(self.format(record))
        if not self._gathers or record.levelno >= logging.WARNING:
            self.flush()

    def add(self, make: Callable[[], str]) -> None:
        """Gather a line that is made when it is written."""
        self._gathered.append(make)
        if not self._gathers:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered."""
        with self.lock or nullcontext():
            gathered = [self._gathered.popleft() for _ in range(len(self._gathered))]
            if gathered:
                self._file.write("".join((one if isinstance(one, str) else one()) + "\n" for one in gathered))

    def _write_on(self) -> None:
        while True:
            time.sleep(0.1)
            self.flush()


def add(make: Callable[[], str]) -> None:
    """Log a line that is made when it is written, off the request's way; what `make` does must not fail."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, Lines):
            handler.add(make)


def gather() -> None:
    """Let this process gather its log lines, see `Lines`."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, Lines):
            handler.gather()


def configure(level: str, output: str, audit_output: str = "", by: str = "") -> None:
    """Send what is logged from `level` on to the file `output`, or to standard error if that is empty.

    What `audit` logs goes to another file, see `configure_audit`. Raises `StartupError` if one can't be opened.
    """
    configure_log(level, output)
    configure_audit(audit_output, by)


def configure_log(level: str, output: str) -> None:
    """Do so with what is logged, and leave alone what is audited."""
    _replace_handlers(logging.getLogger(), Lines(File(output, "log.output")))
    set_level(level)


def configure_audit(output: str, by: str = "") -> None:
    """Send what `audit` logs to a file, or nowhere if that is empty. Raises `StartupError` if it can't be opened.

    A process that is not asked by requests says by whom it was started; its lines name that, the host and the process.
    """
    audit.propagate = False
    audit.setLevel(logging.INFO)
    audit.disabled = not output
    if output:
        handler = Lines(File(output, "log.audit"))
        if by:
            handler.addFilter(_Origin(by))
        _replace_handlers(audit, handler)


def is_audited() -> bool:
    """Tell whether there is an audit log: what is done by the thousand need not be described otherwise."""
    return not audit.disabled


def note_change(
    subject: str, action: str, target: str, repository: str, result: str, reason: str, by: str = ""
) -> None:
    """Write a line of the audit log about a change that no request asked for: who did what to what, and why.

    `by` says who started it where a process does so for several, see `configure_audit`.
    """
    if is_audited():
        facts = {"subject": subject, "action": action, "object": target, "repository": repository}
        origin = _origin(by) if by else {}
        audit.info("change", extra={**facts, "result": result, "reason": reason, **origin})


def _origin(by: str) -> dict[str, object]:
    return {"by": by, "host": socket.gethostname(), "pid": os.getpid()}


class _Origin(logging.Filter):
    """Adds to each line where it comes from: a host, a process, and who started that."""

    def __init__(self, by: str) -> None:
        super().__init__()
        self._origin = _origin(by)

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every line pass."""
        vars(record).update(self._origin)
        return True


def set_level(level: str) -> None:
    """Log from this level on. Of other packages nothing below `info` is logged: it may hold secrets."""
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.getLogger().setLevel(max(number, logging.INFO))
    for own in ("zot", "cli"):
        logging.getLogger(own).setLevel(number)


def _replace_handlers(logger: logging.Logger, handler: logging.Handler) -> None:
    for old in list(logger.handlers):
        logger.removeHandler(old)
    logger.addHandler(handler)


def _open(name: str, key: str) -> int:
    try:
        return _open_to_append(name)
    except OSError as error:
        raise StartupError(
            f"{key} {name} can't be opened: {os.strerror(error.errno or 0)}", "name a file that can be written to"
        ) from error


def _open_to_append(name: str) -> int:
    return os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
