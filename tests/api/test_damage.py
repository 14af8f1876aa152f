"""Records that were damaged, bodies that could be read in two ways, and stores that go away."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.api.conftest import push_blob
from tests.images import OCI_INDEX, OCI_MANIFEST, descriptor, digest_of, manifest
from zot.config import default_config
from zot.errors import StartupError
from zot.registry import paths
from zot.registry.opening import open_stores


def put(client: FlaskClient, path: str, body: bytes, media_type: str = OCI_MANIFEST) -> int:
    """Push a manifest; returns the status."""
    return client.put(f"/v2/{path}", data=body, content_type=media_type).status_code


@pytest.fixture
def damaged(client: FlaskClient, image: bytes, tmp_path: Path) -> Path:
    """The record of the tag `v1` of `a`, which a power cut left without its bytes."""
    assert put(client, "a/manifests/v1", image) == 201
    record = tmp_path / "root" / paths.tag("a", "v1")
    record.write_bytes(b"")
    return record


def test_a_damaged_tag_is_an_error_document(client: FlaskClient, damaged: Path) -> None:
    """A record that can't be read is said to be damaged; the other tags and the list go on."""
    answer = client.get("/v2/a/manifests/v1")
    assert answer.status_code == 503
    assert "damaged" in answer.get_json()["errors"][0]["detail"]["reason"]
    assert client.get("/v2/a/tags/list").get_json()["tags"] == ["v1"]


def test_a_damaged_tag_is_mended_by_a_push(client: FlaskClient, damaged: Path, image: bytes) -> None:
    """Pushing the tag again makes it whole."""
    assert put(client, "a/manifests/v1", image) == 201
    assert client.get("/v2/a/manifests/v1").data == image


def test_a_damaged_tag_can_be_deleted(client: FlaskClient, damaged: Path, image: bytes) -> None:
    """Deleting the tag takes the record away, and the manifest can be deleted after it."""
    assert client.delete("/v2/a/manifests/v1").status_code == 202
    assert client.get("/v2/a/manifests/v1").status_code == 404
    assert client.delete(f"/v2/a/manifests/{digest_of(image)}").status_code == 202


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, OCI_INDEX])
def test_what_is_image_and_index_at_once_is_refused(client: FlaskClient, image: bytes, media_type: str) -> None:
    """Also with an empty field: to one client it would be the one, to the next the other."""
    both = json.loads(manifest()) | {"layers": None, "manifests": []}
    del both["mediaType"]
    assert put(client, "a/manifests/v1", json.dumps(both).encode(), media_type) == 400


def test_odd_entries_of_a_fallback_list_are_listed_plainly(client: FlaskClient, image: bytes) -> None:
    """What clients write under the fallback tag is shown only as far as it is what a descriptor may have."""
    subject = digest_of(b"subject")
    entries = [
        descriptor(image, OCI_MANIFEST, artifactType=["x"], annotations={"a": 1}, x=1e999),
        descriptor(b"other", OCI_MANIFEST, artifactType="text/x", annotations={"a": "b"}),
    ]
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).replace("Infinity", "1e999")
    assert put(client, f"a/manifests/{subject.replace(':', '-')}", body.encode(), OCI_INDEX) == 201
    listed = client.get(f"/v2/a/referrers/{subject}")
    assert b"Infinity" not in listed.data
    assert {one["digest"] for one in listed.get_json()["manifests"]} == {one["digest"] for one in entries}
    filtered = client.get(f"/v2/a/referrers/{subject}?artifactType=text/x").get_json()["manifests"]
    assert filtered == [entries[1]]


def test_chunks_of_another_length_than_they_say(client: FlaskClient) -> None:
    """A chunked body that does not fit its Content-Range is refused; the session says how far it is, and goes on."""
    start = client.post("/v2/a/blobs/uploads/").headers["Location"]
    chunked = {"Transfer-Encoding": "chunked", "Content-Range": "0-99"}
    answer = client.patch(start, data=b"short", headers=chunked)
    assert answer.status_code == 400
    assert answer.get_json()["errors"][0]["code"] == "SIZE_INVALID"
    assert client.get(start).headers["Range"] == "0-4"
    assert client.put(f"{start}?digest={digest_of(b'short')}").status_code == 201


def test_encoded_bodies_are_not_decoded(client: FlaskClient) -> None:
    """A transfer coding other than chunked is 501, instead of bytes that are not what was meant."""
    start = client.post("/v2/a/blobs/uploads/").headers["Location"]
    answer = client.patch(start, data=b"x", headers={"Transfer-Encoding": "gzip, chunked"})
    assert answer.status_code == 501


def test_empty_elements_of_a_range_are_passed_over(client: FlaskClient) -> None:
    """`bytes=0-1,` is one range (RFC 9110, section 5.6.1)."""
    digest = push_blob(client, "a", b"0123")
    answer = client.get(f"/v2/a/blobs/{digest}", headers={"Range": "bytes=0-1,"})
    assert (answer.status_code, answer.data) == (206, b"01")


def test_a_store_that_is_gone_is_not_ready(client: FlaskClient, tmp_path: Path) -> None:
    """When the root is not there any more, as after an unmount, the server says so and takes nothing."""
    assert client.get("/readyz").status_code == 200
    shutil.rmtree(tmp_path / "root" / paths.PRIVATE)
    assert client.get("/readyz").status_code == 503
    answer = client.put("/v2/a/manifests/v1", data=manifest(), content_type=OCI_MANIFEST)
    assert 400 <= answer.status_code < 600
    assert answer.status_code != 500
    assert client.get("/livez").status_code == 200


def test_a_store_of_a_later_version_is_refused(app: Flask, tmp_path: Path) -> None:
    """A version that can't know what it finds does not touch it."""
    (tmp_path / "root" / paths.FORMAT).write_text("2\n")
    with pytest.raises(StartupError, match="written by a later version"):
        open_stores(default_config(str(tmp_path / "root")))
