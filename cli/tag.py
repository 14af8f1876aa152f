"""`zot tag`: the tags of a repository."""

from __future__ import annotations

import sys

import click

from cli.completing import complete_repository
from cli.configuration import read
from cli.options import config_group, config_option
from cli.output import Output, output_options
from cli.store import (
    Reference,
    human_size,
    open_store,
    open_to_change,
    reference_argument,
    repository_options,
    require_store,
    tag_argument,
    when,
)
from zot.errors import ManifestUnknown, StartupError
from zot.logs import note_change
from zot.registry import manifests, tags
from zot.registry.facts import TagFact
from zot.registry.store import Store
from zot.storage.protocol import Damaged


@config_group
def tag() -> None:
    """Look at the tags of a repository, and take them away, whether a server runs or not.

    \b
    Examples:
      zot tag list team/app
      zot tag delete team/app v1 v2
    """


@tag.command("list")
@repository_options(required=True)
@click.option("--after", default="", metavar="TAG", help="Begin behind this tag.")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True, help="How many to list at most.")
@config_option
@output_options
def list_tags(repository: str, after: str, limit: int, config: str | None, output: Output) -> None:
    """List the tags of a repository: what each stands for, and when and by whom it was pushed.

    \b
    Examples:
      zot tag list team/app
      zot tag list team/app --after v1 --limit 10 --output json
    """
    name = repository
    store = open_store(read(config, output), output).of(name)
    page = tags.page(store, name, limit, after)
    found = [fact for fact in (_read(store, name, one) for one in page.names) if fact is not None]
    if output.json:
        following = page.names[-1] if page.more else None
        output.document({"repository": name, "tags": [_document(fact) for fact in found], "next": following})
        return
    rows = [(fact.name, fact.digest, human_size(fact.size), when(fact.pushed), fact.by or "-") for fact in found]
    output.table(["TAG", "DIGEST", "MANIFEST", "PUSHED", "BY"], rows)
    if page.more:
        output.note(f"there are more; go on with --after {page.names[-1]}")


@tag.command("delete")
@click.argument("reference", metavar="REPO[:TAG]", type=reference_argument, shell_complete=complete_repository)
@click.argument("names_", metavar="[TAG]...", nargs=-1, type=tag_argument)
@click.option("--yes", "-y", is_flag=True, help="Don't ask.")
@config_option
@output_options
def delete_tags(reference: Reference, names_: tuple[str, ...], yes: bool, config: str | None, output: Output) -> None:
    """Take tags away from a repository; the images stay until garbage is collected.

    All tags must be there, or none is taken away. It asks first; where nobody can answer it takes --yes.

    \b
    Examples:
      zot tag delete team/app v1
      zot tag delete team/app:v1
      zot tag delete team/app v1 v2 --yes --output json
    """
    name, names_ = _named(reference, names_)
    chosen = read(config, output)
    require_store(chosen)
    store = open_to_change(chosen, output).of(name)
    known = [_there(store, name, one) for one in dict.fromkeys(names_)]
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("Nobody can be asked here; add --yes to delete without being asked.")
        listed = ", ".join(fact.name for fact in known)
        click.confirm(f"Take {listed} away from {name}?", abort=True, err=True)
    try:
        for fact in known:
            manifests.delete_tag(store, name, fact.name)
            note_change("zot tag delete", "DELETE", f"/v2/{name}/manifests/{fact.name}", name, "deleted", "by hand")
            output.note(f"deleted {name}:{fact.name}")
    finally:
        # Garbage collection is to look at what they stood for.
        store.gathered.flush(store.storage)
    if output.json:
        output.document({"repository": name, "deleted": [_document(fact) for fact in known]})


def _named(reference: Reference, others: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Return the repository and the tags that were named, in either form. Raises `click.UsageError`."""
    name, first = reference
    named = (first, *others) if isinstance(first, str) else others
    if not named or not isinstance(first, str | None):
        raise click.UsageError(f"Name tags: zot tag delete {name} TAG...")
    return name, named


def _read(store: Store, name: str, tag: str) -> TagFact | None:
    """Read a tag; None if it was deleted since the page was read. Raises `StartupError` if it can't be read."""
    try:
        return tags.read(store, name, tag)
    except ManifestUnknown:
        return None
    except Damaged as error:
        why = f"the tag {tag!r} of {name} can't be read: {error}"
        raise StartupError(why, "push it again, or delete it through the server, with a client") from None


def _there(store: Store, name: str, tag: str) -> TagFact:
    """Return a tag. Raises `StartupError` if it is not there, or can't be read."""
    fact = _read(store, name, tag)
    if fact is None:
        raise StartupError(f"{name} has no tag {tag!r}, so nothing is deleted", f"see zot tag list {name}")
    return fact


def _document(fact: TagFact) -> dict[str, object]:
    return {
        "tag": fact.name,
        "digest": str(fact.digest),
        "mediaType": fact.media_type,
        "size": fact.size,
        "pushed": when(fact.pushed),
        "by": fact.by or None,
    }
