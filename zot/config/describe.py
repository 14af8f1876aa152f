"""What a key is, in words for people: its type, its default, and all that is known about it."""

from __future__ import annotations

import types
from datetime import timedelta
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr

from zot.config.keys import Key, Setting
from zot.config.section import Section
from zot.config.values import write_duration

DURATION = "duration"
NUMBER = "whole number"
_WORDS: dict[object, str] = {
    str: "text",
    int: NUMBER,
    float: "number",
    bool: "true or false",
    timedelta: DURATION,
    SecretStr: "secret text",
}


def kind(setting: Setting) -> str:
    """Return the type of a key: `text`, `list of durations`, `section`."""
    return _kind(setting.field.annotation)


def default(setting: Setting) -> str:
    """Return the default of a key, as a file would spell it; `required` for none, empty for left out."""
    field = setting.field
    if field.is_required():
        return "required"
    return "" if isinstance(field.default, Section) else _value(field.default)


def known(key: Key) -> dict[str, object]:
    """Return all that is known about a key, for `zot config explain --output json`."""
    setting = key.setting
    return {
        "key": key.path,
        "alsoNamed": list(setting.also),
        "type": kind(setting),
        "default": default(setting),
        "meaning": setting.sentence,
        "secret": setting.secret,
        "reloadable": key.reload,
        "actedOn": key.acted_on,
    }


def remarks(key: Key) -> list[str]:
    """Return what is to be said of a key beside its meaning, in sentences."""
    setting = key.setting
    names = ", ".join(f"`{name}`" for name in setting.also)
    return [
        sentence
        for holds, sentence in (
            (setting.also, f"Also named {names}."),
            (setting.secret, "A secret; it may be `${NAME}`, an environment variable, or `${file:PATH}`."),
            (key.reload, "A running server takes a change over."),
            (key.needless, f"Changes nothing: {key.needless}."),
            (not key.acted_on and not key.needless, "Not acted on yet."),
        )
        if holds
    ]


def _value(value: object) -> str:
    if value is None or value in ({}, ""):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, timedelta):
        return write_duration(value)
    if isinstance(value, tuple):
        return ", ".join(_value(part) for part in value)
    return "" if isinstance(value, SecretStr) else str(value)


def _kind(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return _kind(next(part for part in inner if part is not type(None)))
    if hasattr(annotation, "__metadata__"):
        return _kind(inner[0])
    if origin in (tuple, dict):
        many = _kind(inner[0] if origin is tuple else inner[1])
        return f"{'list of' if origin is tuple else 'map of names to'} {many if ' of ' in many else many + 's'}"
    if origin is Literal:
        return "one of " + ", ".join(str(choice) for choice in inner)
    return _WORDS.get(annotation, "section")
