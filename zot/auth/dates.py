"""Dates of API keys, as they are written and read."""

from __future__ import annotations

from datetime import datetime
from email.utils import parsedate_to_datetime

# How "never" is written.
NEVER = "0001-01-01T00:00:00Z"
# What `read_date` reads, by examples.
FORMS = "2027-08-28T17:10:05Z, 2027-08-28T17:10:05+03:00 or Sat, 28 Aug 2027 17:10:05 +0300"


def now() -> datetime:
    """Return the time in the zone of this machine."""
    return datetime.now().astimezone()


def write_date(date: datetime | None) -> str:
    """Write a time as RFC 3339 has it; None is never."""
    return NEVER if date is None else date.isoformat().replace("+00:00", "Z")


def read_date(text: str) -> datetime | None:
    """Read a date in RFC 3339 or RFC 1123Z, with its zone; None stands for never. Raises `ValueError`."""
    if not text or text == NEVER:
        return None
    try:
        read = datetime.fromisoformat(text) if text[:1].isdigit() else parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        read = None
    if read is None:
        raise ValueError(f"{text[:40]!r} is no date")
    if read.tzinfo is None:
        raise ValueError(f"{text[:40]!r} is no date with its time and zone")
    return read
