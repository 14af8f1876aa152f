"""`zot verify`."""

from __future__ import annotations

import sys

import click

from cli.configuration import UNREADABLE, tell
from cli.output import Output, output_options
from zot.config import Checked, ConfigError, Problem, check


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path())
@output_options
def verify(files: tuple[str, ...], output: Output) -> None:
    """Check configuration files and report everything that is wrong with them.

    Each problem is a line `file:line:column: key: what is wrong; what to do`, and the line of the file that it is
    about. A warning does not make a file invalid.

    Leaves with 0 if all files are valid, with 1 if one is not, with 2 if one can't be read.

    \b
    Examples:
      zot verify /etc/zot/config.json
      zot verify --output json config.yaml
    """
    status = 0
    documents = []
    for file in files:
        checked, unreadable = _check(file)
        documents.append(_document(file, checked))
        status = max(status, UNREADABLE if unreadable else 0 if checked.config is not None else 1)
        if not output.json:
            _tell(file, checked, output)
    if output.json:
        output.document(documents)
    sys.exit(status)


def _check(file: str) -> tuple[Checked, bool]:
    """Check a file; tell too whether there was nothing to check."""
    try:
        return check(file), False
    except ConfigError as error:
        return Checked(None, error.problems), error.unreadable


def _tell(file: str, checked: Checked, output: Output) -> None:
    tell([problem for problem in checked.problems if not (problem.warning and output.quiet)])
    if checked.config is not None and not output.quiet:
        output.line(f"{file}: valid")


def _document(file: str, checked: Checked) -> dict[str, object]:
    return {"file": file, "valid": checked.config is not None, "problems": [_plain(one) for one in checked.problems]}


def _plain(problem: Problem) -> dict[str, object]:
    return {
        "severity": "warning" if problem.warning else "error",
        "line": problem.line,
        "column": problem.column,
        "key": problem.key,
        "what": problem.what,
        "remedy": problem.remedy,
    }
