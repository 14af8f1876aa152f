"""The table of all keys, read off the sections: what validation, completion, the reference and `explain` go by."""

from __future__ import annotations

import types
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from zot.config.section import Section


class Shape(NamedTuple):
    """What a type holds: one value, a `list` or a `map` of them, and the section that each of them is, if any."""

    container: str
    section: type[Section] | None


class Setting(NamedTuple):
    """One key of a section. What is None of `reload` and `acted_on` is as the section's own key says."""

    name: str
    also: tuple[str, ...]
    sentence: str
    shape: Shape
    secret: bool
    reload: bool | None
    acted_on: bool | None
    needless: str
    field: FieldInfo


class Key(NamedTuple):
    """One key of the whole configuration; `path` has `<name>` where a map's own key stands and `[]` after a list."""

    path: str
    setting: Setting
    reload: bool
    acted_on: bool
    needless: str

    @property
    def paths(self) -> tuple[str, ...]:
        """The path, and what it is with each further name of the key."""
        section = self.path.removesuffix(self.setting.name)
        return (self.path, *(section + name for name in self.setting.also))

    @property
    def depth(self) -> int:
        """How many sections it is below."""
        return self.path.count(".")


@cache
def settings(section: type[Section]) -> dict[str, Setting]:
    """Return the keys of a section by each of their names in lower case, in the order of the section."""
    found = {}
    for field in section.model_fields.values():
        extra = field.json_schema_extra
        assert isinstance(extra, dict)
        facts: dict[str, Any] = extra["zot"]  # type: ignore[assignment]
        one = Setting(
            name=str(field.alias),
            sentence=field.description or "",
            shape=_shape(field.annotation),
            field=field,
            **facts,
        )
        found.update({name.lower(): one for name in (one.name, *one.also)})
    return found


def each(section: type[Section]) -> list[Setting]:
    """Return the keys of a section, each once."""
    return [setting for name, setting in settings(section).items() if name == setting.name.lower()]


def acts(setting: Setting, above: bool = True) -> bool:
    """Tell whether this version acts on a key, or on any key below it; `above` is what its section says."""
    if setting.needless:
        return False
    own = above if setting.acted_on is None else setting.acted_on
    section = setting.shape.section
    return own if section is None else any(acts(below, own) for below in each(section))


@cache
def all_keys(section: type[Section]) -> tuple[Key, ...]:
    """Return all keys of a section and those below it, in the order of the sections."""
    return tuple(_walk(section, "", reload=False, acted_on=True, needless=""))


def _walk(section: type[Section], prefix: str, *, reload: bool, acted_on: bool, needless: str) -> Iterator[Key]:
    for setting in each(section):
        path = prefix + setting.name
        reloads = reload if setting.reload is None else setting.reload
        why = setting.needless or needless
        own = not why and (acted_on if setting.acted_on is None else setting.acted_on)
        yield Key(path, setting, reloads, acts(setting, acted_on) and not why, why)
        below = {"map": ".<name>", "list": "[]", "": ""}[setting.shape.container]
        if setting.shape.section is not None:
            yield from _walk(setting.shape.section, f"{path}{below}.", reload=reloads, acted_on=own, needless=why)


def _shape(annotation: Any) -> Shape:
    """Look through `X | None`, `Annotated`, `tuple[X, ...]` and `dict[str, X]`."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return Shape("", annotation)
    if origin in (Union, types.UnionType):
        return next((shape for part in inner if (shape := _shape(part)) != Shape("", None)), Shape("", None))
    if origin is tuple:
        return Shape("list", _shape(inner[0]).section)
    if origin is dict:
        return Shape("map", _shape(inner[1]).section)
    if hasattr(annotation, "__metadata__"):
        return _shape(inner[0])
    return Shape("", None)
