"""Patterns over repository names, as doublestar has them: `*`, `?` and `[]` stay within a component, `**` crosses them.

`a/**` matches what lies below `a`, and `a` itself; `{a,b}` stands for either. wcmatch, which knows the rest of this,
compiles each pattern once.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

import bracex
from wcmatch import glob

LONGEST = 512
_MOST_ALTERNATIVES = 100
_REMEMBERED = 4_096
_FLAGS = glob.GLOBSTAR | glob.DOTMATCH | glob.FORCEUNIX
# An escaped character, or a class; beside these a pattern has characters that begin neither.
_WHOLE = r"\\.|\[(?![!^]?\])(?:\\.|[^\]\\])+\]"
_PARTS = re.compile(_WHOLE + r"|[^\[\\]", re.DOTALL)
_BRACES = re.compile(_WHOLE + r"|[{}]", re.DOTALL)
_UNREADABLE = {"[": "a [ has no ], or nothing before it", "\\": "it ends with a backslash"}
_WILDCARD = re.compile(r"\*+|\?|\[[^]]*\]|\{[^}]*\}")


class Glob(NamedTuple):
    """A compiled pattern."""

    pattern: str
    expressions: tuple[re.Pattern[str], ...]

    def matches(self, name: str) -> bool:
        """Tell whether a repository's name fits."""
        return any(one.match(name) for one in self.expressions)

    @property
    def rank(self) -> tuple[int, int, str]:
        """Return what the patterns that match one name are sorted by: the first decides.

        The longest goes first; of two that are as long, the one with fewer wildcards' characters, then the one that
        comes first in the order of bytes.
        """
        wild = sum(len(found) for found in _WILDCARD.findall(self.pattern))
        return (-len(self.pattern), wild, self.pattern)


def covers(wide: str, narrow: str) -> bool:
    """Tell whether one pattern matches all that another does, as far as samples of that show.

    Both are patterns that can be read. Samples put each wildcard's shortest and longer matches in its place.
    """
    compiled = compile_glob(wide)
    return all(compiled.matches(sample) for sample in _samples(narrow))


@lru_cache(_REMEMBERED)
def _samples(pattern: str) -> frozenset[str]:
    samples = set()
    for one in bracex.expand(pattern, keep_escapes=True, limit=_MOST_ALTERNATIVES):
        for deep, flat in (("x", "x"), ("x/y/z", "xyz"), ("q0", "q0")):
            text = re.sub(r"(?<![^/])\*\*(?![^/])", deep, one)
            samples.add(re.sub(r"\*+", flat, re.sub(r"\?|\[[^]]*\]", "x", text)))
    return frozenset(samples)


def exactly(name: str) -> Glob:
    """Return a pattern that one name fits, whatever characters it has."""
    return Glob(name, (re.compile(re.escape(name) + r"\Z"),))


@lru_cache(_REMEMBERED)
def compile_glob(pattern: str) -> Glob:
    """Compile a pattern. Raises `ValueError`, with a sentence that says what is wrong with it."""
    if not pattern or len(pattern) > LONGEST:
        raise ValueError(f"a pattern has 1 to {LONGEST} characters")
    _check(pattern)
    try:
        alternatives = bracex.expand(pattern, keep_escapes=True, limit=_MOST_ALTERNATIVES)
    except bracex.ExpansionLimitException:
        raise ValueError(f"it stands for more than {_MOST_ALTERNATIVES} patterns") from None
    # What lies below `a` and `a` itself are two patterns to wcmatch.
    wanted = [*alternatives, *(one.removesuffix("/**") for one in alternatives if one.endswith("/**"))]
    expressions, _ = glob.translate(wanted, flags=_FLAGS)
    try:
        return Glob(pattern, tuple(re.compile(one) for one in expressions))
    except re.error as error:
        raise ValueError(f"it can't be read: {error}") from None


def _check(pattern: str) -> None:
    """Raise `ValueError` for what doublestar does not read and wcmatch takes for characters of a name."""
    rest = _PARTS.sub("", pattern)
    if rest:
        raise ValueError(f"it can't be read: {_UNREADABLE[rest[0]]}")
    depth = 0
    for brace in _BRACES.findall(pattern):
        depth += {"{": 1, "}": -1}.get(brace, 0)
        if depth < 0:
            break
    if depth:
        raise ValueError(f"it can't be read: a {'{' if depth > 0 else '}'} stands alone")
