"""`zot du`: where the space went."""

from __future__ import annotations

from typing import NamedTuple

import click

from cli.configuration import read
from cli.options import config_option
from cli.output import Output, output_options
from cli.store import human_size, open_store, repository_options
from zot.registry import repositories, usage
from zot.registry.store import Store
from zot.registry.usage import Totals, Usage


@click.command()
@repository_options()
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many repositories to list.")
@click.option("--sort", type=click.Choice(["size", "unique", "name"]), default="size", show_default=True)
@config_option
@output_options
def du(repository: str | None, limit: int, sort: str, config: str | None, output: Output) -> None:
    """Show how much each repository holds, how much of it is its own, and what sharing saves.

    SIZE is all that a repository holds, UNIQUE what would be free if it went: what it shares with no other, and its
    own copies of what is not shared, as manifests. What is stored is all that is unique, plus what is shared,
    counted once. It looks at every blob of the store, while a server runs or not. With REPO it shows that one only.

    \b
    Examples:
      zot du
      zot du team/app
      zot du --sort unique --limit 10
      zot du --output json
    """
    stores = open_store(read(config, output), output)
    if repository is None:
        found = [_measure(route, store, output) for route, store in stores.by_route()]
    else:
        repositories.require(stores.of(repository), repository)
        found = [_only(repository, *one, output) for one in stores.by_route() if one[1] is stores.of(repository)]
    if output.json:
        output.document({"stores": [_document(one, sort) for one in found]})
        return
    for number, one in enumerate(found):
        if number:
            output.line()
        _print(one, sort, limit, output)


class _Measured(NamedTuple):
    route: str
    used: list[Usage]
    totals: Totals

    @property
    def saved(self) -> int:
        return self.totals.size - self.totals.stored

    def sorted(self, by: str) -> list[Usage]:
        if by == "name":
            return self.used
        return sorted(self.used, key=lambda one: one.unique if by == "unique" else one.size, reverse=True)


def _measure(route: str, store: Store, output: Output) -> _Measured:
    with output.progress(f"looking at the repositories of {route}") as step:
        return _Measured(route, *usage.measure(store, progress=lambda _: step(1)))


def _only(repository: str, route: str, store: Store, output: Output) -> _Measured:
    """Measure a store, as only that tells what is unique in it, and show one repository."""
    measured = _measure(route, store, output)
    return measured._replace(used=[one for one in measured.used if one.repository == repository])


def _document(one: _Measured, by: str) -> dict[str, object]:
    return {
        "store": one.route,
        "repositories": [repository._asdict() for repository in one.sorted(by)],
        "totals": one.totals._asdict() | {"saved": one.saved},
    }


def _print(one: _Measured, by: str, limit: int, output: Output) -> None:
    shown = one.sorted(by)[:limit]
    rows = [(each.repository, each.blobs, human_size(each.size), human_size(each.unique)) for each in shown]
    output.table(["REPOSITORY", "BLOBS", "SIZE", "UNIQUE"], rows)
    if len(one.used) > limit:
        output.line(f"… and {len(one.used) - limit} more (--limit)")
    totals, saved = one.totals, human_size(one.saved)
    many = "1 repository" if totals.repositories == 1 else f"{totals.repositories} repositories"
    output.line(
        f"store {one.route}: {many}, {totals.blobs} different blobs,"
        f" {human_size(totals.size)} in all, {human_size(totals.stored)} stored, {saved} saved by sharing"
    )
