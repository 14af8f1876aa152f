"""The routes of manifests (distribution specification, "Pulling", "Pushing" and "Deleting Manifests")."""

from __future__ import annotations

from flask import Response, request

from zot.api import bodies
from zot.api.blobs import client_has
from zot.api.guard import Guard
from zot.api.rendering import empty
from zot.auth.actions import Action
from zot.auth.principal import Principal
from zot.errors import ManifestInvalid
from zot.oci import manifest as oci_manifest
from zot.oci import media_types, names
from zot.oci import reference as references
from zot.registry import manifests
from zot.registry.stores import Stores

# Each tag of a push comes back in a header of its own, and clients bound the headers that they read.
MOST_TAGS = 46


class ManifestViews:
    """Views over `zot.registry.manifests`. `accepted` are the media types that may be pushed."""

    def __init__(self, stores: Stores, guard: Guard, accepted: frozenset[str]) -> None:
        self._stores = stores
        self._guard = guard
        self._accepted = accepted

    def get(self, name: str, reference: str) -> Response:
        """Serve a manifest, in the bytes and the type it was pushed with, whatever Accept says."""
        asked = references.parse(reference)
        store = self._stores.of(name)
        if request.method == "HEAD":
            described = manifests.describe(store, name, asked)
            headers = _headers(str(described.digest), described.size)
            return Response(status=200, headers=headers, content_type=described.media_type)
        found = manifests.get(store, name, asked)
        digest = str(found.digest)
        headers = _headers(digest, len(found.body))
        if client_has(digest):
            return empty(304, headers)
        return Response(found.body, 200, headers, content_type=found.media_type)

    def put(self, name: str, reference: str, principal: Principal) -> Response:
        """Take a manifest in."""
        asked = references.parse(reference)
        tags = _tags_for(asked)
        self._refuse_type(_content_type())
        body = bodies.whole(request.environ, oci_manifest.MAX_BYTES)
        media_type = _content_type() or oci_manifest.media_type_of(body) or ""
        self._refuse_type(media_type, required=True)
        digest = manifests.check_digest(body, asked)
        manifest = oci_manifest.parse(body, media_type)
        refused = self._guard.refusal(principal, Action.UPDATE, name)
        made = manifests.put(self._stores.of(name), name, digest, body, manifest, tags, principal.name, refused)
        headers = {
            "Location": f"/v2/{name}/manifests/{digest}",
            "Docker-Content-Digest": str(digest),
            "Content-Length": "0",
        }
        if made.subject is not None:
            headers["OCI-Subject"] = str(made.subject)
        answer = empty(201, headers)
        for tag in tags if not isinstance(asked, str) else ():
            answer.headers.add("OCI-Tag", tag)
        return answer

    def delete(self, name: str, reference: str, principal: Principal) -> Response:
        """Delete a tag, or a manifest with all its tags."""
        asked = references.parse(reference)
        if isinstance(asked, str):
            manifests.delete_tag(self._stores.of(name), name, asked)
        else:
            only_one = self._guard.detects_collisions(principal, name)
            manifests.delete_digest(self._stores.of(name), name, asked, refuse_several_tags=only_one)
        return empty(202, {"Content-Length": "0"})

    def _refuse_type(self, media_type: str | None, *, required: bool = False) -> None:
        """Raise `ManifestInvalid` (415) for a type that this registry does not take."""
        if media_type in self._accepted or (media_type is None and not required):
            return
        if media_type in media_types.DOCKER_SCHEMA1:
            remedy = "push it with a docker of 2016 or later, or convert it with skopeo copy --format oci"
        elif media_type in media_types.DOCKER:
            remedy = 'leave "http.compat" out of the configuration or set it to ["docker2s2"], or push in OCI format'
        else:
            remedy = "send one of: " + ", ".join(sorted(self._accepted))
        raise ManifestInvalid(
            f"manifests of type {media_type!r} are not accepted",
            remedy,
            status=415,
            detail={"mediaType": media_type or ""},
        )


def _content_type() -> str | None:
    header: str = request.environ.get("CONTENT_TYPE", "")
    return header.partition(";")[0].strip().lower() or None


def _headers(digest: str, size: int) -> dict[str, str]:
    return {"Docker-Content-Digest": digest, "Content-Length": str(size), "ETag": f'"{digest}"'}


def _tags_for(asked: object) -> tuple[str, ...]:
    """Return the tags of a push: its reference, or those that `?tag=` gives a push by digest."""
    extra = tuple(dict.fromkeys(names.check_tag(tag) for tag in request.args.getlist("tag")))
    if isinstance(asked, str):
        if extra:
            raise ManifestInvalid("the parameter tag goes with a push by digest", "push by digest, or leave it out")
        return (asked,)
    if len(extra) > MOST_TAGS:
        raise ManifestInvalid(
            f"{len(extra)} tags are too many for one push",
            f"give at most {MOST_TAGS}, and the others with further pushes",
            status=414,
            detail={"limit": MOST_TAGS},
        )
    return extra
