"""How many requests an operation costs in a bucket. They are money, and most of the time that an operation takes."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.images import OCI_MANIFEST, descriptor, digest_of, manifest
from tests.services import S3Server
from zot.app import create_app
from zot.config import Config
from zot.registry import manifests, repositories
from zot.registry.opening import open_stores
from zot.registry.store import Store
from zot.storage.s3 import S3

CONFIG, LAYER = b"c" * 2_000, b"l" * 18_000
LARGE = b"L" * 100_000


class Requests:
    """Counts what a driver's client sends."""

    def __init__(self, storage: S3) -> None:
        self.made: list[str] = []
        storage.bucket.client.meta.events.register("before-call.s3", self._note)

    def _note(self, **what: Any) -> None:
        self.made.append(what["model"].name)

    def of(self, operation: Callable[[], object]) -> int:
        """Return how many requests a call of the operation sends."""
        self.made.clear()
        operation()
        return len(self.made)


@pytest.fixture
def client(moto: S3Server, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlaskClient]:
    """A client of an application on an empty bucket."""
    opened: list[Store] = []

    def opening(config: Config, **more: Any) -> Any:
        stores = open_stores(config, **more)
        opened.append(stores.default)
        return stores

    monkeypatch.setattr("zot.app.open_stores", opening)
    section = {"rootDirectory": str(tmp_path), "storageDriver": moto.driver(uuid.uuid4().hex)}
    app = create_app(Config.model_validate({"storage": section}))
    app.extensions["store"] = opened[0]
    yield app.test_client()
    storage = opened[0].storage
    assert isinstance(storage, S3)
    storage.close()


@pytest.fixture
def store(client: FlaskClient) -> Store:
    """The application's store."""
    store: Store = client.application.extensions["store"]
    return store


@pytest.fixture
def requests(store: Store) -> Requests:
    """Count the requests of the store."""
    assert isinstance(store.storage, S3)
    return Requests(store.storage)


def push_image(client: FlaskClient, tag: str, layer: bytes = LAYER) -> None:
    """Push an image by the seven requests that docker makes."""
    assert client.head(f"/v2/a/blobs/{digest_of(layer)}").status_code == 404
    session = client.post("/v2/a/blobs/uploads/").headers["Location"]
    assert client.patch(session, data=layer).status_code == 202
    assert client.put(f"{session}?digest={digest_of(layer)}").status_code == 201
    session = client.post("/v2/a/blobs/uploads/").headers["Location"]
    assert client.put(f"{session}?digest={digest_of(CONFIG)}", data=CONFIG).status_code == 201
    body = manifest(CONFIG, (layer,))
    assert client.put(f"/v2/a/manifests/{tag}", data=body, content_type=OCI_MANIFEST).status_code == 201


def test_a_push_of_a_small_image(client: FlaskClient, requests: Requests) -> None:
    """An image of 20 kB costs 32 requests in a new repository, and 31 in one that is there."""
    assert requests.of(lambda: push_image(client, "v1")) == 32
    assert requests.of(lambda: push_image(client, "v2", b"m" * 18_000)) == 31


def test_pulling(client: FlaskClient, requests: Requests, store: Store) -> None:
    """A manifest by tag costs one request, or two when it is not in memory; a blob's HEAD one and its GET two."""
    push_image(client, "v1", LARGE)
    assert requests.of(lambda: manifests.get(store, "a", "v1")) == 2
    assert requests.of(lambda: client.get("/v2/a/manifests/v1")) == 1
    assert requests.of(lambda: client.head("/v2/a/manifests/v1")) == 1
    blob = f"/v2/a/blobs/{digest_of(LARGE)}"
    assert requests.of(lambda: client.head(blob)) == 1
    assert requests.of(lambda: client.get(blob)) == 2
    assert requests.of(lambda: client.get(blob, headers={"Range": "bytes=50000-"})) == 2
    assert requests.of(lambda: client.get(f"/v2/a/blobs/{digest_of(CONFIG)}")) == 1


def test_listing(requests: Requests, store: Store) -> None:
    """A page costs one request for each thousand names."""
    store.storage.write_many((f"l/{number:04}", b"") for number in range(1200))
    assert requests.of(lambda: repositories.page(store.storage.list("l"), 10)) == 1
    assert requests.of(lambda: repositories.page(store.storage.list("l"), 10_000)) == 2


def test_referrers(client: FlaskClient, requests: Requests) -> None:
    """A page costs one request for its list, two for a fallback tag that is not there, and two for each referrer."""
    push_image(client, "v1")
    subject = descriptor(manifest(CONFIG, (LAYER,)), OCI_MANIFEST)
    for number in range(3):
        body = manifest(CONFIG, (LAYER,), subject=subject, annotations={"n": str(number)})
        path = f"/v2/a/manifests/{digest_of(body)}"
        assert client.put(path, data=body, content_type=OCI_MANIFEST).status_code == 201
    listing = f"/v2/a/referrers/{subject['digest']}"
    assert requests.of(lambda: client.get(listing)) == 9
    assert len(client.get(listing).get_json()["manifests"]) == 3
