"""Which configuration a command uses: one rule for all of them.

The file that is named (`cli.options` says how); else the one that $ZOT_CONFIG names; else /etc/zot/config.json, .yaml
or .yml; else the defaults of `zot serve` without a file. Which one it was is said on standard error, unless it was
named.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, NoReturn

import click
import platformdirs

from cli.options import VARIABLE
from cli.output import Output, styled
from zot.config import Checked, Config, ConfigError, Problem, check, default_config

SYSTEM_FILES = tuple(Path("/etc/zot") / f"config.{ending}" for ending in ("json", "yaml", "yml"))
UNREADABLE = 2


class Chosen(NamedTuple):
    """The file that is used, or None for the defaults, and the words that say so; none if the user named it."""

    file: str | None
    said: str


def choose(named: str | None) -> Chosen:
    """Choose the file by the rule of this module."""
    if named:
        return Chosen(named, "")
    if variable := os.environ.get(VARIABLE):
        return Chosen(variable, f"using {variable}, which ${VARIABLE} names")
    for file in SYSTEM_FILES:
        if file.exists():
            return Chosen(str(file), f"using {file}")
    return Chosen(None, f"no configuration file is given, so data is kept in {_data_directory()}")


def read(named: str | None, output: Output, *, warn: Callable[[Problem], None] = lambda _: None) -> Config:
    """Return the configuration that is used, saying which; `warn` gets what it is warned of.

    If it is none, it is said why, and the command ends, with 1, or with 2 if there was nothing to read.
    """
    file, said = choose(named)
    if said:
        output.note(said)
    if file is None:
        return defaults()
    try:
        checked = check(file)
    except ConfigError as error:
        checked = Checked(None, error.problems)
        if error.unreadable:
            _refuse(file, checked.problems, UNREADABLE, output)
    if checked.config is None:
        _refuse(file, checked.problems, 1, output)
    for problem in checked.problems:
        warn(problem)
    return checked.config


def _refuse(file: str, problems: list[Problem], status: int, output: Output) -> NoReturn:
    """Say why a file is no configuration, and end the command."""
    if output.json:
        first = next(one for one in problems if not one.warning)
        several = {"problems": [plain(one) for one in problems]}
        output.failure(f"{file}:{first.line}:{first.column}: {first.what}", first.remedy, status=status, **several)
    else:
        tell(problems, excerpts=False)
    sys.exit(status)


def plain(problem: Problem) -> dict[str, object]:
    """Return a problem as programs get it."""
    return {
        "severity": "warning" if problem.warning else "error",
        "line": problem.line,
        "column": problem.column,
        "key": problem.key or None,
        "what": problem.what,
        "remedy": problem.remedy,
    }


def tell(problems: list[Problem], *, excerpts: bool = True) -> None:
    """Print problems on standard error, warnings told apart, each with its line if `excerpts`."""
    for problem in problems:
        place = styled(f"{problem.file}:{problem.line}:{problem.column}:", sys.stderr, bold=True)
        kind = styled("warning: ", sys.stderr, fg="yellow") if problem.warning else ""
        key = styled(f"{problem.key}: ", sys.stderr, fg="cyan") if problem.key else ""
        click.echo(f"{place} {kind}{key}{problem.what}; {problem.remedy}", err=True)
        if excerpts and problem.excerpt:
            click.echo(problem.excerpt, err=True)


def defaults() -> Config:
    """Return the configuration of `zot serve` without a file."""
    return default_config(_data_directory())


def _data_directory() -> str:
    return str(platformdirs.user_data_path("zot") / "registry")
