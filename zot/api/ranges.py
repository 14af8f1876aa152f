"""Byte ranges of a blob (RFC 9110, section 14)."""

from __future__ import annotations

import re
from typing import NamedTuple

from zot.errors import RangeUnsatisfiable

MOST = 16
_SPEC = re.compile(r"\s*(\d{0,19})\s*-\s*(\d{0,19})\s*", re.ASCII)


class Range(NamedTuple):
    """Bytes from `start` up to, not including, `stop`."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """How many bytes that is."""
        return self.stop - self.start

    def content_range(self, size: int) -> str:
        """Return the Content-Range header's value."""
        return f"bytes {self.start}-{self.stop - 1}/{size}"


def parse(header: str | None, size: int) -> list[Range] | None:
    """Return the ranges that a Range header asks for, sorted, and joined where they overlap or touch.

    None stands for the whole: there is no such header, or its unit is not bytes. Raises `RangeUnsatisfiable` if a
    range is malformed, if there are more than 16, or if none holds a byte of the blob.
    """
    if header is None:
        return None
    unit, _, specs = header.partition("=")
    if unit.strip().lower() != "bytes":
        return None
    # Empty elements of a list are passed over (RFC 9110, section 5.6.1).
    asked = [spec for spec in specs.split(",") if spec.strip()]
    if len(asked) > MOST:
        raise _unsatisfiable(header, size, f"it has more than {MOST} ranges")
    found = [one for one in (_read(spec, header, size) for spec in asked) if one is not None]
    if not found:
        raise _unsatisfiable(header, size, f"the blob has {size} bytes")
    return _join(sorted(found))


def _read(spec: str, header: str, size: int) -> Range | None:
    """Read one range; None if it holds no byte of the blob."""
    match = _SPEC.fullmatch(spec)
    if match is None or match.group(1) == match.group(2) == "":
        raise _unsatisfiable(header, size, "it is malformed")
    first, last = match.groups()
    if first == "":
        start, stop = max(size - int(last), 0), size
    else:
        start, stop = int(first), size if last == "" else min(int(last) + 1, size)
        if last != "" and int(last) < start:
            raise _unsatisfiable(header, size, "it ends before it begins")
    return Range(start, stop) if start < stop else None


def _join(ranges: list[Range]) -> list[Range]:
    joined = [ranges[0]]
    for one in ranges[1:]:
        before = joined[-1]
        if one.start <= before.stop:
            joined[-1] = Range(before.start, max(before.stop, one.stop))
        else:
            joined.append(one)
    return joined


def _unsatisfiable(header: str, size: int, why: str) -> RangeUnsatisfiable:
    return RangeUnsatisfiable(
        f"the range {header[:160]!r} can't be served: {why}",
        f"ask for bytes 0 to {max(size - 1, 0)}, or leave the Range header out",
        headers={"Content-Range": f"bytes */{size}"},
    )
