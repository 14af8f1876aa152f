"""`zot image`: what an image is made of."""

from __future__ import annotations

from dataclasses import asdict

import click

from cli.completing import complete_repository
from cli.configuration import read
from cli.options import config_group, config_option
from cli.output import Output, camel, output_options
from cli.store import Reference, human_size, open_store, reference_argument, when
from zot.registry import images
from zot.registry.images import Image, Part, Shown
from zot.registry.store import Store

_PAGE = 20


@config_group
def image() -> None:
    """Look at images, whether a server runs or not.

    \b
    Example:
      zot image show team/app:v1
    """


@image.command()
@click.argument("reference", metavar="REPO[:TAG|@DIGEST]", type=reference_argument, shell_complete=complete_repository)
@click.option("--after", default="", metavar="TAG", help="For a whole repository: begin behind this tag.")
@click.option("--limit", type=click.IntRange(1), default=_PAGE, show_default=True, help="… how many tags to show.")
@config_option
@output_options
def show(reference: Reference, after: str, limit: int, config: str | None, output: Output) -> None:
    """Show platforms, layers, sizes and referrers of an image, or of all tagged images of a repository.

    \b
    Examples:
      zot image show team/app:v1
      zot image show team/app@sha256:… --output json
      zot image show team/app --limit 5
    """
    name, wanted = reference
    store = open_store(read(config, output), output).of(name)
    if wanted is not None:
        found, following = [images.show(store, name, wanted)], None
    else:
        found, following = _tagged(store, name, after, limit)
    if output.json:
        output.document({"images": [_document(one) for one in found], "next": following})
        return
    for number, one in enumerate(found):
        if number:
            output.line()
        _print(one, output)
    if following:
        output.note(f"there are more tags; go on with --after {following}")


def _tagged(store: Store, name: str, after: str, limit: int) -> tuple[list[Shown], str | None]:
    from zot.registry import tags

    page = tags.page(store, name, limit, after)
    shown = [images.show(store, name, tag) for tag in page.names]
    once = {one.image.digest: one for one in shown}
    return list(once.values()), page.names[-1] if page.more else None


def _document(shown: Shown) -> dict[str, object]:
    image = camel(asdict(shown.image)) | {"total": shown.image.total}
    # A referrer is a descriptor, whose annotations have the keys that they have.
    return asdict(shown) | {"pushed": when(shown.pushed), "by": shown.by or None, "image": image}


def _print(shown: Shown, output: Output) -> None:
    output.line(f"{shown.repository}@{shown.image.digest}", bold=True)
    output.line(f"  tags       {', '.join(shown.tags) or '-'}")
    output.line(f"  pushed     {when(shown.pushed)}{f' by {shown.by}' if shown.by else ''}")
    output.line(f"  type       {shown.image.artifact_type or shown.image.media_type}")
    output.line(f"  size       {human_size(shown.image.total)}")
    if shown.image.children:
        rows = [_child(child) for child in shown.image.children]
        output.table(["  PLATFORM", "DIGEST", "SIZE", "LAYERS"], rows)
    else:
        output.line(f"  platform   {shown.image.platform or '-'}")
        output.table(["  PART", "DIGEST", "SIZE", "TYPE"], [_part(*one) for one in _parts(shown.image)])
    for referrer in shown.referrers:
        kind = referrer.get("artifactType") or referrer["mediaType"]
        output.line(f"  referrer   {referrer['digest']}  {kind}")


def _child(child: Image) -> list[str]:
    size = human_size(child.total) if child.is_here else "not here"
    return [f"  {child.platform or '-'}", child.digest, size, str(len(child.layers))]


def _parts(image: Image) -> list[tuple[str, Part]]:
    config = [("config", image.config)] if image.config else []
    return [*config, *(("layer", layer) for layer in image.layers)]


def _part(kind: str, part: Part) -> list[str]:
    return [f"  {kind}", part.digest, human_size(part.size), part.media_type]
