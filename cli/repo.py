"""`zot repo`: the repositories of the store."""

from __future__ import annotations

from itertools import islice

import click

from cli.configuration import read
from cli.options import config_group, config_option
from cli.output import Output, output_options
from cli.store import open_store


@config_group
def repo() -> None:
    """Look at the repositories of the store, whether a server runs or not.

    \b
    Example:
      zot repo list
    """


@repo.command("list")
@click.option("--after", default="", metavar="NAME", help="Begin behind this name.")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True, help="How many to list at most.")
@config_option
@output_options
def list_repositories(after: str, limit: int, config: str | None, output: Output) -> None:
    """List repositories by name, a page at a time.

    \b
    Examples:
      zot repo list --limit 10
      zot repo list --after team/app --output json
    """
    found = list(islice(open_store(read(config, output), output).names(after), limit + 1))
    shown, more = found[:limit], len(found) > limit
    if output.json:
        output.document({"repositories": shown, "next": shown[-1] if more else None})
        return
    for name in shown:
        output.line(name)
    if more:
        output.note(f"there are more; go on with --after {shown[-1]}")
