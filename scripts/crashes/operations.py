"""One of each thing that a registry does to a store, with what it changes; and the store that it is done to."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from scripts.crashes.book import Register, Value
from scripts.history.client import MANIFEST, digest_of
from scripts.history.client import manifest as image
from tests.layouts import LayoutWriter
from zot.gc.cleaning import clean
from zot.oci import digest as digests
from zot.oci import manifest as oci_manifest
from zot.oci.globs import compile_glob
from zot.oci.patterns import Pattern
from zot.registry import adoption, blobs, manifests, paths, repositories, uploads
from zot.registry.changes import Digests
from zot.registry.keeping import Keeper
from zot.registry.retention import Keep, Policy, Retention
from zot.registry.store import Store
from zot.storage.filesystem import Filesystem

LAYERS = [b"layer", b"another layer", b"a layer that nobody needs"]
IMAGES = [image(b"layer", note="first"), image(b"layer", b"another layer", note="second")]
_NEW = image(b"layer", note="without a subject")
_SUBJECT = {"mediaType": MANIFEST, "digest": digest_of(IMAGES[0]), "size": len(IMAGES[0])}
_REFERRER = json.dumps({**json.loads(image(b"layer", note="new")), "subject": _SUBJECT}).encode()
_REFERS = f"{_SUBJECT['digest']} {digest_of(_REFERRER)}"


# A layout that another program wrote, and that is not taken over yet.
LAYOUT = "theirs"


class Step(NamedTuple):
    """An operation: what it does, and what registers hold when it is done."""

    do: Callable[[Store], object]
    effects: dict[Register, Value]


def open_store(root: Path) -> Store:
    """Open a store as a server does."""
    storage = Filesystem(str(root), private=paths.PRIVATE)
    storage.start()
    return Store(storage, layouts=storage.layouts)


def fill(root: Path) -> None:
    """Push two images, one of them with two tags, and a blob that nobody needs; another repository has the same.

    And let another program write a layout.
    """
    _write_layout(root / LAYOUT)
    store = open_store(root)
    for name in ("a", "other"):
        for content in (b"{}", *LAYERS):
            _push(store, name, content)
        _put(store, name, IMAGES[0], "v1", "v2")
    _put(store, "a", IMAGES[1])
    _write_index(store)


def steps() -> dict[str, Step]:
    """Return the operations by name."""
    first, second = (digest_of(body) for body in IMAGES)
    unneeded = digest_of(LAYERS[2])
    pushed = _pushed(_REFERRER) | {Register("referrer", "a", _REFERS): _REFERS}
    gone: dict[Register, Value] = dict.fromkeys([Register("tag", "a", "v1"), Register("tag", "a", "v2")])
    gone[Register("manifest", "a", first)] = None
    return {
        "push a blob": Step(lambda store: _push(store, "a", b"new"), _blob("a", b"new")),
        "push a blob to a new repository": Step(lambda store: _push(store, "b/c", b"new"), _blob("b/c", b"new")),
        "push a blob that others have": Step(lambda store: _push(store, "b", LAYERS[0]), _blob("b", LAYERS[0])),
        "mount a blob": Step(lambda store: _mount(store, "b", LAYERS[0]), _blob("b", LAYERS[0])),
        "push a manifest": Step(lambda store: _put(store, "a", _NEW, "new"), _pushed(_NEW)),
        "push a manifest with a subject": Step(lambda store: _put(store, "a", _REFERRER, "new"), pushed),
        "move a tag": Step(lambda store: _put(store, "a", IMAGES[1], "v1"), {Register("tag", "a", "v1"): second}),
        "delete a tag": Step(lambda store: manifests.delete_tag(store, "a", "v1"), {Register("tag", "a", "v1"): None}),
        "delete a manifest": Step(lambda store: manifests.delete_digest(store, "a", digests.parse(first)), gone),
        "delete a blob": Step(
            lambda store: blobs.delete(store, "a", digests.parse(unneeded)), {Register("blob", "a", unneeded): None}
        ),
        "collect garbage": Step(lambda store: _collect(store, "a"), dict.fromkeys(_unneeded_in_a())),
        "collect what changed": Step(_collect_what_changed, dict.fromkeys(_unneeded_in_a())),
        "collect a whole repository": Step(
            lambda store: _collect(store, "other", Keep((Pattern("nothing"),))), dict.fromkeys(_everything_in_other())
        ),
        "write an index": Step(_write_index, {}),
        "adopt a layout": Step(lambda store: adoption.adopt(store, LAYOUT), _in_the_layout()),
    }


def _write_index(store: Store) -> None:
    assert store.layouts is not None
    repositories.mark(store, "a")
    Keeper(store, store.layouts, None).project_dirty()


def _write_layout(where: Path) -> None:
    """Write an image with a tag, and what refers to it, as skopeo writes layouts."""
    written = LayoutWriter(where)
    for content in (b"{}", b"layer"):
        written.blob(content)
    written.add(written.blob(IMAGES[0]), MANIFEST, "v1")
    written.add(written.blob(_REFERRER), MANIFEST)
    written.write()


def _in_the_layout() -> dict[Register, Value]:
    held = [b"{}", b"layer", IMAGES[0], _REFERRER]
    found: dict[Register, Value] = {Register("blob", LAYOUT, digest_of(one)): digest_of(one) for one in held}
    found |= {Register("manifest", LAYOUT, digest_of(one)): digest_of(one) for one in held[2:]}
    found[Register("tag", LAYOUT, "v1")] = digest_of(IMAGES[0])
    return found | {Register("referrer", LAYOUT, _REFERS): _REFERS}


def _pushed(body: bytes) -> dict[Register, Value]:
    digest = digest_of(body)
    found: dict[Register, Value] = {Register(kind, "a", digest): digest for kind in ("blob", "manifest")}
    return found | {Register("tag", "a", "new"): digest}


def _blob(name: str, content: bytes) -> dict[Register, Value]:
    return {Register("blob", name, digest_of(content)): digest_of(content)}


def _collect(store: Store, name: str, *keep: Keep, about: Digests | None = None) -> None:
    """Remove, without waiting for anything, what no tag leads to, and the tags that the rules do not keep.

    With `about` only that is looked at.
    """
    rules = Retention(gc_delay=0, delay=0, policies=(Policy((compile_glob("**"),), keep_tags=keep),))
    clean(replace(store, retention=rules), name, time.time() + 1, dry_run=False, go_on=_go_on, rest=0, about=about)


def _go_on() -> None:
    """Go on."""


def _collect_what_changed(store: Store) -> None:
    """Remove what is unneeded in a, which is all that was changed, without reading the rest of it."""
    _collect(store, "a", about=frozenset(digests.parse(register.key) for register in _unneeded_in_a()))


def _unneeded_in_a() -> list[Register]:
    second = digest_of(IMAGES[1])
    blobs_ = [second, *(digest_of(layer) for layer in LAYERS[1:])]
    return [Register("manifest", "a", second), *(Register("blob", "a", digest) for digest in blobs_)]


def _everything_in_other() -> list[Register]:
    first = digest_of(IMAGES[0])
    held = [Register("blob", "other", digest_of(content)) for content in (b"{}", *LAYERS, IMAGES[0])]
    tags = [Register("tag", "other", tag) for tag in ("v1", "v2")]
    return [*tags, Register("manifest", "other", first), *held]


def _push(store: Store, name: str, content: bytes) -> None:
    uploads.push(store, name, digests.parse(digest_of(content)), [content])


def _mount(store: Store, name: str, content: bytes) -> None:
    if not blobs.mount(store, name, digests.parse(digest_of(content)), "a"):
        _push(store, name, content)


def _put(store: Store, name: str, body: bytes, *tags: str) -> None:
    manifests.put(store, name, digests.parse(digest_of(body)), body, oci_manifest.parse(body, MANIFEST), tags)
