"""Taking over whole repositories that another program wrote as image layouts: Go zot, skopeo, umoci, buildah.

It is done at first touch, by whoever would have found no repository, or by the leader, whichever comes first. The facts
are written all together and unsynced, then synced once; the catalogue's key comes last. What breaks off is begun anew.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from zot.errors import Unavailable
from zot.logs import note_change
from zot.oci.digest import Digest
from zot.registry import facts, foreign, generations, paths, repositories
from zot.registry.facts import ManifestFact, TagFact
from zot.registry.foreign import Held, Layout, NoIndexError
from zot.registry.generations import Written
from zot.registry.store import Store
from zot.storage.layout_files import LayoutFiles
from zot.storage.protocol import NotFound

log = logging.getLogger(__name__)

Documents = Iterator[tuple[str, bytes]]


def adopt(store: Store, name: str) -> bool:
    """Take over the layout at this name, if there is one and no repository yet; True if there is a repository then.

    Where there are no layouts nobody can have made a repository of one, and none is looked for. Whoever comes meanwhile
    waits for the end. Raises `Unavailable` if too many do.
    """
    if store.layouts is None:
        return False
    if store.layouts.version(paths.layout_file(name, "index.json")) is None:
        return repositories.exists(store, name)
    if not store.adopters.acquire(blocking=False):
        raise Unavailable(
            f"the layout that another program wrote at {name!r} is being taken over, and others wait for it",
            "try again in a moment",
            headers={"Retry-After": "1"},
        )
    try:
        with store.storage.lock(paths.layout_lock(name), shared=False):
            return repositories.exists(store, name) or take_over(store, store.layouts, name)
    except NoIndexError as error:
        log.warning("%s/index.json can't be taken over: %s", name, error)
        return False
    finally:
        store.adopters.release()


def before_changing(store: Store, name: str) -> None:
    """Take over a layout before something is added to it or removed from it; the caller holds no lock."""
    if store.layouts is not None and not repositories.exists(store, name):
        adopt(store, name)


def take_over(store: Store, layouts: LayoutFiles, name: str) -> bool:
    """Make a repository of the layout at this name; the caller holds the layout's lock. False if there is none.

    Raises `NoIndexError`.
    """
    try:
        content, _ = layouts.read(paths.layout_file(name, "index.json"))
        store.storage.stat(paths.layout_file(name, "oci-layout"))
    except NotFound:
        return False
    written = generations.load(store, name)
    if written.has_seen(content):
        # It is ours, of a repository that is no more.
        return False
    return _make(store, layouts, name, foreign.read(store, layouts, name, content, is_new=True))


def _make(store: Store, layouts: LayoutFiles, name: str, layout: Layout) -> bool:
    storage = store.storage
    with storage.lock(paths.lock(name), shared=False):
        if repositories.exists(store, name):
            # It was pushed to before the layout came; the leader merges the two.
            return True
        storage.write(paths.adopting(name), b"")
    _clear(store, name)
    storage.make_prefixes(*paths.prefixes(name))
    storage.write_many(_documents(store, layouts, name, layout))
    generations.save(store, name, Written(foreign=layout.foreign))
    with storage.lock(paths.lock(name), shared=True):
        repositories.mark(store, name)
        storage.write(paths.repository(name), b"")
        storage.delete(paths.adopting(name))
    log.info("%s was taken over: %d tags, %d manifests", name, len(layout.tags), len(layout.manifests))
    note_change("another program", "PUT", f"/v2/{name}/", name, "taken over", "its layout was found")
    return True


def _documents(store: Store, layouts: LayoutFiles, name: str, layout: Layout) -> Documents:
    manifests = layout.reach(layout.manifests)
    yield from manifest_documents(store, layouts, name, manifests)
    for tag, digest in layout.tags.items():
        yield f"{paths.tagged(name, digest)}/{tag}", b""
        yield paths.tag(name, tag), tag_fact(tag, digest, manifests[digest]).encode()


def tag_fact(tag: str, digest: Digest, held: Held) -> TagFact:
    """Return the fact of a tag that another program made."""
    return TagFact(tag, held.manifest.media_type, digest, held.size, held.written, "")


def manifest_documents(store: Store, layouts: LayoutFiles, name: str, manifests: dict[Digest, Held]) -> Documents:
    """Yield the documents that make manifests of a layout those of a repository.

    A manifest whose file has other names, as Go zot's deduplication makes them, gets a file of its own: another program
    that writes it in place would change it in all repositories.
    """
    for digest, held in manifests.items():
        manifest = held.manifest
        key = paths.blob(name, digest)
        if layouts.is_linked(key):
            yield key, store.storage.read(key)
        if manifest.is_index:
            yield paths.index(name, digest), facts.encode_children(manifest.children)
        if manifest.subject is not None:
            descriptor = facts.encode_referrer(manifest, digest, held.size)
            yield paths.referrer(name, manifest.subject, digest), descriptor
        fact = ManifestFact(manifest.media_type, held.size, held.written, "")
        yield paths.manifest(name, digest), fact.encode()


def _clear(store: Store, name: str) -> None:
    """Take away what an adoption that broke off has left: the layout may have changed since."""
    storage = store.storage
    for prefix in paths.fact_prefixes(name):
        found = [f"{prefix}/{entry}" for entry in storage.list(prefix)]
        if prefix.endswith(paths.NESTED):
            for key in found:
                storage.delete(*(f"{key}/{inner}" for inner in storage.list(key)), f"{key}/")
        else:
            storage.delete(*found)
