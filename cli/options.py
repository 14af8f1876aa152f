"""How commands are told their configuration: `--config FILE`, wherever it stands, or an argument where they take one.

Nothing of zot is imported here, as the group of all commands has the option too, and its help waits for nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import click

VARIABLE = "ZOT_CONFIG"

# Where a context keeps the file that was named so far.
NAMED = "zot.config"


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--config FILE`; it gets the file that is named as `config`, for `read`.

    The option may stand before the command's name too, of the group or of zot; two that differ are wrong use.
    """
    return click.option(
        "--config",
        "-c",
        "config_option",
        metavar="FILE",
        type=click.Path(),
        expose_value=False,
        callback=_take,
        help=f"The configuration; else ${VARIABLE}, else /etc/zot/config.json, .yaml or .yml, else the defaults.",
    )(command)


def config_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `[CONFIG]` and `--config FILE`; it gets the one that is given as `config`."""
    argument = click.argument(
        "config_argument", metavar="[CONFIG]", required=False, type=click.Path(), expose_value=False, callback=_take
    )
    return argument(config_option(command))


class Group(click.Group):
    """A group of commands whose help has the first sentence of each whole; click cuts it where a line ends."""

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what each command does."""
        commands = ((name, self.get_command(context, name)) for name in self.list_commands(context))
        with formatter.section("Commands"):
            formatter.write_dl([(name, first_sentence(command)) for name, command in commands if command])


def first_sentence(command: click.Command) -> str:
    """Return what the help of a command says first."""
    return command.get_short_help_str(sys.maxsize)


def config_group(function: Callable[..., Any]) -> click.Group:
    """Make a group of commands, before whose names `--config` may stand."""
    return click.group(cls=Group)(config_option(function))


def same_file(first: str | None, second: str | None) -> str | None:
    """Return the file that is named, once or twice. Raises `click.UsageError` if they are two."""
    if first and second and os.path.abspath(first) != os.path.abspath(second):
        raise click.UsageError(f"two configurations are named, {first} and {second}; name one")
    return first or second


def _take(context: click.Context, _parameter: click.Parameter, file: str | None) -> None:
    """Keep a file that is named for the command, as all contexts from zot down to it have one `meta`."""
    named = context.meta[NAMED] = same_file(context.meta.get(NAMED), file)
    if not isinstance(context.command, click.Group):
        context.params["config"] = named
