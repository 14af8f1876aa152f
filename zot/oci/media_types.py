"""The media types that the registry itself understands."""

from __future__ import annotations

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_SCHEMA1 = frozenset(
    {
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    }
)

DOCKER = frozenset({DOCKER_MANIFEST, DOCKER_LIST})
INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFESTS = frozenset({OCI_MANIFEST, OCI_INDEX}) | DOCKER

# Layers of these types are fetched from the URLs in their descriptors, so registries need not hold them
# (image specification, "Non-Distributable Layers"; docker's manifest schema 2, "foreign" layers).
_FOREIGN_MARKS = (".nondistributable.", ".foreign.")


def is_foreign(media_type: str) -> bool:
    """Tell whether a layer of this type may live elsewhere."""
    return any(mark in media_type for mark in _FOREIGN_MARKS)
