"""The routes of upload sessions (distribution specification, "Pushing blobs")."""

from __future__ import annotations

import re
from collections.abc import Iterator

from flask import Response, request

from zot.api import bodies
from zot.api.guard import Guard
from zot.api.rendering import empty
from zot.auth.actions import Action
from zot.auth.principal import Principal
from zot.cores import Cores
from zot.errors import BlobUploadInvalid, DigestInvalid
from zot.oci import digest as digests
from zot.oci import names
from zot.oci.digest import Digest
from zot.registry import blobs, uploads
from zot.registry.stores import Stores

_CONTENT_RANGE = re.compile(r"\s*(?:bytes\s+)?(\d{1,19})\s*-\s*(\d{1,19})\s*(?:/\s*(?:\d+|\*)\s*)?", re.ASCII)


class UploadViews:
    """Views over `zot.registry.uploads`."""

    def __init__(self, stores: Stores, guard: Guard, cores: Cores) -> None:
        self._stores = stores
        self._guard = guard
        self._cores = cores

    def start(self, name: str, principal: Principal) -> Response:
        """Mount a blob, push one in a single request, or begin a session."""
        if "mount" in request.args:
            digest = digests.parse(_single("mount"))
            if self._mount(name, digest, principal):
                return _created(name, digest)
        elif "digest" in request.args:
            digest = digests.parse(_single("digest"))
            uploads.push(self._stores.of(name), name, digest, self._body())
            return _created(name, digest)
        session = uploads.start(self._stores.of(name), name, by=principal.name)
        return _state(202, name, session, 0)

    def status(self, name: str, session: str, principal: Principal) -> Response:
        """Tell how far an upload has come."""
        size = uploads.status(self._stores.of(name), name, session, by=principal.name)
        return _state(204, name, session, size)

    def append(self, name: str, session: str, principal: Principal) -> Response:
        """Add a chunk, or a stream of any length."""
        begin, body = self._part(name, session)
        size = uploads.append(self._stores.of(name), name, session, body, begin, by=principal.name)
        return _state(202, name, session, size)

    def finish(self, name: str, session: str, principal: Principal) -> Response:
        """Add the last chunk, if there is one, and close the session."""
        digest = digests.parse(_single("digest"))
        begin, body = self._part(name, session)
        uploads.finish(self._stores.of(name), name, session, digest, body, begin, by=principal.name)
        return _created(name, digest)

    def cancel(self, name: str, session: str, principal: Principal) -> Response:
        """Forget an upload."""
        uploads.cancel(self._stores.of(name), name, session, by=principal.name)
        return empty(204, {})

    def _body(self) -> Iterator[bytes | memoryview]:
        """Return the request's body in pieces."""
        return self._cores.roaming(bodies.pieces(request.environ), bodies.length(request.environ))

    def _part(self, name: str, session: str) -> tuple[int | None, Iterator[bytes | memoryview]]:
        """Return where the body begins, if Content-Range says so, and the body, which must end where that says."""
        begin, length = _content_range(name, session)
        body = self._body()
        if length is not None and bodies.length(request.environ) is None:
            body = bodies.exactly(body, length)
        return begin, body

    def _mount(self, name: str, digest: Digest, principal: Principal) -> bool:
        """Mount if the caller may read where the blob comes from; otherwise it is as if it were not there."""
        store = self._stores.of(name)
        if "from" not in request.args:
            return self._guard.reads_everything(principal) and blobs.mount(store, name, digest, None)
        source = names.check_repository(_single("from"))
        if self._stores.of(source) is not store or not self._guard.permits(principal, Action.READ, source):
            return False
        return blobs.mount(store, name, digest, source)


def _single(parameter: str) -> str:
    """Return a query parameter that must be there once."""
    values = request.args.getlist(parameter)
    if len(values) != 1:
        raise DigestInvalid(f"the parameter {parameter!r} is given {len(values)} times", "give it once")
    return values[0]


def _content_range(name: str, session: str) -> tuple[int | None, int | None]:
    """Return offset and length that Content-Range names, checked against Content-Length; None without such a header."""
    header = request.environ.get("HTTP_CONTENT_RANGE")
    if header is None:
        return None, None
    match = _CONTENT_RANGE.fullmatch(header)
    length = bodies.length(request.environ)
    if match is not None:
        begin, end = int(match.group(1)), int(match.group(2))
        if end - begin + 1 == length or (length is None and end >= begin):
            return begin, end - begin + 1
    raise BlobUploadInvalid(
        f"Content-Range {header[:80]!r} does not fit a body of {length} bytes",
        "send `first-last`, both counted from 0, with as many bytes as that",
        status=416,
        headers={"Location": uploads.location(name, uploads.check_session(name, session))},
    )


def _state(status: int, name: str, session: str, size: int) -> Response:
    headers = {
        "Location": uploads.location(name, session),
        "Range": uploads.progress(size),
        "Docker-Upload-UUID": session,
        "Content-Length": "0",
    }
    return empty(status, headers)


def _created(name: str, digest: Digest) -> Response:
    headers = {
        "Location": f"/v2/{name}/blobs/{digest}",
        "Docker-Content-Digest": str(digest),
        "Content-Length": "0",
    }
    return empty(201, headers)
