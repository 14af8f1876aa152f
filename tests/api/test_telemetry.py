"""What is counted, and that it does not grow with what clients send."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from tests.api.conftest import push_blob
from tests.images import OCI_MANIFEST
from zot.api.telemetry import OTHER, Names
from zot.app import create_app
from zot.config import Config


def samples(client: FlaskClient) -> dict[str, float]:
    """Return what the metrics say, by name and labels."""
    text = client.get("/metrics").text
    return {
        sample.name + "".join(f",{value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_pushes_and_pulls_are_counted(client: FlaskClient, image: bytes) -> None:
    """A manifest's push counts as an upload of its repository, its pull as a download, and each as a request."""
    put = {"Content-Type": OCI_MANIFEST}
    assert client.put("/v2/a/manifests/v1", data=image, headers=put).status_code == 201
    for _ in range(3):
        client.get("/v2/a/manifests/v1")
    client.head("/v2/a/manifests/v1")
    client.get("/v2/a/manifests/none")
    found = samples(client)
    assert found["zot_repo_uploads_total,a"] == 1
    assert found["zot_repo_downloads_total,a"] == 4
    assert found["zot_http_requests_total,200,GET"] == 3
    assert found["zot_http_requests_total,200,HEAD"] == 1
    assert found["zot_http_requests_total,404,GET"] == 1
    assert found["zot_http_requests_total,201,PUT"] == 1
    assert found["zot_uploads_under_way,/"] == 0
    client.post("/v2/a/blobs/uploads/")
    assert samples(client)["zot_uploads_under_way,/"] == 1


def test_what_clients_make_up_has_no_series(client: FlaskClient) -> None:
    """Methods and repositories that clients invent don't add series."""
    push_blob(client, "a", b"x")
    client.get("/v2/")
    client.open("/v2/", method="FOO")
    client.get("/v2/a/tags/list")
    client.get("/v2/none/tags/list")
    client.get("/v2/none/manifests/v1")
    before = len(samples(client))
    for number in range(20):
        client.get(f"/v2/made-up-{number}/manifests/v1")
        client.get(f"/v2/made-up-{number}/tags/list")
        client.get(f"/made-up-{number}")
        client.open("/v2/", method=f"FOO{number}")
    assert len(samples(client)) == before


def test_repositories_with_numbers_of_their_own_are_bounded(tmp_path: Path) -> None:
    """The first so many repositories have their own series, the same ones in all processes; later ones share one."""
    file = str(tmp_path / "names")
    one, two = Names(file, 3), Names(file, 3)
    assert [one.label("a"), two.label("b"), one.label("c")] == ["a", "b", "c"]
    assert [two.label("d"), one.label("d")] == [OTHER, OTHER]
    assert [two.label(name) for name in "abc"] == ["a", "b", "c"]
    alone = Names(None, 2)
    assert [alone.label(name) for name in "abca"] == ["a", "b", OTHER, "a"]


@pytest.mark.parametrize("extensions", [{}, {"metrics": {"enable": False}}])
def test_metrics_are_not_there_unless_asked_for(tmp_path: Path, extensions: dict[str, object]) -> None:
    """Without the section, or with it off, there is no such route."""
    settings = {"storage": {"rootDirectory": str(tmp_path / "root")}, "extensions": extensions}
    assert create_app(Config.model_validate(settings)).test_client().get("/metrics").status_code == 404


def test_the_path_of_the_metrics(tmp_path: Path) -> None:
    """They are where the configuration puts them."""
    settings = {
        "storage": {"rootDirectory": str(tmp_path / "root")},
        "extensions": {"metrics": {"prometheus": {"path": "/own/numbers"}}},
    }
    client = create_app(Config.model_validate(settings)).test_client()
    assert b"zot_info{" in client.get("/own/numbers").data
    assert client.get("/metrics").status_code == 404
