"""Patterns over repository names."""

from __future__ import annotations

import pytest

from zot.oci.globs import compile_glob, covers


@pytest.mark.parametrize(
    ("pattern", "fits", "does_not"),
    [
        ("**", ["a", "a/b", "a/b/c"], []),
        ("*", ["a"], ["a/b"]),
        ("tmp/**", ["tmp/a", "tmp/a/b", "tmp"], ["tmpa", "a/tmp/b"]),
        ("infra/*", ["infra/a"], ["infra", "infra/a/b", "infrab/c"]),
        ("repos2/repo", ["repos2/repo"], ["repos2/repo2", "repos2/repo/a", "a/repos2/repo"]),
        ("**/c", ["c", "a/c", "a/b/c"], ["c/a", "a/bc"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["ab", "a/xb", "a/b/c"]),
        ("a**b", ["ab", "axb"], ["a/b"]),
        ("app-?", ["app-1"], ["app-", "app-12", "app-/"]),
        ("app-[a-c]", ["app-b"], ["app-d"]),
        ("app-[^a-c]", ["app-d"], ["app-b", "app-/"]),
        ("{a,b/**}/x", ["a/x", "b/c/x", "b/x"], ["c/x"]),
        ("{a,b/**}", ["a", "b", "b/c"], ["a/c"]),
        ("a.b", ["a.b"], ["axb"]),
    ],
)
def test_what_fits(pattern: str, fits: list[str], does_not: list[str]) -> None:
    """A pattern fits the names that doublestar says it fits, and no others."""
    compiled = compile_glob(pattern)
    assert [name for name in fits if not compiled.matches(name)] == []
    assert [name for name in does_not if compiled.matches(name)] == []


@pytest.mark.parametrize("pattern", ["", "a" * 513, "{a,b}" * 12])
def test_what_is_no_pattern(pattern: str) -> None:
    """A pattern that is empty, too long or stands for too many is refused with a sentence."""
    with pytest.raises(ValueError, match="pattern"):
        compile_glob(pattern)


@pytest.mark.parametrize("pattern", ["a[", "[]", "[!]", "[]a]", "{a", "a}", "}{", "{a,{b}", "a\\"])
def test_what_doublestar_does_not_read(pattern: str) -> None:
    """What begins a class, alternatives or an escape and does not end it is refused: no name has such a character."""
    with pytest.raises(ValueError, match="it can't be read: "):
        compile_glob(pattern)


@pytest.mark.parametrize(
    "pattern", ["[a]", "[!a]", "[^a-c]x", "[\\]]", "{a,{b,c}}", "a\\{", "a\\[b", "[{]", "{a,[}]}", "**]"]
)
def test_what_doublestar_reads(pattern: str) -> None:
    """Classes, escapes and alternatives may hold each other."""
    assert compile_glob(pattern).pattern == pattern


def test_which_decides() -> None:
    """The longest pattern goes first, then the one with fewer wildcards, then the first in the order of bytes."""
    patterns = ["**", "a/**", "a/*b", "a/?b", "a/bb", "a/ab", "a/[a]"]
    ranked = sorted((compile_glob(one) for one in patterns), key=lambda one: one.rank)
    assert [one.pattern for one in ranked] == ["a/[a]", "a/ab", "a/bb", "a/*b", "a/?b", "a/**", "**"]


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        ("infra/**", "infra/*", True),
        ("infra/*", "infra/**", False),
        ("**", "a/b", True),
        ("a/*", "a/b", True),
        ("a/*-prod", "a/*", False),
        ("a/{b,c}", "a/b", True),
        ("a/*", "{a,b}/x", False),
        ("a/?", "a/[bc]", True),
        ("b/**", "a/**", False),
    ],
)
def test_what_covers_what(wide: str, narrow: str, expected: bool) -> None:
    """A pattern covers another if it matches all that the other does."""
    assert covers(wide, narrow) is expected
