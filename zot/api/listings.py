"""The routes that list: tags, repositories, referrers (distribution specification, "Content Discovery")."""

from __future__ import annotations

from urllib.parse import urlencode

from flask import Response, request

from zot.api.guard import Guard
from zot.api.rendering import document
from zot.auth.principal import Principal
from zot.errors import RegistryError
from zot.oci import digest as digests
from zot.oci import media_types
from zot.registry import referrers, repositories, tags
from zot.registry.stores import Stores

# A page is at most this long, asked for or not; the Link header leads on.
LONGEST_PAGE = 10_000


class PaginationInvalid(RegistryError):
    """The number of entries that was asked for is not a number, or negative."""

    code = "PAGINATION_NUMBER_INVALID"
    status = 400
    message = "invalid number of results requested"


class ListingViews:
    """Views over `tags`, `repositories` and `referrers` of `zot.registry`."""

    def __init__(self, stores: Stores, guard: Guard) -> None:
        self._stores = stores
        self._guard = guard

    def tags(self, name: str) -> Response:
        """List tags in byte order, from the one after `last`, which need not exist."""
        limit = _limit()
        page = tags.page(self._stores.of(name), name, limit, request.args.get("last", ""))
        headers = _link(f"/v2/{name}/tags/list", {"n": str(limit), "last": page.names[-1]}) if page.more else {}
        return document({"name": name, "tags": page.names}, headers=headers)

    def catalog(self, principal: Principal) -> Response:
        """List the repositories that the caller may read, in byte order."""
        limit = _limit()
        found = self._stores.names(request.args.get("last", ""))
        page = repositories.page((name for name in found if self._guard.shows(principal, name)), limit)
        headers = _link("/v2/_catalog", {"n": str(limit), "last": page.names[-1]}) if page.more else {}
        return document({"repositories": page.names}, headers=headers)

    def referrers(self, name: str, digest: str) -> Response:
        """List the referrers of a manifest as an index."""
        subject = digests.parse(digest)
        types = frozenset(request.args.getlist("artifactType"))
        listing = referrers.page(self._stores.of(name), name, subject, types, request.args.get("last", ""))
        headers = {"OCI-Filters-Applied": "artifactType"} if types else {}
        if listing.next_after is not None:
            query = [("artifactType", one) for one in sorted(types)] + [("last", listing.next_after)]
            headers |= _link(f"/v2/{name}/referrers/{digest}", query)
        answer = document(
            {"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": listing.descriptors}, headers=headers
        )
        answer.headers["Content-Type"] = media_types.OCI_INDEX
        return answer


def _limit() -> int:
    asked = request.args.get("n")
    if asked is None:
        return LONGEST_PAGE
    if not (asked.isascii() and asked.isdigit()):
        raise PaginationInvalid(f"n={asked[:40]!r} is not a number of entries", "give n as 0 or a positive number")
    digits = asked.lstrip("0") or "0"
    return LONGEST_PAGE if len(digits) > len(str(LONGEST_PAGE)) else min(int(digits), LONGEST_PAGE)


def _link(path: str, query: dict[str, str] | list[tuple[str, str]]) -> dict[str, str]:
    return {"Link": f'<{path}?{urlencode(query)}>; rel="next"'}
