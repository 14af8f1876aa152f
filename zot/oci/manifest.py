"""Manifests and indexes: what a client pushed, checked for what the registry must know of it.

The bytes themselves are stored and served as they came. Parsed here are the digests that they name, their subject, and
what the referrers listing shows (image specification, `manifest.md` and `image-index.md`; docker's manifest schema 2).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError
from pydantic_core import from_json

from zot.errors import DigestInvalid, ManifestInvalid
from zot.oci import digest as digests
from zot.oci import media_types
from zot.oci.digest import Digest

MAX_BYTES = 4 * 1024 * 1024
# Of what a client sent, so much is repeated in an error.
_SHOWN = 160


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the registry needs to know of a manifest or index.

    `blobs` are config and layers that must be in the repository, `children` the manifests of an index, which need not.
    """

    media_type: str
    blobs: tuple[Digest, ...] = ()
    children: tuple[Digest, ...] = ()
    subject: Digest | None = None
    artifact_type: str | None = None
    annotations: dict[str, str] = field(default_factory=dict)

    @property
    def is_index(self) -> bool:
        """Whether this is a list of manifests."""
        return self.media_type in media_types.INDEXES


def parse(body: bytes, media_type: str) -> Manifest:
    """Check a manifest against its media type, one of `media_types.MANIFESTS`.

    Raises `ManifestInvalid`, naming the first field that is wrong.
    """
    model = _Index if media_type in media_types.INDEXES else _Image
    try:
        read = model.model_validate(_read(body))
    except ValidationError as error:
        raise _explain(error) from None
    _check_media_type(read, media_type)
    if isinstance(read, _Index):
        return _from_index(read, media_type)
    return _from_image(read, media_type)


def media_type_of(body: bytes) -> str | None:
    """Return the `mediaType` that a body names itself, for clients that send no Content-Type."""
    try:
        return _Common.model_validate(_read(body)).media_type
    except (ValidationError, ManifestInvalid):
        return None


def _read(body: bytes) -> Any:
    """Read JSON, without the constants that are not JSON (RFC 8259) though many parsers take them."""
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise ManifestInvalid(f"it is no JSON: {str(error)[:_SHOWN]}", "push a manifest in JSON") from None


def _parse_digest(text: object) -> Digest:
    if not isinstance(text, str):
        raise ValueError("a digest is a string")
    try:
        return digests.parse(text)
    except DigestInvalid as error:
        raise ValueError(error.reason) from None


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class _Descriptor(_Model):
    media_type: Annotated[str, Field(alias="mediaType", min_length=1)]
    digest: Annotated[Digest, PlainValidator(_parse_digest)]
    size: Annotated[int, Field(ge=0, le=2**63 - 1)]
    urls: list[str] | None = None


class _Common(_Model):
    media_type: Annotated[str | None, Field(alias="mediaType")] = None


class _Versioned(_Common):
    schema_version: Annotated[int, Field(alias="schemaVersion", ge=2, le=2)]
    artifact_type: Annotated[str | None, Field(alias="artifactType")] = None
    subject: _Descriptor | None = None
    annotations: dict[str, str] | None = None


class _Image(_Versioned):
    config: _Descriptor
    layers: list[_Descriptor] | None
    manifests: Any = None


class _Index(_Versioned):
    manifests: list[_Descriptor] | None
    config: Any = None
    layers: Any = None


def _check_media_type(read: _Image | _Index, media_type: str) -> None:
    if read.media_type is None and media_type in media_types.DOCKER:
        raise ManifestInvalid("a docker manifest has no mediaType", f'add "mediaType": "{media_type}"')
    if read.media_type is not None and read.media_type != media_type:
        raise ManifestInvalid(
            f"the manifest says mediaType {read.media_type[:160]!r} and was sent as {media_type!r}",
            "send the Content-Type that the manifest names",
            detail={"mediaType": read.media_type[:160]},
        )
    # Even as null: a body that can be read as either would be the one to one client and the other to the next.
    if "manifests" in read.model_fields_set and read.model_fields_set & {"config", "layers"}:
        raise ManifestInvalid(
            "the manifest has both layers, or a config, and manifests",
            "push an image manifest with layers or an index with manifests, not a mixture",
        )


def _from_image(read: _Image, media_type: str) -> Manifest:
    layers = [layer for layer in read.layers or [] if not (media_types.is_foreign(layer.media_type) or layer.urls)]
    named = dict.fromkeys(descriptor.digest for descriptor in (read.config, *layers))
    return Manifest(
        media_type=media_type,
        blobs=tuple(named),
        subject=read.subject.digest if read.subject else None,
        artifact_type=read.artifact_type or read.config.media_type,
        annotations=read.annotations or {},
    )


def _from_index(read: _Index, media_type: str) -> Manifest:
    return Manifest(
        media_type=media_type,
        children=tuple(dict.fromkeys(child.digest for child in read.manifests or [])),
        subject=read.subject.digest if read.subject else None,
        artifact_type=read.artifact_type,
        annotations=read.annotations or {},
    )


def _explain(error: ValidationError) -> ManifestInvalid:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])[:_SHOWN] or "the document"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return ManifestInvalid(
        f"{where}: {first['msg'][: 2 * _SHOWN]}{more}",
        "push a manifest that follows the OCI image specification or docker's manifest schema 2",
        detail={"field": where},
    )
