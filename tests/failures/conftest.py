"""Disks that can be filled and broken, and images to push to a server that keeps them there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from scripts.crashes.audit import Audit
from scripts.crashes.disks import Disk, Impossible
from tests.images import OCI_MANIFEST, digest_of, manifest
from tests.servers import Server, running_server, workers

NewDisk = Callable[..., Disk]
Start = Callable[..., Server]


@pytest.fixture
def new_disk(tmp_path: Path) -> Iterator[NewDisk]:
    """Make and mount a small file system, which is unmounted after the test; skip where that can't be done."""
    with ExitStack() as stack:

        def make(kind: str, **more: Any) -> Disk:
            try:
                disk = Disk(kind, tmp_path, **more)
            except Impossible as reason:
                if os.environ.get("ZOT_REQUIRE_ALL"):
                    raise
                pytest.skip(str(reason))
            stack.callback(disk.unmount)
            return disk

        yield make


@pytest.fixture
def start(tmp_path: Path, new_disk: NewDisk) -> Iterator[Start]:
    """Start a server with its root on a disk, or in the directory of the test; it must end well."""
    with ExitStack() as stack:

        def run(disk: Disk | None = None, *options: str) -> Server:
            config = None
            if disk is not None:
                config = tmp_path / "config.json"
                # Nobody but the test makes room on it.
                storage = {"rootDirectory": str(disk.where / "root"), "gc": False}
                config.write_text(json.dumps({"storage": storage, "http": {"port": 0}}))
            return stack.enter_context(running_server(tmp_path, *(options or ("--workers", "2")), config=config))

        yield run


def push_blob(server: Server, name: str, content: bytes) -> int:
    """Push a blob in one request; returns the status."""
    return server.request("POST", f"/v2/{name}/blobs/uploads/?digest={digest_of(content)}", content)[0]


def put(server: Server, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
    """Push a manifest; returns the whole answer."""
    return server.request("PUT", path, body, {"Content-Type": OCI_MANIFEST})


def push_image(server: Server, name: str, *tags: str, note: str = "") -> bytes:
    """Push an image of one layer under tags; returns its manifest."""
    for content in (b"{}", b"layer" * 20_000):
        assert push_blob(server, name, content) == 201
    body = manifest(layers=(b"layer" * 20_000,), annotations={"note": note})
    for tag in tags:
        assert put(server, f"/v2/{name}/manifests/{tag}", body)[0] == 201
    return body


def pulls(server: Server, name: str, reference: str) -> bool:
    """Tell whether an image can be pulled, whole."""
    status, _, body = server.request("GET", f"/v2/{name}/manifests/{reference}", headers={"Accept": OCI_MANIFEST})
    if status != 200:
        return False
    document = json.loads(body)
    for one in (document["config"], *document["layers"]):
        status, _, content = server.request("GET", f"/v2/{name}/blobs/{one['digest']}")
        if status != 200 or digest_of(content) != one["digest"]:
            return False
    return True


def nothing_is_left(root: Path) -> bool:
    """Tell whether there is neither an upload nor a temporary file; what a server does by itself passes."""
    left = Audit(root).left
    return not left["upload"] and not left["temporary file"]


def detail(body: bytes) -> dict[str, Any]:
    """Return the detail of an error document, which has one error with reason and remedy."""
    (error,) = json.loads(body)["errors"]
    found: dict[str, Any] = error["detail"]
    assert found["reason"]
    assert found["remedy"]
    return found


def worker(server: Server) -> int:
    """Return the only worker of a server."""
    (found,) = workers(server)
    return found
