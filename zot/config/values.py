"""The kinds of values that keys have beyond pydantic's own: durations, secrets, lists of one, levels, hours."""

from __future__ import annotations

import re
from datetime import time, timedelta
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, SecretStr, SerializationInfo

from zot.oci.globs import compile_glob
from zot.oci.patterns import Pattern

MASK = "******"

# The names that zot knows, and Python's for them.
LEVELS = {
    "trace": "debug",
    "debug": "debug",
    "info": "info",
    "warn": "warning",
    "warning": "warning",
    "error": "error",
    "fatal": "error",
    "panic": "error",
}

_UNITS = {"ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_DURATION = re.compile(rf"[+-]?({_PART.pattern})+")
_DAYS = re.compile(r"(\d{1,4})\s?(d|days?|w|weeks?)")
# Go's longest duration, some 292 years.
_LONGEST = 2**63 - 1
_WINDOW = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


def read_duration(value: object) -> object:
    """Read a duration as Go writes it (`1h30m`, `500ms`, `0`), or a whole number of nanoseconds."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str) and _DURATION.fullmatch(value):
        parts = (float(number) * _UNITS[unit] for number, unit in _PART.findall(value))
        nanoseconds = sum(parts) * (-1 if value.startswith("-") else 1)
    elif (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,19}", value)
    ):
        nanoseconds = int(value)
    else:
        raise ValueError(f"{value!r} is no duration; {_right_duration(value)}")
    if abs(nanoseconds) > _LONGEST:
        raise ValueError(f"{value!r} is too long; write a duration of less than 292 years")
    return timedelta(microseconds=nanoseconds / 1000)


def _right_duration(value: object) -> str:
    """Say what to write; days and weeks, which Go does not know, are so many hours."""
    if (match := _DAYS.fullmatch(str(value).lower())) is None:
        return "write one as 90s, 1h30m or 24h"
    number, unit = match.groups()
    return f"write {int(number) * (24 if unit.startswith('d') else 168)}h"


def tiny_number(value: object) -> int | None:
    """Return a whole number that stands for a duration, if it is less than a second of nanoseconds, but not 0."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if not is_number and not (isinstance(value, str) and re.fullmatch(r"\+?\d{1,19}", value)):
        return None
    number = int(str(value))
    return number if 0 < number < _UNITS["s"] else None


def write_duration(value: timedelta) -> str:
    """Write a duration as Go does, in hours, minutes and seconds: `1h30m`, `0.5s`."""
    microseconds = value // timedelta(microseconds=1)
    sign, rest = ("-" if microseconds < 0 else ""), abs(microseconds)
    hours, rest = divmod(rest, 3600 * 10**6)
    minutes, rest = divmod(rest, 60 * 10**6)
    seconds = f"{rest / 10**6:.6f}".rstrip("0").rstrip(".")
    parts = [f"{hours}h" if hours else "", f"{minutes}m" if minutes else "", f"{seconds}s" if rest else ""]
    return sign + "".join(parts) or "0s"


def _one_is_many(value: object) -> object:
    """Let one value stand for a list of one, as zot does."""
    return [value] if isinstance(value, str | int | float) else value


def _read_origins(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _read_level(value: object) -> object:
    level = LEVELS.get(str(value).lower())
    if level is None:
        raise ValueError(f"{value!r} is no level; use one of " + ", ".join(LEVELS))
    return level


def _check_span(value: timedelta) -> timedelta:
    if value < timedelta(0):
        raise ValueError(f"{write_duration(value)} is less than 0; use 0s or more")
    return value


def _check_window(value: str) -> str:
    if value:
        read_window(value)
    return value


def read_window(value: str) -> tuple[time, time]:
    """Return begin and end, in UTC, of a window such as `22:00-04:00`; it may go over midnight. Raises `ValueError`."""
    match = _WINDOW.fullmatch(value)
    if match is None:
        raise ValueError(f"{value!r} is no window of time; write one as 22:00-04:00")
    begin_hour, begin_minute, end_hour, end_minute = (int(part) for part in match.groups())
    begin, end = time(begin_hour, begin_minute), time(end_hour, end_minute)
    if begin == end:
        raise ValueError("the window ends when it begins; let it begin and end at different times")
    return begin, end


def _check_regexp(value: str) -> str:
    Pattern(value)
    return value


def _check_glob(value: str) -> str:
    compile_glob(value)
    return value


def _write_secret(value: SecretStr, info: SerializationInfo) -> str:
    if not value.get_secret_value():
        return ""
    return value.get_secret_value() if isinstance(info.context, dict) and info.context.get("secrets") else MASK


T = TypeVar("T")
Many = Annotated[tuple[T, ...], BeforeValidator(_one_is_many)]
Origins = Annotated[tuple[str, ...], BeforeValidator(_read_origins)]
Duration = Annotated[timedelta, BeforeValidator(read_duration), PlainSerializer(write_duration, return_type=str)]
# One that is not negative.
Span = Annotated[Duration, AfterValidator(_check_span)]
Level = Annotated[str, BeforeValidator(_read_level)]
Regexp = Annotated[str, AfterValidator(_check_regexp)]
Glob = Annotated[str, AfterValidator(_check_glob)]
Window = Annotated[str, AfterValidator(_check_window)]
# Not in a repr, an error or a log by accident; `Config.to_json` hands it to the server's own processes.
Secret = Annotated[SecretStr, PlainSerializer(_write_secret, return_type=str)]

NO_SECRET: Any = SecretStr("")
HOUR = timedelta(hours=1)
