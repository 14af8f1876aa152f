"""What a registry has acknowledged to a client, and what it may hold of that which it has not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

Value = str | None
_MOST_GONE = 10_000


class Broken(Exception):
    """The registry lost something, made something up, or serves what is not whole."""


class Register(NamedTuple):
    """A place of a registry that holds something or nothing: `kind` is `tag`, `manifest`, `blob` or `referrer`.

    A tag holds the digest of a manifest; the others hold their own key. A referrer's key is its subject and itself.
    """

    kind: str
    name: str
    key: str


class Book:
    """The registers of one client, which is the only one that writes to them."""

    def __init__(self) -> None:
        self.changed: set[Register] = set()
        self.gone: dict[Register, None] = {}
        self._held: dict[Register, str] = {}
        self._possible: dict[Register, frozenset[Value]] = {}

    def living(self) -> list[Register]:
        """Return the registers that hold something, or may."""
        return [*self._held, *(one for one in self._possible if one not in self._held and self.holds(one))]

    def possible(self, register: Register) -> frozenset[Value]:
        """Return what the register may hold."""
        return self._possible.get(register) or frozenset([self._held.get(register)])

    def holds(self, register: Register) -> bool:
        """Tell whether the register may hold something."""
        return self.possible(register) != {None}

    def held(self, kind: str, name: str) -> list[Register]:
        """Return the registers of a repository that hold something, or may."""
        return [one for one in self.living() if one[:2] == (kind, name)]

    def compare(self, register: Register, found: Value) -> None:
        """Raise `Broken` if this is not what the register may hold."""
        if found not in (possible := self.possible(register)):
            known = " or ".join(sorted(str(one) for one in possible))
            raise Broken(f"{' '.join(register)} should be {known}, and is {found}")

    @contextmanager
    def attempt(self, effects: Mapping[Register, Value]) -> Iterator[None]:
        """Note what a request may change. When the block ends it has been acknowledged; if it raises, nobody knows."""
        for register, value in effects.items():
            self._possible[register] = self.possible(register) | {value}
        self.changed |= effects.keys()
        yield
        for register, value in effects.items():
            self.settle(register, value)

    def settle(self, register: Register, value: Value) -> None:
        """Note what a register holds. Those that hold nothing for long are forgotten, so that the book stays small."""
        self._possible.pop(register, None)
        if value is not None:
            self._held[register] = value
            self.gone.pop(register, None)
            return
        self._held.pop(register, None)
        self.gone[register] = None
        if len(self.gone) > _MOST_GONE:
            del self.gone[next(iter(self.gone))]
