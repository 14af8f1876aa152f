"""A file read as a section, and all that is wrong with it so far."""

from __future__ import annotations

from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from zot.config.nodes import Entry, KeyPath, Mapping, is_empty
from zot.config.problems import ConfigError, Problem
from zot.config.resolve import Resolver
from zot.config.section import Section
from zot.config.source import Source, read
from zot.config.validation import validate

S = TypeVar("S", bound=Section)

_EMPTY = "write its keys; the directory examples has files to start from"


@dataclass
class Reading(Generic[S]):
    """A section, if anything could be made of the file, and the problems found; more may be added."""

    section: S | None
    problems: list[Problem]
    wrong: frozenset[KeyPath]
    _source: Source
    _resolver: Resolver

    def add(self, path: KeyPath, what: str, remedy: str, *, warning: bool = False) -> None:
        """Add a problem with a key, unless the value of that key is wrong anyway."""
        if not any(path[: len(one)] == one or one[: len(path)] == path for one in self.wrong):
            self.problems.append(self._resolver.problem(path, what, remedy, warning=warning))

    def shown(self) -> list[Problem]:
        """Return all problems by place, each with its line."""
        return [self._source.show(problem) for problem in sorted(set(self.problems))]


def read_section(file: str, section: type[S], environ: AnyMapping[str, str], *, within: str = "") -> Reading[S]:
    """Read a file as a section, or as the value of its key `within`.

    Raises `ConfigError` if there is nothing to read.
    """
    source = read(file)
    node = source.document()
    if node is None or is_empty(node):
        raise ConfigError(
            [
                Problem(
                    file,
                    1,
                    1,
                    "",
                    "it is empty",
                    _EMPTY,
                )
            ]
        )
    if within:
        node = Mapping(node.place, (Entry(within, node.place, node),))
    resolver = Resolver(source, section, environ)
    validated = validate(resolver.resolve(node), section)
    faults = [resolver.problem(*fault) for fault in validated.faults]
    wrong = frozenset(fault.path for fault in validated.faults)
    return Reading(validated.section, [*resolver.problems, *faults], wrong, source, resolver)
