"""`zot verify`."""

from __future__ import annotations

import sys

import click

from zot.config import ConfigError, load


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
def verify(files: tuple[str, ...]) -> None:
    """Check configuration files and report everything that is wrong with them.

    Leaves with 0 if all are valid, with 1 if one is not.

    \b
    Example:
      zot verify /etc/zot/config.json
    """
    failed = False
    for file in files:
        try:
            load(file)
        except ConfigError as error:
            failed = True
            for problem in error.problems:
                click.echo(str(problem), err=True)
        else:
            click.echo(f"{file}: valid")
    sys.exit(1 if failed else 0)
