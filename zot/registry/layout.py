"""The projection: what `oci-layout` and `index.json` of a repository say, which let other tools open it.

`zot.registry.keeping` says when they are written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress

from zot.oci import digest as digests
from zot.oci import media_types, names
from zot.registry import facts, paths
from zot.registry.caches import Recent
from zot.registry.facts import TagFact
from zot.registry.foreign import REF_NAME
from zot.registry.generations import GENERATION, Descriptor, Written
from zot.registry.store import Store
from zot.storage.protocol import NotFound

_REMEMBERED = 200_000
LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'

Known = Recent[str, Descriptor]


def dirty(store: Store) -> Iterator[str]:
    """Yield the repositories whose index is to be written, first those with which somebody did not come to an end."""
    for prefix in (paths.PROJECTING, paths.DIRTY):
        for encoded in store.storage.list(prefix):
            yield names.decode(encoded)


def remember() -> Known:
    """Return room for the descriptors of manifests, which never change, between one projection and the next."""
    return Recent(_REMEMBERED)


def compose(store: Store, name: str, known: Known, written: Written) -> bytes:
    """Return the next generation of a repository's index, and note in `written` what it has.

    One descriptor for each tag, one for each manifest without a tag, and what other programs wrote that no fact holds.
    """
    kept = written.foreign
    tagged = {fact.name: fact for fact in _tags(store, name)}
    manifests = [str(digests.from_filename(filename)) for filename in store.storage.list(paths.manifests(name))]
    content = {tag: str(fact.digest) for tag, fact in tagged.items()} | dict.fromkeys(manifests, "")
    kept.unknown = [entry for entry in kept.unknown if not _is_settled(entry, content, written)]
    shown = {*content.values(), *(entry.get("digest") for entry in kept.unknown)}
    entries = {tag: _with_tag(fact) for tag, fact in tagged.items()}
    for digest in manifests:
        if digest not in shown and (descriptor := _descriptor_of(store, name, digest, known)) is not None:
            entries[digest] = descriptor
    kept.originals = {
        key: original for key, original in kept.originals.items() if key in entries and _is_for(original, entries[key])
    }
    written.advance(content)
    index = kept.fields | {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_INDEX,
        "manifests": [*(kept.originals.get(key, entry) for key, entry in entries.items()), *kept.unknown],
        "annotations": kept.annotations | {GENERATION: written.generation},
    }
    return json.dumps(index, separators=(",", ":")).encode()


def _tags(store: Store, name: str) -> Iterator[TagFact]:
    for tag in store.storage.list(paths.tags(name)):
        with suppress(NotFound):
            yield facts.decode_tag(store.storage.read(paths.tag(name, tag)))


def _descriptor_of(store: Store, name: str, digest: str, known: Known) -> Descriptor | None:
    key = paths.manifest(name, digests.parse(digest))
    descriptor = known.get(key)
    if descriptor is None:
        try:
            manifest = facts.decode_manifest(store.storage.read(key))
        except NotFound:
            return None
        descriptor = _descriptor(manifest.media_type, digest, manifest.size)
        known.keep(key, descriptor)
    return descriptor


def _with_tag(fact: TagFact) -> Descriptor:
    return _descriptor(fact.media_type, str(fact.digest), fact.size) | {"annotations": {REF_NAME: fact.name}}


def _descriptor(media_type: str, digest: str, size: int) -> Descriptor:
    return {"mediaType": media_type, "digest": digest, "size": size}


def _is_for(original: Descriptor, entry: Descriptor) -> bool:
    """Tell whether a descriptor of another program still describes what an entry does."""
    return all(original.get(key) == entry[key] for key in ("mediaType", "digest", "size"))


def _is_settled(entry: Descriptor, content: dict[str, str], written: Written) -> bool:
    """Tell whether facts stand for an entry by now, or its manifest was here and is no more."""
    digest, annotations = str(entry.get("digest")), entry.get("annotations")
    tag = annotations.get(REF_NAME) if isinstance(annotations, dict) else None
    if tag is None:
        return digest in content
    return tag in content or (digest in written.entries and digest not in content)
