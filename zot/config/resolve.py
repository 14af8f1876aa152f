"""From a document to the values of a section: keys in any case and by any of their names, secrets from elsewhere.

What a document has that the sections don't know is told here; whether values are right is pydantic's to say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as AnyMapping
from pathlib import Path
from typing import Any

from zot.config.describe import DURATION, NUMBER, default, kind
from zot.config.keys import Setting, acts, settings
from zot.config.nodes import Entry, Items, KeyPath, Mapping, Node, Place, Scalar
from zot.config.problems import ConfigError, Problem
from zot.config.section import Section
from zot.config.source import Source
from zot.config.suggestions import explain_unknown, may_be_secret
from zot.config.values import tiny_number

MOST_NODES = 100_000
MOST_PROBLEMS = 100

# An address with a password in it.
_LOGIN = re.compile(r"//[^/\s]*@")
# A whole number with zeros before it.
_ZEROS = re.compile(r"0+(\d+)")
_ELSEWHERE = re.compile(r"\$\{(?:(file):)?([^}]+)\}")


class Resolver:
    """Resolves one document against the sections below `top`.

    `places` and `written` hold where each key stands and how it is spelled there, by its path in the sections.
    """

    def __init__(self, source: Source, top: type[Section], environ: AnyMapping[str, str]) -> None:
        self.places: dict[KeyPath, Place] = {}
        self.written: dict[KeyPath, str] = {}
        self.problems: list[Problem] = []
        self._source = source
        self._top = top
        self._environ = environ
        self._nodes = 0

    def resolve(self, node: Node) -> Any:
        """Return plain values for pydantic. Raises `ConfigError` if there are too many."""
        return self._section(node, self._top, (), above=True)

    def problem(self, path: KeyPath, what: str, remedy: str, *, warning: bool = False) -> Problem:
        """Return what is wrong with a key, at its place or that of the nearest section above it."""
        place = next(
            (self.places[path[:end]] for end in range(len(path), -1, -1) if path[:end] in self.places), Place(1, 1)
        )
        return self._source.problem(place, self.dotted(path), what, remedy, warning=warning)

    def dotted(self, path: KeyPath) -> str:
        """Spell a key as the file does, and what is not there as the sections do."""
        parts = (
            f"[{part}]" if isinstance(part, int) else "." + self.written.get(path[: end + 1], part)
            for end, part in enumerate(path)
        )
        return "".join(parts).removeprefix(".")

    def _tell(self, problem: Problem) -> None:
        """Add a problem; a file with very many is no configuration, and is not looked at any further."""
        self.problems.append(problem)
        if len(self.problems) >= MOST_PROBLEMS:
            raise ConfigError([self._source.show(one) for one in self.problems])

    def _count(self, node: Node) -> None:
        """Stop before YAML's aliases stand for more than memory holds."""
        self._nodes += 1
        if self._nodes > MOST_NODES:
            what = f"it has more than {MOST_NODES} values"
            raise ConfigError([self._source.problem(node.place, "", what, "use fewer, and fewer aliases")])

    def _section(self, node: Node, section: type[Section], path: KeyPath, *, above: bool | None) -> Any:
        self._count(node)
        if not isinstance(node, Mapping):
            self._hide(node)
            return self._plain(node, path)
        values: dict[str, Any] = {}
        for entry in node.entries:
            setting = settings(section).get(entry.name.lower())
            if setting is None:
                self._unknown(entry, section, path)
                continue
            where = (*path, setting.name)
            if self._is_new(entry, where):
                value = self._value(entry.value, setting, where, self._tell_if_idle(entry.value, setting, where, above))
                if value is not None:
                    values[setting.name] = value
        return values

    def _tell_if_idle(self, node: Node, setting: Setting, path: KeyPath, above: bool | None) -> bool | None:
        """Warn, once, of a key that changes nothing; return what those below inherit, None for no more warnings.

        Nothing is said of a default, as `zot config show` writes all of them.
        """
        if above is None:
            return None
        if _is_default(node, setting):
            return above if setting.acted_on is None else setting.acted_on
        if setting.needless:
            what = f"it changes nothing: {setting.needless}"
        elif not acts(setting, above) and (setting.acted_on is False or setting.shape.section is None):
            what = "this version does not act on it yet"
        else:
            return above if setting.acted_on is None else setting.acted_on
        self._tell(self.problem(path, what, "leave it out", warning=True))
        return None

    def _value(self, node: Node, setting: Setting, path: KeyPath, above: bool | None) -> Any:
        self._count(node)
        container, section = setting.shape
        if container == "map" and isinstance(node, Mapping):
            entries = [entry for entry in node.entries if self._is_new(entry, (*path, entry.name))]
            return {entry.name: self._one(entry.value, setting, (*path, entry.name), above) for entry in entries}
        if container == "list" and isinstance(node, Items):
            return [self._one(item, setting, (*path, number), above) for number, item in enumerate(node.items)]
        if container == "list" and section is not None and isinstance(node, Mapping):
            return [self._one(node, setting, (*path, 0), above)]
        return self._one(node, setting, path, above)

    def _one(self, node: Node, setting: Setting, path: KeyPath, above: bool | None) -> Any:
        self.places.setdefault(path, node.place)
        if setting.shape.section is not None:
            return self._section(node, setting.shape.section, path, above=above)
        if setting.secret:
            self._hide(node, keys=True)
        if not isinstance(node, Scalar):
            return self._plain(node, path)
        if kind(setting) == DURATION and (number := tiny_number(node.value)) is not None:
            what = f"{number} is {number} nanoseconds"
            self._tell(self.problem(path, what, f"write {number}s if you mean seconds", warning=True))
        if kind(setting) == NUMBER and isinstance(node.value, str) and (match := _ZEROS.fullmatch(node.value)):
            what = f"{node.value} begins with 0, which some take for an octal number"
            self._tell(self.problem(path, what, f"write {match[1]}"))
        return self._secret(node.value, path) if setting.secret else self._plain(node, path)

    def _plain(self, node: Node, path: KeyPath) -> Any:
        self._count(node)
        self.places.setdefault(path, node.place)
        if isinstance(node, Scalar):
            return node.value
        if isinstance(node, Items):
            return [self._plain(item, (*path, number)) for number, item in enumerate(node.items)]
        return {entry.name: self._plain(entry.value, (*path, entry.name)) for entry in node.entries}

    def _is_new(self, entry: Entry, path: KeyPath) -> bool:
        """Note where a key stands; tell of one that is there already."""
        if path in self.written:
            line = self.places[path].line
            what = f"it is given twice, first in line {line}"
            key = self.dotted((*path[:-1], entry.name))
            self._tell(self._source.problem(entry.place, key, what, "leave one of them out"))
            return False
        self.places[path] = entry.place
        self.written[path] = entry.name
        return True

    def _secret(self, value: Any, path: KeyPath) -> Any:
        """Return a secret, from the environment or a file if it says `${NAME}` or `${file:PATH}`."""
        match = _ELSEWHERE.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            return value
        is_file, name = match.groups()
        if not is_file:
            if name in self._environ:
                return self._environ[name]
            what, remedy = f"the environment variable {name} is not set", f"set {name}"
        else:
            try:
                return Path(name).read_text().rstrip("\r\n")
            except (OSError, ValueError) as error:
                reason = (error.strerror or "").lower() if isinstance(error, OSError) else "it is not text in UTF-8"
                what, remedy = f"the file {name} can't be read: {reason}", "name one that holds the secret"
        self._tell(self.problem(path, what, remedy))
        return value

    def _unknown(self, entry: Entry, section: type[Section], path: KeyPath) -> None:
        """Tell of a key that is not known here, and hide what may be a secret in the wrong place or misspelled."""
        where = (*path, entry.name)
        if not self._is_new(entry, where):
            return
        self._hide_what_may_be_secret(entry)
        what, remedy = explain_unknown(entry.name, section, path, self.dotted(path), self._top)
        if section.free:
            what = "this version does not know it, and ignores it"
        self._tell(self.problem(where, what, remedy, warning=section.free))

    def _hide_what_may_be_secret(self, entry: Entry) -> None:
        """Hide the values in a key that nobody knows which look like secrets by their name or themselves."""
        if may_be_secret(entry.name, self._top, one_value=isinstance(entry.value, Scalar)):
            self._hide(entry.value, keys=True)
            return
        self._count(entry.value)
        items = entry.value.items if isinstance(entry.value, Items) else (entry.value,)
        for node in items:
            if isinstance(node, Mapping):
                for below in node.entries:
                    self._hide_what_may_be_secret(below)
            elif isinstance(node, Items) or (isinstance(node, Scalar) and _LOGIN.search(str(node.value))):
                self._hide(node)

    def _hide(self, node: Node, *, keys: bool = False) -> None:
        """Never show a value, nor, if `keys`, the names of keys in it."""
        self._count(node)
        if isinstance(node, Scalar):
            self._source.hide(node.place, node.end)
        for below in node.items if isinstance(node, Items) else ():
            self._hide(below, keys=keys)
        for entry in node.entries if isinstance(node, Mapping) else ():
            if keys:
                line, column = entry.place
                self._source.hide(entry.place, Place(line, column + len(entry.name) + 2))
            self._hide(entry.value, keys=keys)


def _is_default(node: Node, setting: Setting) -> bool:
    """Tell whether a value is what its key has anyway, as the file spells it."""
    if isinstance(node, Scalar):
        return node.value is not None and str(node.value).lower() == default(setting).lower()
    is_empty = not (node.items if isinstance(node, Items) else node.entries)
    return is_empty and setting.shape.container != "" and default(setting) == ""
