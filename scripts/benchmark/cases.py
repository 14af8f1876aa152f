"""What is measured. Each case prepares a registry once and is then run against it in every round."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from scripts.benchmark.processes import cpu_seconds, watched
from scripts.benchmark.targets import Target
from scripts.benchmark.wire import Wire

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
ACCEPT = {"Accept": MANIFEST}
CONFIG = b'{"architecture":"amd64","os":"linux"}'
MANY = 10_000
_CONNECTIONS = 8
_counter = itertools.count()


@dataclass
class Measured:
    """One round: processor and wall seconds, requests, bytes, latencies in seconds, peak bytes of one process."""

    cpu: float
    wall: float
    requests: int
    size: int = 0
    latencies: list[float] = field(default_factory=list)
    peak: int = 0


Step = Callable[[Wire], int]
"""Does one unit of work on a connection and returns how many bytes of content moved."""


def digest_of(content: bytes) -> str:
    """Return the sha256 digest."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def measure(target: Target, count: int, connections: int, make: Callable[[], Step]) -> Measured:
    """Do `count` units over some connections; each connection has a step of its own."""
    latencies: list[float] = []
    moved: list[int] = []
    failures: list[BaseException] = []
    share = max(1, count // connections)

    def work(wire: Wire, step: Step) -> None:
        try:
            for _ in range(share):
                begun = time.perf_counter()
                moved.append(step(wire))
                latencies.append(time.perf_counter() - begun)
        except (RuntimeError, OSError) as error:
            failures.append(error)

    wires = [Wire(target.host, target.port) for _ in range(connections)]
    steps = [make() for _ in wires]
    threads = [threading.Thread(target=work, args=pair) for pair in zip(wires, steps, strict=True)]
    with watched(target.pid) as peak:
        cpu, wall = cpu_seconds(target.pid), time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        cpu, wall = cpu_seconds(target.pid) - cpu, time.perf_counter() - wall
    for wire in wires:
        wire.close()
    if failures:
        raise failures[0]
    return Measured(cpu, wall, len(latencies), sum(moved), latencies, peak.most)


def push_blob(wire: Wire, name: str, content: bytes) -> str:
    """Push a blob by POST and PUT; returns its digest."""
    digest = digest_of(content)
    where = _location(wire.request("POST", f"/v2/{name}/blobs/uploads/", expect=202).headers["location"])
    wire.request("PUT", f"{where}{'&' if '?' in where else '?'}digest={digest}", content, expect=201)
    return digest


def manifest(layer: bytes, note: str = "") -> bytes:
    """Return a manifest of the common config and one layer; `note` makes it differ."""
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": digest_of(CONFIG),
                "size": len(CONFIG),
            },
            "layers": [
                {
                    "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                    "digest": digest_of(layer),
                    "size": len(layer),
                }
            ],
            "annotations": {"note": note},
        }
    ).encode()


def put_manifest(wire: Wire, name: str, tag: str, body: bytes) -> None:
    """Push a manifest under a tag."""
    wire.request("PUT", f"/v2/{name}/manifests/{tag}", body, {"Content-Type": MANIFEST}, expect=201)


def prepare_tags(target: Target, name: str, count: int) -> None:
    """Make a repository with an image under `count` tags."""
    wire = Wire(target.host, target.port)
    layer = b"x" * 20_000
    push_blob(wire, name, CONFIG)
    push_blob(wire, name, layer)
    body = manifest(layer)
    for number in range(count):
        put_manifest(wire, name, f"v{number:05}", body)
    wire.close()


def prepare_blob(target: Target, name: str, size: int) -> str:
    """Put a blob of random bytes there, repeated; nginx gets it as a file. Returns its path."""
    piece = os.urandom(1 << 20)
    content = (piece * (size // len(piece) + 1))[:size]
    if target.files is not None:
        (target.files / f"blob{size}").write_bytes(content)
        return f"/blob{size}"
    wire = Wire(target.host, target.port)
    path = f"/v2/{name}/blobs/{push_blob(wire, name, content)}"
    wire.close()
    return path


def get(path: str) -> Callable[[], Step]:
    """Get one path again and again."""
    return lambda: lambda wire: wire.request("GET", path, headers=ACCEPT).size


def push_tags(name: str, tags: int) -> Callable[[], Step]:
    """Move tags of a repository to new manifests; config and layer are there."""

    def step(wire: Wire) -> int:
        number = next(_counter)
        body = manifest(b"x" * 20_000, f"{os.getpid()}-{time.time_ns()}-{number}")
        put_manifest(wire, name, f"v{number % tags:05}", body)
        return len(body)

    return lambda: step


def push_image(name: str) -> Callable[[], Step]:
    """Push a 20 kB image in seven requests, as docker does."""

    def step(wire: Wire) -> int:
        layer = os.urandom(20_000)
        digest = digest_of(layer)
        wire.request("HEAD", f"/v2/{name}/blobs/{digest}", expect=404)
        where = _location(wire.request("POST", f"/v2/{name}/blobs/uploads/", expect=202).headers["location"])
        where = _location(wire.request("PATCH", where, layer, expect=202).headers["location"])
        wire.request("PUT", f"{where}{'&' if '?' in where else '?'}digest={digest}", expect=201)
        push_blob(wire, name, CONFIG)
        put_manifest(wire, name, f"t{next(_counter) % 10}", manifest(layer))
        return len(layer)

    return lambda: step


def upload(name: str, size: int) -> Callable[[], Step]:
    """Push one large blob by POST, a streamed PATCH, and PUT."""

    def make() -> Step:
        piece = os.urandom(1 << 20)
        running = hashlib.sha256()
        for _ in range(size >> 20):
            running.update(piece)

        def step(wire: Wire) -> int:
            where = _location(wire.request("POST", f"/v2/{name}/blobs/uploads/", expect=202).headers["location"])
            wire.send(wire.head("PATCH", where, size))
            for _ in range(size >> 20):
                wire.send(piece)
            where = _location(wire.finish("PATCH", where, 202).headers["location"])
            separator = "&" if "?" in where else "?"
            wire.request("PUT", f"{where}{separator}digest=sha256:{running.hexdigest()}", expect=201)
            return size

        return step

    return make


def _location(header: str) -> str:
    """Return the path of an address, which may be absolute."""
    return "/" + header.split("/", 3)[3] if header.startswith("http") else header
