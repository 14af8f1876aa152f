"""The scopes of an API key. `GLOB:ACTION[,ACTION]` narrows what the key is for; any other text is kept and shown."""

from __future__ import annotations

from collections.abc import Iterable

from zot.auth.actions import GRANTED, NEEDS, Action, effective
from zot.auth.principal import Scope
from zot.oci.globs import compile_glob

LONGEST = 256
MOST = 64
# Each costs another pass over a name, and whoever makes a key chooses.
_MOST_CROSSING = 4
_USABLE = {name: action for name, action in GRANTED.items() if action is not Action.DETECT}


def parse_scope(text: str) -> Scope | None:
    """Return what a scope narrows a key to; None for a text that narrows nothing.

    Raises `ValueError`, with a sentence, for a text that means to narrow and can't.
    """
    if len(text) > LONGEST:
        raise ValueError(f"a scope has at most {LONGEST} characters")
    pattern, colon, listed = text.rpartition(":")
    if not colon:
        return None
    names = [name.strip() for name in listed.split(",")]
    unknown = [name for name in names if name not in _USABLE]
    if unknown:
        raise ValueError(f"{text!r}: {unknown[0]!r} is none of {', '.join(_USABLE)}")
    if pattern.count("**") > _MOST_CROSSING or "{" in pattern:
        raise ValueError(f"{text!r}: the pattern is too involved for a key; use several scopes")
    actions = frozenset(_USABLE[name] for name in names)
    for action in sorted(actions - effective(actions), key=lambda one: one.value):
        missing = ", ".join(sorted(need.value for need in NEEDS[action] - actions))
        raise ValueError(f"{text!r}: {action.value} needs {missing} too")
    return Scope(compile_glob(pattern), actions)


def narrowing(texts: Iterable[str]) -> tuple[Scope, ...] | None:
    """Return what scopes, which were parsed before, narrow a key to together; None if none of them does."""
    parsed = tuple(scope for scope in map(parse_scope, texts) if scope is not None)
    return parsed or None
