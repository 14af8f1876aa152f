"""YAML, read so that every value keeps its place.

Plain values stay the texts that they are (only `null`, `~` and nothing are nothing): the key that they belong to says
whether they are a number, so that a user may be called `no` and a tag `1.10`. The parser is libyaml's where PyYAML has
it; its events need no recursion, so how deep a file goes is limited here.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from zot.config.nodes import DEEPEST, Broken, Entry, Items, Mapping, Node, Place, Scalar

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NOTHING = {"", "~", "null", "Null", "NULL"}
_TAGS = {None, "!", *(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq"))}
_STARRED = ("while scanning an alias", "while scanning an anchor")
_MERGE = "<<"
_MOST_MERGED = 10_000
_INDENT = ("it is indented otherwise than the lines before it", "give all keys of a section the same indent")
_OPEN = ("a bracket or brace is not closed before this, or a comma is missing", "close it, or separate with a comma")
# What may stand for an alias, up to where a key or a value of YAML ends.
_STAR = re.compile(r"[*&][^\s,\[\]{}]*?(?=:?(?:[\s,\[\]{}]|$))")
# What the parser says, and what that is for people.
_PLAIN = (
    ("found character that cannot start any token", ("no value begins so", "put it between quotes")),
    (
        "mapping values are not allowed",
        ("there is a colon too many, or it is indented too far", "quote the value, or indent as the line before does"),
    ),
    ("did not find expected key", _INDENT),
    ("did not find expected '-' indicator", _INDENT),
    ("expected <block end>", _INDENT),
    ("did not find expected ','", _OPEN),
    ("expected ',' or", _OPEN),
    ("did not find expected node content", ("there is no value here", "write one")),
    ("found unexpected end of stream", ("the file ends inside of quotes", "close them")),
    ("could not find expected ':'", ("a colon is missing after the key in the line before", "write KEY: VALUE")),
    ("found unknown escape character", ("no such escape exists", "write it in single quotes")),
    ("found unexpected document indicator", ("a line of dashes stands inside of quotes", "close them")),
    ("found undefined tag handle", ("! begins a tag", "put the value between quotes")),
)


def read_yaml(text: str) -> Node | None:
    """Return the document, or None if there is none. Raises `Broken`."""
    try:
        loader = _LOADER(text)
        try:
            return _Reader(loader).document()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = _place(mark) if mark else Place(1, 1)
        if (tab := _tab(place, text)) is not None:
            raise Broken(tab, "a tab stands there, which YAML does not allow", "indent with spaces") from None
        if error.context in _STARRED:
            raise _unquoted(_place(error.context_mark), text) from None
        raise Broken(place, *_in_plain_words(error.problem or "")) from None
    except yaml.reader.ReaderError as error:
        raise Broken(Place(1, 1), f"it has a character that YAML does not allow: {error.reason}", "remove it") from None


def _in_plain_words(problem: str) -> tuple[str, str]:
    """Return what is wrong and what to do, where the parser speaks of tokens and blocks."""
    return next((said for known, said in _PLAIN if problem.startswith(known)), ("it is not YAML", "mend it there"))


def _unquoted(place: Place, text: str) -> Broken:
    """Return what is wrong with a pattern without quotes, which YAML takes for an alias, or an anchor."""
    match = _STAR.match(text.split("\n")[place.line - 1], place.column - 1)
    name = match.group() if match else "*"
    return Broken(place, f"what begins with {name[0]} must be quoted", f'write "{name}"')


def _tab(place: Place, text: str) -> Place | None:
    """Return where a tab is that the parser may have stumbled over: at the place itself, or in an indent near it."""
    lines = ["", *text.split("\n")]
    if place.line < len(lines) and lines[place.line][place.column - 1 : place.column] == "\t":
        return place
    for number in (place.line, place.line - 1):
        line = lines[number] if 0 < number < len(lines) else ""
        if (column := line[: len(line) - len(line.lstrip())].find("\t")) >= 0:
            return Place(number, column + 1)
    return None


class _Reader:
    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._anchors: dict[str, Node] = {}

    def document(self) -> Node | None:
        self._loader.get_event()
        if self._loader.check_event(yaml.StreamEndEvent):
            return None
        self._loader.get_event()
        node = self._node(self._loader.get_event(), 0)
        self._loader.get_event()
        more = self._loader.get_event()
        if not isinstance(more, yaml.StreamEndEvent):
            raise Broken(_place(more.start_mark), "there is a second document", "keep one of them in a file of its own")
        return node

    def _node(self, event: Any, depth: int) -> Node:
        place = _place(event.start_mark)
        if depth > DEEPEST:
            raise Broken(place, f"it is nested deeper than {DEEPEST}", "write it as the examples do")
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                remedy = f"put it between quotes, or write &{event.anchor} before it"
                raise Broken(place, f"*{event.anchor} stands for nothing before it", remedy)
            return self._anchors[event.anchor]
        if event.tag not in _TAGS:
            raise Broken(place, f"it has the tag {event.tag}", "leave the tag out")
        node = self._untagged(event, place, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _untagged(self, event: Any, place: Place, depth: int) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            plain = event.style is None or event.style == ""
            nothing = plain and event.value in _NOTHING and event.tag is None
            return Scalar(place, _place(event.end_mark), None if nothing else event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            items = []
            while not isinstance(following := self._loader.get_event(), yaml.SequenceEndEvent):
                items.append(self._node(following, depth + 1))
            return Items(place, tuple(items))
        return Mapping(place, self._entries(depth))

    def _entries(self, depth: int) -> tuple[Entry, ...]:
        entries: list[Entry] = []
        merged: dict[str, Entry] = {}
        while not isinstance(following := self._loader.get_event(), yaml.MappingEndEvent):
            place = _place(following.start_mark)
            if not isinstance(following, yaml.ScalarEvent):
                raise Broken(place, "a key must be a text", "write it so")
            value = self._node(self._loader.get_event(), depth + 1)
            if following.value == _MERGE and not following.style:
                merged = _merge(value) | merged
            else:
                entries.append(Entry(following.value, place, value))
        have = {entry.name.lower() for entry in entries}
        return (*entries, *(entry for name, entry in merged.items() if name not in have))


def _merge(value: Node) -> dict[str, Entry]:
    """Return what `<<` adds, by name in lower case: the keys of one map, or of several, the first going before."""
    parts = value.items if isinstance(value, Items) else (value,)
    merged: dict[str, Entry] = {}
    looked_at = 0
    for part in parts:
        if not isinstance(part, Mapping):
            raise Broken(value.place, "<< merges maps only", "name a map")
        looked_at += len(part.entries)
        if looked_at > _MOST_MERGED:
            raise Broken(value.place, f"<< merges more than {_MOST_MERGED} keys", "merge fewer maps")
        for entry in part.entries:
            merged.setdefault(entry.name.lower(), entry)
    return merged


def _place(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1)
