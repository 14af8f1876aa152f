"""A document as it was written: values, and where each of them stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

DEEPEST = 64

# The way to a value: keys as the sections spell them, and positions in lists.
KeyPath = tuple[str | int, ...]


class Place(NamedTuple):
    """A line and a column, both counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text, a number, a truth value or nothing; `end` is where it is over."""

    place: Place
    end: Place
    value: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    place: Place
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and their values, in order; a key may be there twice."""

    place: Place
    entries: tuple[Entry, ...]


Node = Scalar | Items | Mapping


class Entry(NamedTuple):
    """A key as it was written, its place, and its value."""

    name: str
    place: Place
    value: Node


def is_empty(node: Node) -> bool:
    """Tell whether a value holds nothing."""
    return (isinstance(node, Mapping) and not node.entries) or (isinstance(node, Scalar) and node.value is None)


class Broken(Exception):
    """The text is no document: where, why, and what to do."""

    def __init__(self, place: Place, what: str, remedy: str) -> None:
        super().__init__(what)
        self.place = place
        self.what = what
        self.remedy = remedy
