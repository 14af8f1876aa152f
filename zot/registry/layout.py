"""The projection: `oci-layout` and `index.json`, which let other tools open a repository, written from its facts.

It is written outside of requests, after what changed: see DESIGN.md, "The projection".
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

from zot.oci import digest as digests
from zot.oci import media_types, names
from zot.oci.digest import Digest
from zot.registry import facts, paths
from zot.registry.caches import Recent
from zot.registry.store import Store
from zot.storage.protocol import NotFound

log = logging.getLogger(__name__)

REF_NAME = "org.opencontainers.image.ref.name"
GENERATION = "dev.zotregistry.generation"
_REMEMBERED = 200_000
LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'

Descriptor = dict[str, object]
Known = Recent[str, Descriptor]


class ForeignIndexError(Exception):
    """Another program wrote the index; it is not overwritten unread."""


def dirty(store: Store) -> Iterator[str]:
    """Yield the repositories whose index is to be written, first those with which somebody did not come to an end."""
    for prefix in (paths.PROJECTING, paths.DIRTY):
        for encoded in store.storage.list(prefix):
            yield names.decode(encoded)


def project_dirty(store: Store, known: Known) -> None:
    """Write the index of every repository that changed; what could not be written is tried again the next time."""
    for name in dirty(store):
        project(store, name, known)


def remember() -> Known:
    """Return room for the descriptors of manifests, which never change, between one projection and the next."""
    return Recent(_REMEMBERED)


def project(store: Store, name: str, known: Known) -> None:
    """Write the repository's index from its facts.

    A push leaves its mark inside the lock and before its facts. The mark is changed for another one under the exclusive
    lock: the facts of every push before are there then, and every push after leaves a new mark.
    """
    storage = store.storage
    with storage.lock(paths.lock(name), shared=False):
        storage.write(paths.projecting(name), b"")
        storage.delete(paths.dirty(name))
    storage.write(paths.layout_file(name, "oci-layout"), LAYOUT)
    entries = list(_entries(store, name, known))
    try:
        storage.update(paths.layout_file(name, "index.json"), lambda before: _index(before, entries))
    except ForeignIndexError:
        log.error("%s/index.json was written by another program; it is left as it is, and lacks what was pushed", name)
    storage.delete(paths.projecting(name))


def _index(before: bytes | None, entries: list[Descriptor]) -> bytes:
    generation = 1 if before is None else _generation(before) + 1
    index = {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_INDEX,
        "manifests": entries,
        "annotations": {GENERATION: str(generation)},
    }
    return json.dumps(index, separators=(",", ":")).encode()


def _generation(before: bytes) -> int:
    try:
        return int(json.loads(before)["annotations"][GENERATION])
    except (ValueError, KeyError, TypeError) as error:
        raise ForeignIndexError from error


def _entries(store: Store, name: str, known: Known) -> Iterator[Descriptor]:
    """Yield one descriptor for each tag, and one for each manifest without a tag."""
    tagged: set[Digest] = set()
    for tag in store.storage.list(paths.tags(name)):
        try:
            fact = facts.decode_tag(store.storage.read(paths.tag(name, tag)))
        except NotFound:
            continue
        tagged.add(fact.digest)
        yield _descriptor(fact.media_type, fact.digest, fact.size) | {"annotations": {REF_NAME: fact.name}}
    for filename in store.storage.list(paths.manifests(name)):
        digest = digests.from_filename(filename)
        if digest in tagged:
            continue
        key = paths.manifest(name, digest)
        descriptor = known.get(key)
        if descriptor is None:
            try:
                manifest = facts.decode_manifest(store.storage.read(key))
            except NotFound:
                continue
            descriptor = _descriptor(manifest.media_type, digest, manifest.size)
            known.keep(key, descriptor)
        yield descriptor


def _descriptor(media_type: str, digest: Digest, size: int) -> Descriptor:
    return {"mediaType": media_type, "digest": str(digest), "size": size}
