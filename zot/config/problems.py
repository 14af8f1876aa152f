"""What is wrong with a configuration: one thing, and all of them."""

from __future__ import annotations

from typing import NamedTuple


class Problem(NamedTuple):
    """One thing that is wrong with a file: where, with which key, what, and what to do about it.

    A `warning` does not make the file invalid. `excerpt` is the line, without
    secrets, and a caret below its place.
    """

    file: str
    line: int
    column: int
    key: str
    what: str
    remedy: str
    warning: bool = False
    excerpt: str = ""

    def __str__(self) -> str:
        key = f"{self.key}: " if self.key else ""
        return f"{self.file}:{self.line}:{self.column}: {key}{self.what}; {self.remedy}"


class ConfigError(Exception):
    """A file that is no configuration; `problems` has all that is wrong with it, and what it is warned of.

    `unreadable` tells that there was nothing to check: no file, or none that may be read.
    """

    def __init__(self, problems: list[Problem], *, unreadable: bool = False) -> None:
        super().__init__("\n".join(str(problem) for problem in problems if not problem.warning))
        self.problems = problems
        self.unreadable = unreadable
