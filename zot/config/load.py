"""From a file to a `Config`, or to every problem that it has."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from zot.config.model import Config
from zot.config.nodes import is_empty
from zot.config.problems import ConfigError, Problem
from zot.config.resolve import KeyPath, Resolver
from zot.config.source import read

_REMEDIES = {
    "missing": "add it",
    "string_too_short": "give it a value",
    "too_short": "give it a value",
    "bool_parsing": "use true or false",
    "bool_type": "use true or false",
    "int_parsing": "use a whole number",
    "int_type": "use a whole number",
    "int_from_float": "use a whole number",
    "float_parsing": "use a number",
    "float_type": "use a number",
    "finite_number": "use a number",
    "greater_than": "use a larger number",
    "greater_than_equal": "use a larger number",
    "less_than_equal": "use a smaller number",
    "string_type": "use a text",
    "tuple_type": "use a list",
    "dict_type": "use a section with keys of its own",
    "model_type": "use a section with keys of its own",
    "model_attributes_type": "use a section with keys of its own",
    "literal_error": "use one of those",
}


class Checked(NamedTuple):
    """A file that was checked: what it says, if it is valid, and all that is wrong or to be warned of, by place."""

    config: Config | None
    problems: list[Problem]


def default_config(root: str, *, port: int = 8080) -> Config:
    """Return what the server uses without a file: this root, on the loopback address."""
    return Config.model_validate({"storage": {"rootDirectory": root}, "http": {"port": port}})


def load(file: str) -> Config:
    """Read and check a file. Raises `ConfigError`."""
    checked = check(file)
    if checked.config is None:
        raise ConfigError(checked.problems)
    return checked.config


def check(file: str, environ: Mapping[str, str] = os.environ) -> Checked:
    """Read a file and tell all that is wrong with it. Raises `ConfigError` if there is nothing to check."""
    source = read(file)
    node = source.document()
    if node is None or is_empty(node):
        raise ConfigError([Problem(file, 1, 1, "", "it is empty", "begin with a storage section")])
    resolver = Resolver(source, Config, environ)
    values = resolver.resolve(node)
    config = None
    problems = resolver.problems
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        problems += [_explain(resolver, one) for one in error.errors(include_url=False)]
    if any(not problem.warning for problem in problems):
        config = None
    return Checked(config, [source.show(problem) for problem in sorted(problems)])


def _explain(resolver: Resolver, error: Any) -> Problem:
    path: KeyPath = error["loc"]
    kind, what = error["type"], error["msg"]
    what = what[:1].lower() + what[1:]
    remedy = _REMEDIES.get(kind, "use a value of that kind")
    if kind == "missing":
        what = "it is missing"
    elif kind.startswith("model_"):
        what = "it is no section"
    elif kind == "value_error":
        remedy, what = str(error["ctx"]["error"]), f"{error['input']!r} is none of the known values"
    return resolver.problem(path, what, remedy)
