"""First touch of a repository that another program wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.images import OCI_MANIFEST, descriptor, digest_of, manifest
from tests.layouts import LayoutWriter

LAYER = b"layer"


@pytest.fixture
def body(tmp_path: Path) -> bytes:
    """The image `v1` of the layout `a/b`, which has one referrer."""
    layout = LayoutWriter(tmp_path / "root/a/b")
    made = layout.image(LAYER, "v1")
    layout.image(b"signature", "signed", subject=descriptor(made, OCI_MANIFEST))
    layout.write()
    return made


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("get", "manifests/v1", 200),
        ("head", "manifests/{image}", 200),
        ("get", "tags/list", 200),
        ("get", "blobs/{layer}", 200),
        ("head", "blobs/{layer}", 200),
        ("get", "referrers/{image}", 200),
        ("get", "manifests/none", 404),
        ("delete", "manifests/v1", 202),
        ("delete", "blobs/{layer}", 405),
    ],
)
def test_first_touch(client: FlaskClient, body: bytes, method: str, path: str, status: int) -> None:
    """Whatever is asked first of a layout that nobody has taken over is answered as if it had been."""
    where = "/v2/a/b/" + path.format(image=digest_of(body), layer=digest_of(LAYER))
    answer = getattr(client, method)(where)
    assert answer.status_code == status
    if "referrers" in path:
        assert len(answer.get_json()["manifests"]) == 1
    if path == "manifests/v1" and method == "get":
        assert answer.data == body


def test_first_touch_by_a_push(client: FlaskClient, body: bytes) -> None:
    """A push into a layout makes it a repository with what was there and what is pushed."""
    other = manifest(layers=(LAYER,), annotations={"a": "b"})
    answer = client.put("/v2/a/b/manifests/v2", data=other, content_type=OCI_MANIFEST)
    assert answer.status_code == 201
    assert client.get("/v2/a/b/tags/list").get_json()["tags"] == ["signed", "v1", "v2"]
    assert client.get("/v2/_catalog").get_json() == {"repositories": ["a/b"]}


def test_first_touch_by_a_mount(client: FlaskClient, body: bytes) -> None:
    """A manifest of a layout is no blob that can be mounted out of it; its layer is."""

    def mount(content: bytes) -> int:
        return client.post(f"/v2/c/blobs/uploads/?mount={digest_of(content)}&from=a/b").status_code

    assert mount(body) == 202
    assert mount(LAYER) == 201


def test_what_is_not_there_is_unknown(client: FlaskClient, body: bytes) -> None:
    """A layout makes no other repository: neither the one above it nor one beside it."""
    for name in ("a", "a/c", "a/b/c"):
        answer = client.get(f"/v2/{name}/manifests/v1")
        assert answer.status_code == 404
        assert answer.get_json()["errors"][0]["code"] == "NAME_UNKNOWN"
        assert client.get(f"/v2/{name}/referrers/{digest_of(body)}").get_json()["manifests"] == []
