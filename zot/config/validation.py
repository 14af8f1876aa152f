"""Values against their types: a section, and what is wrong; if something is, the rest of it all the same.

Rules look at a whole configuration, and all that is wrong with one is to be told at once. So what is wrong is taken
out, what is missing is made up, and the rules' findings about either are left out.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import ValidationError

from zot.config.keys import each, settings
from zot.config.nodes import KeyPath
from zot.config.section import Section

_MOST_ROUNDS = 20
_MOST_FAULTS = 100
# A text that is not empty, and a number above zero.
_MADE_UP = "1"

S = TypeVar("S", bound=Section)

# What is wrong, and what to do, by pydantic's name for it.
_SAID = {
    "missing": ("it is missing", "add it"),
    "string_too_short": ("it is empty", "give it a value"),
    "too_short": ("it is empty", "give it a value"),
    "bool_parsing": ("{input} is neither true nor false", "use true or false"),
    "bool_type": ("it is neither true nor false", "use true or false"),
    "int_parsing": ("{input} is no whole number", "use a whole number"),
    "int_parsing_size": ("it is no whole number", "use a smaller one"),
    "int_type": ("it is no whole number", "use a whole number"),
    "int_from_float": ("{input} is no whole number", "use a whole number"),
    "float_parsing": ("{input} is no number", "use a number"),
    "float_type": ("it is no number", "use a number"),
    "finite_number": ("it is no number", "use a number"),
    "greater_than": ("it is not more than {gt}", "use more than {gt}"),
    "greater_than_equal": ("it is less than {ge}", "use {ge} or more"),
    "less_than_equal": ("it is more than {le}", "use {le} or less"),
    "string_type": ("it is no text", "use a text"),
    "tuple_type": ("it is no list", "use a list"),
    "literal_error": ("{input} is not known here", "use one of {expected}"),
}


_NO_SECTION = {"dict_type", "model_type", "model_attributes_type"}
# The key that is most likely meant where a section is a mere value, by that value's type.
_LIKELY: dict[type, tuple[str, ...]] = {bool: ("enable",), str: ("path", "output"), list: ("policies",)}
_MOST_KEYS = 6


class Fault(NamedTuple):
    """One value that is wrong, why, and what to do."""

    path: KeyPath
    what: str
    remedy: str


class Validated(NamedTuple, Generic[S]):
    """The section, if anything could be made of it, and what is wrong with the values."""

    section: S | None
    faults: list[Fault]


def validate(values: Any, section: type[S]) -> Validated[S]:
    """Check plain values, whose keys are spelled as the sections do."""
    faults: list[Fault] = []
    values = deepcopy(values)
    for _ in range(_MOST_ROUNDS):
        try:
            return Validated(section.model_validate(values), faults)
        except ValidationError as error:
            known = {fault.path for fault in faults}
            for one in error.errors(include_url=False)[:_MOST_FAULTS]:
                _take_out(values, one["loc"], make_up=one["type"] == "missing" and one["loc"] not in known)
                if one["loc"] not in known:
                    faults.append(_fault(one, section))
    return Validated(None, faults)


def _fault(error: Any, top: type[Section]) -> Fault:
    kind = error["type"]
    if kind in _NO_SECTION:
        return Fault(error["loc"], "it is no section", _as_section(error["loc"], error["input"], top))
    if kind == "value_error":
        # A check of our own: "what; what to do".
        what, _, remedy = str(error["ctx"]["error"]).partition("; ")
        return Fault(error["loc"], what, remedy or "mend it")
    what, remedy = _SAID.get(kind, (error["msg"][:1].lower() + error["msg"][1:], "use a value of that kind"))
    facts = {"input": repr(error["input"]), **error.get("ctx", {})}
    return Fault(error["loc"], what.format_map(facts), remedy.format_map(facts))


def _as_section(path: KeyPath, value: Any, top: type[Section]) -> str:
    """Say how to write a section: with the key that is likely meant, or with those that it has."""
    section, container = top, ""
    for part in path:
        if isinstance(part, int):
            continue
        if container == "map":
            container = ""
        elif (setting := settings(section).get(part.lower())) is not None:
            section, container = setting.shape.section or section, setting.shape.container
    if container == "map":
        return "use a section with names of your own, and a section for each"
    keys = [setting.name for setting in each(section) if not setting.needless]
    kind = bool if str(value).lower() in ("true", "false") else type(value)
    if likely := next((key for key in _LIKELY.get(kind, ()) if key in keys), ""):
        shown = {bool: str(value).lower(), list: "[…]"}.get(kind, '"…"')
        return f'use a section with keys of its own, as {{"{likely}": {shown}}}'
    more = ", …" if len(keys) > _MOST_KEYS else ""
    return f"use a section with keys of its own: {', '.join(keys[:_MOST_KEYS])}{more}"


def _take_out(values: Any, path: KeyPath, *, make_up: bool) -> None:
    """Remove the value at a path, or the nearest key above it that is there; or put one there."""
    while path:
        section = _at(values, path[:-1])
        if isinstance(section, dict) and (make_up or path[-1] in section):
            if make_up:
                section[path[-1]] = _MADE_UP
            else:
                del section[path[-1]]
            return
        path, make_up = path[:-1], False


def _at(values: Any, path: KeyPath) -> Any:
    for part in path:
        try:
            values = values[part]
        except (LookupError, TypeError):
            return None
    return values
