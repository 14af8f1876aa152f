"""The words in which a decision is told: where in the configuration its rule stands, and what the rule looked at."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from zot.oci.globs import Glob
from zot.oci.patterns import Pattern

_LONGEST = 40


def policy_place(position: int, repositories: Iterable[Glob], name: str) -> str:
    """Return which policy it is, and by which of its globs: `policies[0] (prod/**)`."""
    return f"policies[{position}] ({_cut(next((one.pattern for one in repositories if one.matches(name)), '**'))})"


def entry_place(key: str, position: int, patterns: Iterable[Pattern], tag: str) -> str:
    """Return which entry of a policy it is, and by which of its patterns: `keepTags[1] (^v)`."""
    return f"{key}[{position}] ({_cut(next((one.text for one in patterns if one.matches(tag)), 'all tags'))})"


def rank(position: int, of: int) -> str:
    """Return a place in an order that begins with 0: `it is 3rd of 5`."""
    number = position + 1
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"it is {number}{ending} of {of}"


def moment(seconds: float) -> str:
    """Return a time, given in seconds since 1970, to the minute."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%MZ")
    except (ValueError, OverflowError, OSError):
        # A clock was wrong by some thousand years.
        return f"{seconds:g} s after 1970"


def duration(seconds: float) -> str:
    """Return a length of time as a configuration has it: `168h`, `90m`."""
    for unit, length in (("h", 3600), ("m", 60)):
        if seconds and not seconds % length:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds:g}s"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
