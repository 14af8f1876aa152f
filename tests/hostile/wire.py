"""Requests as raw bytes, and what must hold for every answer to them."""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from tests.images import OCI_MANIFEST, digest_of, manifest
from tests.servers import PATIENCE, Server, wait_until

BLOB = b"0123456789"
PING = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"


class Answer(NamedTuple):
    """Status, headers in lower case, body."""

    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """One TCP connection to a server."""

    def __init__(self, server: Server) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, data: bytes, *, then_end: bool = False) -> None:
        """Send bytes, and with `then_end` nothing after them; a server may have hung up already."""
        try:
            self.socket.sendall(data)
            if then_end:
                self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def answer(self, method: str = "GET") -> Answer | None:
        """Read one answer; None if the connection ended before it."""
        response = http.client.HTTPResponse(self.socket, method=method)
        try:
            response.begin()
            body = response.read()
        except (http.client.BadStatusLine, ConnectionError):
            return None
        finally:
            response.close()
        return Answer(response.status, {key.lower(): value for key, value in response.getheaders()}, body)


def raw(method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
    """Return the bytes of a request; a body without a framing of its own gets a Content-Length."""
    given = {"Host": "x", **(headers or {})}
    if body and not {"Content-Length", "Transfer-Encoding"} & set(given):
        given["Content-Length"] = str(len(body))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def ask(server: Server, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
    """Send one request and see that its connection keeps what the answer says: it goes on, or it was announced."""
    with Wire(server) as wire:
        wire.send(raw(method, path, headers, body))
        answer = wire.answer(method)
        assert answer is not None, f"no answer to {method} {path[:80]}"
        goes_on_as_announced(wire, answer)
        return answer


def goes_on_as_announced(wire: Wire, answer: Answer) -> None:
    """See that a connection answers the next request, unless the answer said that it ends."""
    if answer.headers.get("connection", "").lower() == "close":
        return
    wire.send(PING)
    again = wire.answer()
    assert again is not None, f"the connection ended after {answer.status}, which did not announce it"
    assert (again.status, again.body) == (200, b"{}")


def is_refusal(answer: Answer, status: int, code: str | None = None, method: str = "GET") -> None:
    """See that an answer is an error document that says why and what to do (nothing at all for HEAD)."""
    assert answer.status == status, answer
    if method == "HEAD":
        assert answer.body == b""
        return
    assert answer.headers.get("content-type") == "application/json", answer
    (error,) = json.loads(answer.body)["errors"]
    assert code in (None, error["code"]), error
    assert error["message"]
    assert error["detail"]["reason"]
    assert error["detail"]["remedy"]


def push_image(server: Server, name: str, tag: str = "v1") -> bytes:
    """Push the image of `tests.images` and one more blob; returns its manifest."""
    for blob in (b"{}", b"layer", BLOB):
        path = f"/v2/{name}/blobs/uploads/?digest={digest_of(blob)}"
        assert server.request("POST", path, blob)[0] == 201
    body = manifest()
    assert server.request("PUT", f"/v2/{name}/manifests/{tag}", body, {"Content-Type": OCI_MANIFEST})[0] == 201
    return body


def stored(root: Path) -> list[str]:
    """Return what is stored, but for what a server does by itself: index.json, marks, locks, statistics, jobs.

    What is just being written is waited for.
    """
    own = ("index.json", "oci-layout")
    gathered = ("locks", "statistics", "changed", "waiting", "jobs")
    by_itself = ("dirty", "projecting", "generations", "replaced", "led", "leading", *gathered)
    passing = tuple(f"_zot-blobs/{kind}" for kind in by_itself)
    found: list[str] = []

    def is_quiet() -> bool:
        files = ((os.path.relpath(where, root), name) for where, _, names in os.walk(root) for name in names)
        found[:] = sorted(os.path.join(where, name) for where, name in files if name not in own)
        return not any(path.startswith("_zot-blobs/tmp/") for path in found)

    wait_until(is_quiet, f"nothing is being written in {root}")
    return [path for path in found if not path.startswith(passing)]
