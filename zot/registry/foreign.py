"""Reading the image layouts that other programs write (image specification, "OCI Image Layout").

Their `index.json` lists only the top: the manifests that an index lists, and what they have as their subject, are found
by reading. Whatever is no manifest that this registry can serve is kept as it came.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from zot.errors import DigestInvalid, ManifestInvalid
from zot.oci import digest as digests
from zot.oci import manifest as oci_manifest
from zot.oci import media_types, names
from zot.oci.digest import Digest
from zot.oci.manifest import Manifest
from zot.registry import facts, paths
from zot.registry.generations import GENERATION, Descriptor, Foreign
from zot.registry.store import Store
from zot.storage.layout_files import LayoutFiles
from zot.storage.protocol import NotFound

log = logging.getLogger(__name__)

REF_NAME = "org.opencontainers.image.ref.name"
_PLAIN = frozenset({"mediaType", "digest", "size", "annotations"})
_OWN_FIELDS = frozenset({"schemaVersion", "mediaType", "manifests", "annotations"})


class NoIndexError(Exception):
    """The file is no index: it is damaged, or a program is writing it just now."""


class Held(NamedTuple):
    """A manifest that was found; `written` is when its file was, in seconds since 1970."""

    manifest: Manifest
    size: int
    written: float


@dataclass
class Layout:
    """What an index and the blobs beside it say.

    `manifests` has all that the entries lead to, None for those of which the repository had the facts before.
    `generation` is the one of ours that the index is based on, as far as it says.
    """

    generation: str | None = None
    tags: dict[str, Digest] = field(default_factory=dict)
    manifests: dict[Digest, Held | None] = field(default_factory=dict)
    foreign: Foreign = field(default_factory=Foreign)

    @property
    def content(self) -> dict[str, str]:
        """What is compared in a merge: what each tag stands for, and "" for each manifest."""
        return {tag: str(digest) for tag, digest in self.tags.items()} | {str(digest): "" for digest in self.manifests}

    def reach(self, starts: Iterable[Digest]) -> dict[Digest, Held]:
        """Return those of these manifests, and of all below them, of which the repository had no facts."""
        found: dict[Digest, Held] = {}
        left = list(starts)
        while left:
            digest = left.pop()
            held = self.manifests.get(digest)
            if held is not None and digest not in found:
                found[digest] = held
                left += held.manifest.children
        return found


def read(store: Store, layouts: LayoutFiles, name: str, content: bytes, *, is_new: bool = False) -> Layout:
    """Read an index of the repository and what it leads to. Raises `NoIndexError`.

    Manifests of which there are facts are not read again, unless the repository `is_new`.
    """
    index = _parse(content)
    annotations = dict(index.get("annotations") or {})
    generation = annotations.pop(GENERATION, None)
    layout = Layout(generation if isinstance(generation, str) else None)
    layout.foreign.annotations = annotations
    layout.foreign.fields = {key: value for key, value in index.items() if key not in _OWN_FIELDS}
    reader = _Reader(store, layouts, name, layout, is_new)
    for entry in index.get("manifests") or []:
        reader.take(entry)
    return layout


def _parse(content: bytes) -> Descriptor:
    try:
        index = json.loads(content)
    except ValueError as error:
        raise NoIndexError(str(error)) from None
    if not isinstance(index, dict) or not isinstance(index.get("annotations") or {}, dict):
        raise NoIndexError("it is no index")
    entries = index.get("manifests") or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise NoIndexError("its manifests are no list of descriptors")
    return index


class _Reader:
    """Walks from the entries of one index to all manifests below them."""

    def __init__(self, store: Store, layouts: LayoutFiles, name: str, layout: Layout, is_new: bool) -> None:
        self._store = store
        self._layouts = layouts
        self._name = name
        self._layout = layout
        self._known = frozenset(() if is_new else store.storage.list(paths.manifests(name)))
        self._indexes = frozenset(() if is_new else store.storage.list(paths.indexes(name)))

    def take(self, entry: Descriptor) -> None:
        """Take in one entry of the index."""
        digest = self._walk(entry)
        annotations = _annotations(entry)
        tag = annotations.get(REF_NAME)
        kept = self._layout.foreign
        if digest is None:
            log.warning("%s/index.json lists what can't be served: %.300s", self._name, json.dumps(entry))
            kept.unknown.append(entry)
        elif tag is None:
            if not _is_plain(entry):
                kept.originals.setdefault(str(digest), entry)
        elif not names.is_tag(tag) or tag in self._layout.tags:
            kept.unknown.append(entry)
        else:
            self._layout.tags[tag] = digest
            if not _is_plain(entry):
                kept.originals[tag] = entry

    def _walk(self, entry: Descriptor) -> Digest | None:
        """Add a manifest and those below it; returns its digest, None if it is no manifest that can be served."""
        try:
            top = digests.parse(str(entry.get("digest")))
        except DigestInvalid:
            return None
        left: list[tuple[Digest, str | None]] = [(top, str(entry.get("mediaType") or "") or None)]
        while left:
            digest, media_type = left.pop()
            if digest not in self._layout.manifests:
                left += [(child, None) for child in self._add(digest, media_type)]
        return top if top in self._layout.manifests else None

    def _add(self, digest: Digest, media_type: str | None) -> Iterable[Digest]:
        """Add a manifest, if it is one; returns its children."""
        found = self._layout.manifests
        if digest.filename in self._known:
            found[digest] = None
            return self._known_children(digest)
        held = self._hold(digest, media_type)
        if held is None:
            return ()
        found[digest] = held
        return held.manifest.children

    def _known_children(self, digest: Digest) -> list[Digest]:
        if digest.filename not in self._indexes:
            return []
        try:
            children = facts.decode_children(self._store.storage.read(paths.index(self._name, digest)))
        except NotFound:
            return []
        return [digests.parse(child) for child in children]

    def _hold(self, digest: Digest, media_type: str | None) -> Held | None:
        """Read a manifest; None if it is not there, not what its digest says, or of a kind that is not served."""
        key = paths.blob(self._name, digest)
        version = self._layouts.version(key)
        if version is None or version.size > oci_manifest.MAX_BYTES:
            return None
        body, version = self._layouts.read(key)
        if digests.of(body, digest.algorithm) != digest:
            return None
        kind = _media_type(body, media_type)
        if kind is None:
            return None
        try:
            return Held(oci_manifest.parse(body, kind), len(body), version.modified / 1e9)
        except ManifestInvalid:
            return None


def _media_type(body: bytes, said: str | None) -> str | None:
    """Return a manifest's media type: its own word, else its descriptor's, else what it looks like; None if it is none.

    The children of an index come without a descriptor's word.
    """
    own = oci_manifest.media_type_of(body) or said
    if own is None:
        return media_types.OCI_INDEX if b'"manifests"' in body else media_types.OCI_MANIFEST
    return own if own in media_types.MANIFESTS else None


def _annotations(entry: Descriptor) -> Descriptor:
    found = entry.get("annotations")
    return found if isinstance(found, dict) else {}


def _is_plain(entry: Descriptor) -> bool:
    """Tell whether a descriptor says nothing that the facts don't."""
    return _PLAIN.issuperset(entry) and _annotations(entry).keys() <= {REF_NAME}
