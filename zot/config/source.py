"""A configuration file: its text, read as a document, and its lines to show, without the secrets."""

from __future__ import annotations

import os
import re
from pathlib import Path

from zot.config.json_text import read_json
from zot.config.nodes import Broken, Node, Place
from zot.config.problems import ConfigError, Problem
from zot.config.yaml_text import read_yaml

MAX_BYTES = 1024 * 1024
_WIDTH = 100
_SUSPECT = r"(pass|pwd|secret|token|credential|key|auth|url|connection|header|hash|cookie|private)[\w-]*"
# Where a document can't be read, nobody knows which of its values are secret; these names are taken for theirs.
_SECRET_LIKE = re.compile(rf"{_SUSPECT}[\"']?\s*:", re.I)
# How a file in TOML begins, after its comments: with a table, or with a key.
_TOML = re.compile(r"(?:\s|#[^\n]*\n)*(\[\[?[A-Za-z_][\w.-]*\]\]?[ \t]*(?:#[^\n]*)?\n|[A-Za-z_][\w.-]*[ \t]*=[ \t])")


def looks_secret(name: str) -> bool:
    """Tell whether a key that nobody knows may hold a secret, by its name."""
    return re.search(_SUSPECT, name, re.I) is not None


class Source:
    """A file that was read; `hide` says which parts of it may not be shown."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self._text = text
        self._lines = text.split("\n")
        self._hidden: list[tuple[Place, Place]] = []
        self._masked: dict[int, str] = {}

    def hide(self, begin: Place, end: Place) -> None:
        """Never show what stands between two places."""
        self._hidden.append((begin, end))

    def problem(self, place: Place, key: str, what: str, remedy: str, *, warning: bool = False) -> Problem:
        """Return what is wrong at a place."""
        key, what, remedy = (_printable(text) for text in (key, what, remedy))
        return Problem(self.file, *place, key, what, remedy, warning)

    def show(self, problem: Problem) -> Problem:
        """Return the problem with its line; only when all that is secret is hidden."""
        return problem._replace(excerpt=self._excerpt(Place(problem.line, problem.column)))

    def document(self) -> Node | None:
        """Return the file's values. Raises `ConfigError`."""
        if (begun := _TOML.match(self._text)) is not None:
            place = Place(self._text.count("\n", 0, begun.start(1)) + 1, 1)
            raise ConfigError([self.problem(place, "", "it is TOML", "write it in JSON or YAML, as the examples do")])
        try:
            return read_json(self._text) if self.file.lower().endswith(".json") else read_yaml(self._text)
        except Broken as error:
            self._hide_what_may_be_secret()
            problem = self.problem(error.place, "", error.what, error.remedy)
            raise ConfigError([self.show(problem)]) from None

    def _excerpt(self, place: Place) -> str:
        """Return the line, and a line with a caret below the column."""
        if place.line > len(self._lines):
            return ""
        line = self._line(place.line)
        begin = max(0, place.column - 1 - _WIDTH // 2) if len(line) > _WIDTH else 0
        part = _printable(line[begin : begin + _WIDTH].rstrip())
        return f"    {part}\n    {' ' * (place.column - 1 - begin)}^" if part.strip() else ""

    def _line(self, number: int) -> str:
        """Return a line, with stars for what is hidden."""
        if number not in self._masked:
            characters = list(self._lines[number - 1])
            for begin, end in self._hidden:
                if begin.line <= number <= end.line:
                    first = begin.column - 1 if number == begin.line else 0
                    last = end.column - 1 if number == end.line else len(characters)
                    characters[first:last] = "*" * len(characters[first:last])
            self._masked[number] = "".join(characters)
        return self._masked[number]

    def _hide_what_may_be_secret(self) -> None:
        last_line = len(self._lines)
        for number, line in enumerate(self._lines, 1):
            if match := _SECRET_LIKE.search(line):
                # The value may go on: what follows is hidden up to the next line that has a key.
                end = next((n for n in range(number, last_line) if ":" in self._lines[n]), last_line)
                self.hide(Place(number, match.end() + 1), Place(end, len(self._lines[end - 1]) + 1))


def read(file: str) -> Source:
    """Read a file. Raises `ConfigError` if it can't be read, or is no text."""
    try:
        with Path(file).open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise _unreadable(file, "there is no such file", "check the path") from None
        reason = os.strerror(error.errno or 0).lower()
        raise _unreadable(file, f"it can't be read: {reason}", "name a file that can be read") from None
    if len(content) > MAX_BYTES:
        raise _unreadable(file, f"it is longer than {MAX_BYTES} bytes", "name a configuration file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _unreadable(file, "it is not text in UTF-8", "save it in UTF-8") from None
    return Source(file, text.replace("\r\n", "\n"))


def _unreadable(file: str, what: str, remedy: str) -> ConfigError:
    return ConfigError([Problem(file, 1, 1, "", what, remedy)], unreadable=True)


def _printable(text: str) -> str:
    """Replace what would move the cursor or change colours."""
    return "".join(character if character.isprintable() else " " if character == "\t" else "?" for character in text)
