"""JSON with comments, read so that every value keeps its place.

The standard library's parser tells no places and knows no comments. Texts are handed to it; what is left is small.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right

from zot.config.nodes import DEEPEST, Broken, Entry, Items, Mapping, Node, Place, Scalar

_SKIP = re.compile(r"(?:[ \t\r\n]|//[^\n]*|#[^\n]*)*")
_TEXT = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_WORD = re.compile(r"[A-Za-z_][\w-]*")
_WORDS = {"true": True, "false": False, "null": None}
_LONGEST_NUMBER = 40


def read_json(text: str) -> Node | None:
    """Return the document, or None if there is none. Raises `Broken`."""
    return _Reader(text).document()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._lines = [0, *(match.end() for match in re.finditer("\n", text))]

    def document(self) -> Node | None:
        self._skip()
        if self._at == len(self._text):
            return None
        node = self._value(0)
        self._skip()
        if self._at < len(self._text):
            raise self._broken("there is more after the end", "leave it out, or mend the braces before it")
        return node

    def _value(self, depth: int) -> Node:
        begun, character = self._at, self._text[self._at : self._at + 1]
        if depth > DEEPEST:
            raise self._broken(f"it is nested deeper than {DEEPEST}", "write it as the examples do")
        if character == "{":
            return Mapping(self._place(begun), tuple(self._entries(depth)))
        if character == "[":
            return Items(self._place(begun), tuple(self._items(depth)))
        value = self._quoted() if character == '"' else self._plain()
        return Scalar(self._place(begun), self._place(), value)

    def _entries(self, depth: int) -> list[Entry]:
        entries: list[Entry] = []
        while self._goes_on("}", first=not entries):
            begun = self._at
            if not self._text.startswith('"', begun):
                raise self._broken("a key must stand in double quotes", "write it so")
            name = self._quoted()
            self._skip()
            if not self._text.startswith(":", self._at):
                raise self._broken("there is no colon after the key", "write one, and a value after it")
            self._at += 1
            self._skip()
            entries.append(Entry(name, self._place(begun), self._value(depth + 1)))
        return entries

    def _items(self, depth: int) -> list[Node]:
        items: list[Node] = []
        while self._goes_on("]", first=not items):
            items.append(self._value(depth + 1))
        return items

    def _goes_on(self, closing: str, *, first: bool) -> bool:
        """Step over a bracket or comma to what comes next; tell whether anything does before the closing bracket."""
        if first:
            self._at += 1
        self._skip()
        if self._text.startswith(closing, self._at):
            self._at += 1
            return False
        if first:
            return True
        comma = self._at
        if not self._text.startswith(",", comma):
            if comma == len(self._text):
                raise self._broken(f"the file ends, but {closing} is missing", "add what is missing")
            raise self._broken("there is no comma before this", "write one after the value before")
        self._at += 1
        self._skip()
        if self._text.startswith(closing, self._at):
            self._at = comma
            raise self._broken("there is a comma too many", "leave it out")
        return True

    def _quoted(self) -> str:
        match = _TEXT.match(self._text, self._at)
        if match is None:
            raise self._broken("the text does not end on its line", "write a double quote at its end")
        try:
            value = str(json.loads(match.group()))
            value.encode()
        except json.JSONDecodeError as error:
            self._at += error.pos
            raise self._broken(error.msg[:1].lower() + error.msg[1:], "write \\\\ for a backslash") from None
        except UnicodeEncodeError:
            raise self._broken("the text has half of a character", "write the character itself") from None
        self._at = match.end()
        return value

    def _plain(self) -> float | bool | None:
        if number := _NUMBER.match(self._text, self._at):
            if len(number.group()) > _LONGEST_NUMBER:
                raise self._broken("the number is too long", "write a shorter one")
            self._at = number.end()
            return float(number.group()) if number.group(1) or number.group(2) else int(number.group())
        word = _WORD.match(self._text, self._at)
        if word is not None and word.group() in _WORDS:
            self._at = word.end()
            return _WORDS[word.group()]
        if self._at == len(self._text):
            raise self._broken("the file ends, but a value is missing", "add what is missing")
        raise self._broken("this is no value of JSON", "put texts in double quotes")

    def _skip(self) -> None:
        match = _SKIP.match(self._text, self._at)
        assert match is not None
        self._at = match.end()

    def _place(self, at: int | None = None) -> Place:
        at = self._at if at is None else at
        line = bisect_right(self._lines, at)
        return Place(line, at - self._lines[line - 1] + 1)

    def _broken(self, what: str, remedy: str) -> Broken:
        return Broken(self._place(), what, remedy)
