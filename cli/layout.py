"""`zot layout`: repositories as the image layouts that other programs see and write."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from cli.configuration import read
from cli.options import config_group, config_option
from cli.output import Output, output_options
from cli.store import open_to_change, repository_options, require_root
from zot.errors import StartupError
from zot.registry import repositories
from zot.registry.keeping import Keeper, absence, is_led
from zot.registry.reconciling import IMMUTABLE, Outcome
from zot.registry.store import Store
from zot.registry.stores import Stores


@config_group
def layout() -> None:
    """Bring repositories and what other programs write into their directories in step.

    Each repository is an OCI image layout, which skopeo, umoci or buildah can open and write to. A running server
    notices that within a minute, and when it starts.

    \b
    Example:
      zot layout sync
    """


@layout.command()
@repository_options()
@click.option(
    "--prune", is_flag=True, help="Also move and delete what another program did, though a server ran meanwhile."
)
@config_option
@output_options
def sync(repository: str | None, prune: bool, config: str | None, output: Output) -> None:
    """Take in now what other programs wrote, and write index.json; of one repository, or of all.

    Says what was taken over, added, moved and deleted. What was moved or deleted while a server ran is put back, since
    the other program may not have known of the last pushes; --prune does it all the same, but for what was pushed after
    it was written. An immutable tag stays all the same. Leaves with 1 if an index can't be read.

    \b
    Examples:
      zot layout sync
      zot layout sync team/app --prune
    """
    chosen = read(config, output)
    require_root(chosen)
    stores = open_to_change(chosen, output, below="")
    outcomes = []
    for outcome in _outcomes(stores, repository, prune):
        outcomes.append(outcome)
        if not output.json:
            _tell(outcome, output)
    if output.json:
        output.document({"repositories": [_document(outcome) for outcome in outcomes if _has_news(outcome)]})
    elif not any(map(_has_news, outcomes)):
        output.note("all repositories and their layouts are in step")
    sys.exit(1 if any(outcome.damaged for outcome in outcomes) else 0)


def _outcomes(stores: Stores, repository: str | None, prune: bool) -> Iterator[Outcome]:
    if repository is not None:
        store = stores.of(repository)
        outcome = _keeper(stores, store).attend(repository, prune=prune)
        if not outcome.damaged:
            repositories.require(store, repository)
        yield outcome
        return
    with_layouts = [store for _, store in stores.by_route() if store.layouts is not None]
    for store in with_layouts or [stores.default]:
        keeper = _keeper(stores, store)
        for name in keeper.names():
            yield keeper.attend(name, prune=prune)


def _keeper(stores: Stores, store: Store) -> Keeper:
    if store.layouts is None:
        raise StartupError("this store has no layouts: it is no directory", "use this command with a store on disk")
    absent = None if is_led(store) else absence(store)
    return Keeper(store, store.layouts, absent, lambda name: stores.of(name) is store)


def _has_news(outcome: Outcome) -> bool:
    return outcome.adopted or outcome.is_changed or bool(outcome.refused or outcome.damaged)


def _tell(outcome: Outcome, output: Output) -> None:
    if outcome.adopted:
        output.line(f"{outcome.name}: taken over")
    for what in ("added", "moved", "deleted"):
        for key in sorted(getattr(outcome, what)):
            output.line(f"{outcome.name}: {what} {key}")
    for key in sorted(outcome.refused):
        why = f", as {IMMUTABLE}; change its rule immutable first" if key in outcome.immutable else ""
        output.line(f"{outcome.name}: put back {key}{why}")
    if outcome.damaged:
        why = f"{outcome.name}/index.json can't be read: {outcome.damaged}"
        output.failure(
            why, "let its writer end; if nobody writes it, remove it and do this again, which writes it anew"
        )


def _document(outcome: Outcome) -> dict[str, object]:
    return {
        "repository": outcome.name,
        "adopted": outcome.adopted,
        "added": sorted(outcome.added),
        "moved": sorted(outcome.moved),
        "deleted": sorted(outcome.deleted),
        "putBack": sorted(outcome.refused),
        "immutable": sorted(outcome.immutable),
        "damaged": outcome.damaged or None,
    }
