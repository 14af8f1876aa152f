"""The small documents that hold what a repository knows, one per fact."""

from __future__ import annotations

import json
from typing import NamedTuple

from zot.errors import DigestInvalid
from zot.oci import digest as digests
from zot.oci.digest import Digest
from zot.oci.manifest import Manifest
from zot.storage.protocol import Damaged

_DAMAGE = (ValueError, KeyError, TypeError, DigestInvalid)


class TagFact(NamedTuple):
    """What a tag stands for. `pushed` is in seconds since 1970; `by` is empty for an anonymous push."""

    name: str
    media_type: str
    digest: Digest
    size: int
    pushed: float
    by: str

    def encode(self) -> bytes:
        """Return the document."""
        return _dump(
            {
                "name": self.name,
                "mediaType": self.media_type,
                "digest": str(self.digest),
                "size": self.size,
                "pushed": self.pushed,
                "by": self.by,
            }
        )


class ManifestFact(NamedTuple):
    """A manifest that belongs to a repository."""

    media_type: str
    size: int
    pushed: float
    by: str

    def encode(self) -> bytes:
        """Return the document."""
        return _dump({"mediaType": self.media_type, "size": self.size, "pushed": self.pushed, "by": self.by})


def decode_tag(document: bytes) -> TagFact:
    """Read a tag's document. Raises `Damaged`."""
    try:
        read = json.loads(document)
        digest = digests.parse(read["digest"])
        return TagFact(read["name"], read["mediaType"], digest, read["size"], read["pushed"], read["by"])
    except _DAMAGE as error:
        raise _damaged("a tag", document) from error


def decode_manifest(document: bytes) -> ManifestFact:
    """Read a manifest's document. Raises `Damaged`."""
    try:
        read = json.loads(document)
        return ManifestFact(read["mediaType"], read["size"], read["pushed"], read["by"])
    except _DAMAGE as error:
        raise _damaged("a manifest", document) from error


def encode_children(children: tuple[Digest, ...]) -> bytes:
    """Return the document that lists an index's children."""
    return _dump([str(child) for child in children])


def decode_children(document: bytes) -> frozenset[str]:
    """Read the children of an index. Raises `Damaged`."""
    try:
        return frozenset(json.loads(document))
    except _DAMAGE as error:
        raise _damaged("an index", document) from error


def encode_referrer(manifest: Manifest, digest: Digest, size: int) -> bytes:
    """Return a referrer's descriptor as the listing shows it (distribution specification, "Listing Referrers")."""
    descriptor: dict[str, object] = {"mediaType": manifest.media_type, "digest": str(digest), "size": size}
    if manifest.artifact_type is not None:
        descriptor["artifactType"] = manifest.artifact_type
    if manifest.annotations:
        descriptor["annotations"] = manifest.annotations
    return _dump(descriptor)


def _damaged(what: str, document: bytes) -> Damaged:
    return Damaged(f"the record of {what} is damaged: it has {len(document)} bytes that can't be read")


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
