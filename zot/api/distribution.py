"""The blueprint of the OCI distribution API: which route takes which right and leads to which view."""

from __future__ import annotations

from flask import Blueprint, Response
from werkzeug.routing import BaseConverter

from zot.api.adopting import adopting
from zot.api.blobs import BlobViews
from zot.api.guard import Guard, Routes
from zot.api.listings import ListingViews
from zot.api.manifests import ManifestViews
from zot.api.rendering import JSON
from zot.api.uploads import UploadViews
from zot.auth.actions import Action
from zot.cores import Cores
from zot.registry.stores import Stores


class RepositoryConverter(BaseConverter):
    """Matches a repository name: everything up to the last part of the path that a route knows.

    `manifests`, `tags` and `uploads` are legal components of a name, so routes are matched from the right. Whether the
    name is a good one is for the guard to say, so that a bad one gets an answer that says why.
    """

    regex = r"(?s:.*)"
    part_isolating = False


def distribution(stores: Stores, guard: Guard, cores: Cores, accepted: frozenset[str]) -> Blueprint:
    """Make the blueprint; `accepted` are the media types of manifests that may be pushed."""
    blueprint = Blueprint("distribution", __name__)
    routes = Routes(blueprint, guard)
    read, create, delete = Action.READ, Action.CREATE, Action.DELETE

    routes.add("/v2/", ["GET"], Action.PING, ping)

    listings = ListingViews(stores, guard)
    routes.add("/v2/_catalog", ["GET"], Action.LIST, listings.catalog)
    routes.add("/v2/<repository:name>/tags/list", ["GET"], read, adopting(stores, listings.tags))
    routes.add("/v2/<repository:name>/referrers/<digest>", ["GET"], read, listings.referrers)

    manifests = ManifestViews(stores, guard, accepted)
    rule = "/v2/<repository:name>/manifests/<reference>"
    routes.add(rule, ["GET", "HEAD"], read, adopting(stores, manifests.get))
    routes.add(rule, ["PUT"], create, manifests.put)
    routes.add(rule, ["DELETE"], delete, adopting(stores, manifests.delete))

    blobs = BlobViews(stores, cores)
    rule = "/v2/<repository:name>/blobs/<digest>"
    routes.add(rule, ["GET", "HEAD"], read, adopting(stores, blobs.get))
    routes.add(rule, ["DELETE"], delete, adopting(stores, blobs.delete))

    uploads = UploadViews(stores, guard, cores)
    routes.add("/v2/<repository:name>/blobs/uploads/", ["POST"], create, uploads.start)
    rule = "/v2/<repository:name>/blobs/uploads/<session>"
    routes.add(rule, ["GET"], create, uploads.status)
    routes.add(rule, ["PATCH"], create, uploads.append)
    routes.add(rule, ["PUT"], create, uploads.finish)
    routes.add(rule, ["DELETE"], create, uploads.cancel)
    return blueprint


def ping() -> Response:
    """Say that this is a registry (distribution specification, "Determining Support")."""
    return Response(b"{}", 200, {"Docker-Distribution-Api-Version": "registry/2.0"}, content_type=JSON)
