"""Referrers: the manifests of a repository that name another one as their subject."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

from zot.errors import ManifestUnknown, NameUnknown
from zot.oci import digest as digests
from zot.oci import media_types
from zot.oci.digest import Digest
from zot.registry import manifests, paths
from zot.registry.adoption import adopt
from zot.registry.store import Store
from zot.storage.protocol import NotFound

# A page holds so many descriptors, or so many bytes of them, whichever comes first: clients read indexes up to 4 MiB.
PAGE = 1000
PAGE_BYTES = 2 * 1024 * 1024
_FALLBACK_HEX = 64

Descriptor = dict[str, object]


class Listing(NamedTuple):
    """Some descriptors, in the order of their digests, and where the next page begins, if there is one."""

    descriptors: list[Descriptor]
    next_after: str | None


def page(store: Store, name: str, subject: Digest, artifact_types: frozenset[str], last: str) -> Listing:
    """Return the referrers of a subject, which need not exist, after `last`; all types if none is asked for.

    What older clients list themselves under the tag `algorithm-hex` of the subject belongs to it too
    (distribution specification, "Unavailable Referrers API").
    """
    taken: list[Descriptor] = []
    size, newest = 0, ""
    for key, descriptor in _all_after(store, name, subject, last):
        if artifact_types and descriptor.get("artifactType") not in artifact_types:
            continue
        if len(taken) == PAGE or size > PAGE_BYTES:
            return Listing(taken, newest)
        taken.append(descriptor)
        size += len(json.dumps(descriptor))
        newest = key
    return Listing(taken, None)


def _all_after(store: Store, name: str, subject: Digest, last: str) -> Iterator[tuple[str, Descriptor]]:
    listed = {key: one for key, one in _from_fallback_tag(store, name, subject) if key > last}
    for key in store.storage.list(paths.referrers(name, subject), last):
        yield from ((earlier, listed.pop(earlier)) for earlier in sorted(listed) if earlier < key)
        try:
            descriptor = json.loads(store.storage.read(f"{paths.referrers(name, subject)}/{key}"))
            # The place in the list comes first, so that nobody who finds the manifest takes it for pushed without one.
            # Until the manifest is there, or if a crash kept it from that, it is listed to nobody.
            store.storage.stat(paths.manifest(name, digests.from_filename(key)))
        except NotFound:
            continue
        listed.pop(key, None)
        yield key, descriptor
    yield from sorted(listed.items(), key=lambda item: item[0])


def _from_fallback_tag(store: Store, name: str, subject: Digest) -> Iterator[tuple[str, Descriptor]]:
    try:
        found = manifests.get(store, name, f"{subject.algorithm}-{subject.hex[:_FALLBACK_HEX]}")
    except NameUnknown:
        # There may be a layout that another program wrote.
        if adopt(store, name):
            yield from _from_fallback_tag(store, name, subject)
        return
    except ManifestUnknown:
        return
    if found.media_type not in media_types.INDEXES:
        return
    for entry in json.loads(found.body).get("manifests") or []:
        yield str(entry["digest"]).replace(":", "-", 1), _as_listed(entry)


def _as_listed(entry: dict[str, object]) -> Descriptor:
    """Return what a listing shows of an entry that a client wrote itself, and of that only what is as it should be."""
    shown = {key: entry[key] for key in ("mediaType", "digest", "size")}
    if isinstance(entry.get("artifactType"), str):
        shown["artifactType"] = entry["artifactType"]
    annotations = entry.get("annotations")
    if isinstance(annotations, dict) and all(isinstance(value, str) for value in annotations.values()):
        shown["annotations"] = annotations
    return shown
