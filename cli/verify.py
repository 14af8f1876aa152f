"""`zot verify`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from cli.configuration import UNREADABLE, choose, defaults, plain, tell
from cli.options import config_option, same_file
from cli.output import Output, output_options, styled
from zot.config import Checked, Config, ConfigError, check

if TYPE_CHECKING:
    from zot.checkup import Finding

_COLOURS = {"bad": "red", "warning": "yellow"}


@click.command()
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path())
@click.option(
    "--online", is_flag=True, help="Also try what the files name: directories, buckets, certificates, servers."
)
@config_option
@output_options
def verify(files: tuple[str, ...], online: bool, config: str | None, output: Output) -> None:
    """Check configuration files and report everything that is wrong with them.

    Each problem is a line `file:line:column: key: what is wrong; what to do`, and the line of the file that it is
    about. A warning does not make a file invalid. With --online what a valid file names is tried too, as the user who
    runs this: a line for each, what it is and what was found. Without FILE it is the configuration that every other
    command would take. With --quiet it prints only what is wrong, and no warning about what a file says.

    Leaves with 0 if all files are valid, with 1 if one is not or something did not work, with 2 if one can't be read.

    \b
    Examples:
      zot verify /etc/zot/config.json
      zot verify --output json config.yaml
      zot verify --online /etc/zot/config.json
    """
    status = 0
    documents = []
    for file in _chosen(files, config, output):
        checked, unreadable = _check(file)
        tried = _try(checked.config) if online and checked.config is not None else []
        documents.append(_document(file, checked) | ({"online": [one.plain() for one in tried]} if online else {}))
        has_failed = checked.config is None or any(one.state == "bad" for one in tried)
        status = max(status, UNREADABLE if unreadable else int(has_failed))
        if not output.json:
            _tell(file, checked, output)
            _tell_tried(tried, output)
    if output.json:
        output.document({"files": documents})
    sys.exit(status)


def _chosen(files: tuple[str, ...], named: str | None, output: Output) -> list[str | None]:
    """Return the files to check; None stands for the defaults. Raises `click.UsageError` if they were named twice."""
    if files:
        for each in files:
            same_file(named, each)
        return list(files)
    file, said = choose(named)
    if said:
        output.note(said)
    return [file]


def _check(file: str | None) -> tuple[Checked, bool]:
    """Check a file, or the defaults; tell too whether there was nothing to check."""
    if file is None:
        return Checked(defaults(), []), False
    try:
        return check(file), False
    except ConfigError as error:
        return Checked(None, error.problems), error.unreadable


def _tell(file: str | None, checked: Checked, output: Output) -> None:
    tell([problem for problem in checked.problems if not (problem.warning and output.quiet)])
    if checked.config is not None and not output.quiet:
        output.line(f"{file or 'the defaults'}: valid")


def _try(config: Config) -> list[Finding]:
    from cli.probing import probe

    return list(probe(config))


def _tell_tried(tried: list[Finding], output: Output) -> None:
    for one in tried:
        if one.state == "good":
            if not output.quiet:
                output.line(f"{one.what}: {one.said}")
        else:
            click.echo(
                f"{one.what}: {styled(one.state, sys.stderr, fg=_COLOURS[one.state])}: {one.said}; {one.remedy}",
                err=True,
            )


def _document(file: str | None, checked: Checked) -> dict[str, object]:
    return {"file": file, "valid": checked.config is not None, "problems": [plain(one) for one in checked.problems]}
