"""From a file to a `Config`, or to every problem that it has."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from zot.config.model import Config
from zot.config.problems import ConfigError, Problem
from zot.config.reading import read_section
from zot.config.rules import findings
from zot.config.side_files import check_file, check_pair, named_files
from zot.config.users import unknown_users


class Checked(NamedTuple):
    """A file that was checked: what it says, if it is valid, and all that is wrong or to be warned of, by place."""

    config: Config | None
    problems: list[Problem]


def default_config(root: str, *, port: int = 8080) -> Config:
    """Return what the server uses without a file: this root, on the loopback address."""
    return Config.model_validate({"storage": {"rootDirectory": root}, "http": {"port": port}})


def load(file: str) -> Config:
    """Read and check a file. Raises `ConfigError`.

    Whether certificate and key belong together is not asked: a running server knows, and they may be about to change.
    """
    checked = check(file, pair=False)
    if checked.config is None:
        raise ConfigError(checked.problems)
    return checked.config


def check(file: str, environ: Mapping[str, str] = os.environ, *, pair: bool = True) -> Checked:
    """Read a file and tell all that is wrong with it. Raises `ConfigError` if there is nothing to check."""
    reading = read_section(file, Config, environ)
    elsewhere: list[Problem] = []
    if reading.section is not None:
        for finding in (*findings(reading.section), *unknown_users(reading.section)):
            reading.add(*finding[:3], warning=finding.warning)
        for named in named_files(reading.section):
            wrong = check_file(named, environ)
            if isinstance(wrong, list):
                elsewhere += wrong
            elif wrong:
                reading.add(named.path, wrong, "name one that is there and can be read")
        if pair and (unfit := check_pair(reading.section)) is not None:
            reading.add(("http", "tls", unfit.name), unfit.problem, unfit.remedy)
    problems = [*reading.shown(), *elsewhere]
    is_valid = all(problem.warning for problem in problems)
    return Checked(reading.section if is_valid else None, problems)
