"""`zot`: the group of all commands."""

from __future__ import annotations

import sys

import click

from cli.serve import serve
from cli.verify import verify
from zot import __version__
from zot.errors import StartupError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="zot")
def cli() -> None:
    """A container registry: push and pull with docker, podman, helm or any OCI client.

    \b
    Examples:
      zot serve                        serve from your data directory, on 127.0.0.1:8080
      zot serve config.json            serve what a configuration file says
      zot verify config.json           check a configuration file
    """


cli.add_command(serve)
cli.add_command(verify)


def main() -> None:
    """Run a command; what a user can mend is said in one line, with exit status 1."""
    try:
        cli(prog_name="zot")
    except StartupError as error:
        click.echo(f"zot: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
