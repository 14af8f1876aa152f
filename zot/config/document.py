"""Reading a JSON or YAML file into plain values, and remembering where each key stands.

Values of a .json file come from Python's strict parser. The places come in either case from PyYAML's nodes: JSON is
YAML but for the tabs, which are replaced by as many spaces, so that every place stays what it is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import yaml

MAX_BYTES = 1024 * 1024
_MOST_NODES = 100_000

Place = tuple[int, int]
Path_ = tuple[str | int, ...]


class Problem(NamedTuple):
    """One thing that is wrong with a file: where, with which key, what, and what to do about it."""

    file: str
    line: int
    column: int
    key: str
    what: str
    remedy: str

    def __str__(self) -> str:
        key = f"{self.key}: " if self.key else ""
        return f"{self.file}:{self.line}:{self.column}: {key}{self.what}; {self.remedy}"


class Unreadable(Exception):
    """The file is no document; holds the problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class Document(NamedTuple):
    """Plain values with keys in lower case, the place of each, the keys as they were written, and repeated keys."""

    values: Any
    places: dict[Path_, Place]
    written: dict[Path_, str]
    repeated: list[Path_]


def read(file: str) -> Document:
    """Read a file. Raises `Unreadable`."""
    text = _text(file)
    try:
        if file.endswith(".json"):
            json.loads(text)
        node = yaml.compose(text.replace("\t", " ") if file.endswith(".json") else text, Loader=yaml.SafeLoader)
        document = Document(None, {}, {}, [])
        values = _Walk(document).value(node, ()) if node is not None else None
    except json.JSONDecodeError as error:
        raise _unreadable(file, error.lineno, error.colno, error.msg, "mend the JSON there") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise _unreadable(file, line, column, error.problem or "not YAML", "mend the YAML there") from None
    except (yaml.YAMLError, ValueError) as error:
        raise _unreadable(file, 1, 1, str(error).partition("\n")[0], "write it as plain JSON or YAML") from None
    except RecursionError:
        raise _unreadable(file, 1, 1, "it is nested too deeply", "write it as plain JSON or YAML") from None
    return document._replace(values=values)


def _text(file: str) -> str:
    try:
        with Path(file).open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise _unreadable(file, 1, 1, f"it can't be read: {error.strerror}", "name a file that can be read") from None
    if len(content) > MAX_BYTES:
        raise _unreadable(file, 1, 1, f"it is longer than {MAX_BYTES} bytes", "name a configuration file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _unreadable(file, 1, 1, "it is not text in UTF-8", "save it in UTF-8") from None


def _unreadable(file: str, line: int, column: int, what: str, remedy: str) -> Unreadable:
    return Unreadable(Problem(file, line, column, "", what, remedy))


class _Walk:
    """Turns nodes into values; bounded, since YAML's aliases can stand for more than memory holds."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._constructor = yaml.constructor.SafeConstructor()
        self._nodes = 0

    def value(self, node: yaml.Node, path: Path_) -> Any:
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise ValueError("it has more values than a configuration can have")
        self._document.places.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
        if isinstance(node, yaml.MappingNode):
            return {key: self.value(child, (*path, key)) for key, child in self._keys(node, path)}
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*path, number)) for number, child in enumerate(node.value)]
        return self._constructor.construct_object(node)

    def _keys(self, node: yaml.MappingNode, path: Path_) -> list[tuple[str, yaml.Node]]:
        found: dict[str, yaml.Node] = {}
        for key_node, child in node.value:
            key = str(key_node.value).lower()
            where = (*path, key)
            if key in found:
                self._document.repeated.append(where)
            found[key] = child
            self._document.places[where] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            self._document.written[where] = str(key_node.value)
        return list(found.items())
