"""The units of work that are measured, and what a registry must hold before."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import time
from contextlib import suppress
from functools import partial

from scripts.benchmark.load import drive, one
from scripts.benchmark.targets import Target
from scripts.benchmark.wire import Answer, BadAnswerError, Maker, Request, Unit, request

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
ACCEPT = {"Accept": MANIFEST}
LAYER_SIZE = 20_000
_MEGABYTE = 1 << 20
_COMMON_CONFIG = b'{"architecture":"amd64","os":"linux"}'
_COMMON_LAYER = b"x" * LAYER_SIZE
_counter = itertools.count()


def digest_of(content: bytes) -> str:
    """Return the sha256 digest."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def manifest(config: bytes, layer: bytes, note: str = "") -> bytes:
    """Return a manifest of a config and one layer; `note` makes it differ."""
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor("application/vnd.oci.image.config.v1+json", config),
            "layers": [_descriptor("application/vnd.oci.image.layer.v1.tar+gzip", layer)],
            "annotations": {"note": note},
        }
    ).encode()


def _descriptor(media_type: str, content: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def _note() -> str:
    """Return a note that nobody had before and that always has the same length."""
    return f"{time.time_ns():020}-{next(_counter):010}"


def put_manifest(name: str, tag: str, body: bytes) -> Request:
    """Return the push of a manifest under a tag."""
    return request("PUT", f"/v2/{name}/manifests/{tag}", 201, body=body, headers={"Content-Type": MANIFEST})


def post(name: str) -> Request:
    """Return the request that begins an upload."""
    return request("POST", f"/v2/{name}/blobs/uploads/", 202)


def finish(begun: Answer, digest: str, content: bytes = b"") -> Request:
    """Return the request that ends an upload."""
    where = begun.location()
    return request("PUT", f"{where}{'&' if '?' in where else '?'}digest={digest}", 201, body=content)


def push_blob(name: str, content: bytes) -> Unit:
    """Push a blob by POST and PUT."""
    begun = yield post(name)
    yield finish(begun, digest_of(content), content)
    return len(content)


def get(path: str, length: int | None = None) -> Maker:
    """Get one path again and again; it must have that length."""
    wanted = request("GET", path, 200, headers=ACCEPT, length=length)

    def unit() -> Unit:
        return (yield wanted).size

    return unit


def push_tags(name: str, tags: int) -> Maker:
    """Move tags of a repository to new manifests; config and layer are there."""

    def unit() -> Unit:
        body = manifest(_COMMON_CONFIG, _COMMON_LAYER, _note())
        # 7919 is prime to the number of tags, so that neighbours in time are no neighbours in the directory.
        yield put_manifest(name, tag(next(_counter) * 7919 % tags), body)
        return len(body)

    return unit


def push_image(name: str) -> Maker:
    """Push a new image of 20 kB in seven requests, as docker does."""

    def unit() -> Unit:
        layer = os.urandom(LAYER_SIZE)
        config = json.dumps({"architecture": "amd64", "os": "linux", "id": _note()}).encode()
        digest = digest_of(layer)
        yield request("HEAD", f"/v2/{name}/blobs/{digest}", 404)
        begun = yield post(name)
        appended = yield request("PATCH", begun.location(), 202, body=layer)
        yield finish(appended, digest)
        yield from push_blob(name, config)
        yield put_manifest(name, f"t{next(_counter) % 10}", manifest(config, layer))
        return len(layer)

    return unit


def upload(name: str, size: int) -> Maker:
    """Push one large blob by POST, a streamed PATCH, and PUT; its digest is known before the clock runs."""
    piece, running, times = os.urandom(_MEGABYTE), hashlib.sha256(), size // _MEGABYTE
    for _ in range(times):
        running.update(piece)
    digest = f"sha256:{running.hexdigest()}"

    def unit() -> Unit:
        begun = yield post(name)
        stream = (times * _MEGABYTE, itertools.repeat(piece, times))
        appended = yield request("PATCH", begun.location(), 202, stream=stream)
        yield finish(appended, digest)
        yield request("HEAD", f"/v2/{name}/blobs/{digest}", 200)
        return times * _MEGABYTE

    return unit


def tag(number: int) -> str:
    """Return the name of a tag; they all have the same length."""
    return f"v{number:05}"


def prepare_tags(target: Target, name: str, count: int) -> int:
    """Make a repository with an image under `count` tags, unless it is there; returns its manifest's length."""
    body = manifest(_COMMON_CONFIG, _COMMON_LAYER, "0" * len(_note()))
    last = request("HEAD", f"/v2/{name}/manifests/{tag(count - 1)}", 200, headers=ACCEPT)
    with suppress(BadAnswerError):
        one(target.host, target.port, last)
        return len(body)
    numbers = iter(range(count))
    for content in (_COMMON_CONFIG, _COMMON_LAYER):
        drive(target.host, target.port, partial(push_blob, name, content), 1, 1)

    def unit() -> Unit:
        yield put_manifest(name, tag(next(numbers)), body)
        return 0

    drive(target.host, target.port, unit, count, 8)
    return len(body)


def prepare_blob(target: Target, name: str, size: int) -> str:
    """Put a blob of that size there; nginx gets it as a file. Returns its path."""
    piece = os.urandom(min(size, _MEGABYTE))
    times = size // len(piece)
    if target.files is not None:
        with (target.files / f"blob{size}").open("wb") as file:
            file.writelines(itertools.repeat(piece, times))
        return f"/blob{size}"
    running = hashlib.sha256()
    for _ in range(times):
        running.update(piece)
    digest = f"sha256:{running.hexdigest()}"

    def unit() -> Unit:
        begun = yield post(name)
        appended = yield request("PATCH", begun.location(), 202, stream=(size, itertools.repeat(piece, times)))
        yield finish(appended, digest)
        return 0

    drive(target.host, target.port, unit, 1, 1)
    return f"/v2/{name}/blobs/{digest}"


def check_page(target: Target, path: str, expected: int) -> None:
    """Raise `BadAnswerError` unless the page lists so many tags."""
    listed = json.loads(one(target.host, target.port, request("GET", path, 200)).body)["tags"]
    if len(listed) != expected:
        raise BadAnswerError(f"{target.name}: {path} has {len(listed)} tags instead of {expected}")


def new_repositories(count: int) -> Maker:
    """Each unit makes another repository of one small image, by three requests; all have the same blobs."""
    numbers, layer = iter(range(count)), b"y" * 100
    body = manifest(_COMMON_CONFIG, layer)

    def unit() -> Unit:
        number = next(numbers)
        name = f"group{number % 100}/repository{number}"
        for content in (_COMMON_CONFIG, layer):
            path = f"/v2/{name}/blobs/uploads/?digest={digest_of(content)}"
            yield request("POST", path, 201, body=content)
        yield put_manifest(name, "latest", body)
        return 0

    return unit
