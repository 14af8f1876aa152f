"""Errors as documents, and the small answers that several views give."""

from __future__ import annotations

import json
import logging

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from zot.errors import RegistryError, Unavailable
from zot.storage.protocol import Full, StorageError

log = logging.getLogger(__name__)

JSON = "application/json"


def register_errors(app: Flask) -> None:
    """Let the application answer every error with an OCI error document (distribution specification, "Error Codes")."""
    app.register_error_handler(RegistryError, error)
    app.register_error_handler(StorageError, _storage_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _last_resort)


def error(raised: RegistryError) -> Response:
    """Render a registry error; why something is forbidden, or conflicts with what is there, is for the logs too."""
    if raised.status in (403, 409):
        request.environ["zot.refused"] = raised.reason
    return document(raised.document(), raised.status, raised.headers)


def document(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Render JSON."""
    body = json.dumps(value, separators=(",", ":")).encode()
    return Response(body, status, headers, content_type=JSON)


def empty(status: int, headers: dict[str, str]) -> Response:
    """Render an answer without a body."""
    answer = Response(status=status, headers=headers)
    # A body that isn't there has no type; an upload's 202 has a length, or clients wait for an end that never comes.
    del answer.headers["Content-Type"]
    return answer


def _storage_error(raised: StorageError) -> Response:
    log.error("%s %s: %s", request.method, request.path, raised, extra=_named())
    if isinstance(raised, Full):
        return error(
            Unavailable(str(raised), "free some space on the server; pulls and deletes go on meanwhile", status=507)
        )
    return error(Unavailable(str(raised), "try again; the server's log says more", headers={"Retry-After": "5"}))


def _http_error(raised: HTTPException) -> Response:
    status = raised.code or 400
    if isinstance(raised, MethodNotAllowed):
        allowed = ", ".join(sorted(raised.valid_methods or []))
        problem = RegistryError(
            f"{request.method} is not possible here", f"use one of {allowed}", status=405, headers={"Allow": allowed}
        )
    elif status == 404:
        problem = RegistryError(
            "there is nothing at this address",
            "ask for /v2/<repository>/manifests/<reference> or its like, as the OCI distribution specification says",
            status=404,
        )
    else:
        problem = RegistryError(raised.description or raised.name, "mend the request", status=status)
    return error(problem)


def _last_resort(raised: Exception) -> Response:
    log.error("%s %s failed", request.method, request.path, exc_info=raised, extra=_named())
    return error(Unavailable("the server met an error of its own", "the server's log says more", status=500))


def _named() -> dict[str, object]:
    """Return what leads from a line of the log to that of its request."""
    return {"request": request.environ.get("zot.request", "")}
