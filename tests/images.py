"""Small images and artifacts, made in memory, for tests."""

from __future__ import annotations

import hashlib
import json
from typing import Any

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    """Return `algorithm:hex` of some bytes."""
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def descriptor(content: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    """Return the descriptor of some bytes."""
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content), **more}


def manifest(config: bytes = b"{}", layers: tuple[bytes, ...] = (b"layer",), **more: Any) -> bytes:
    """Return an OCI image manifest; `more` are further fields, or others in place of the usual ones."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(config, CONFIG),
        "layers": [descriptor(layer, LAYER) for layer in layers],
        **more,
    }
    return json.dumps(document).encode()


def index(*children: bytes, **more: Any) -> bytes:
    """Return an OCI index of manifests."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [descriptor(child, OCI_MANIFEST) for child in children],
        **more,
    }
    return json.dumps(document).encode()
