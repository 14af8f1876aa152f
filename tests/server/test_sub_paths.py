"""A server with stores of their own for some repositories."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images import digest_of
from tests.server.test_serving import push_image
from tests.servers import Server, leaders, running_server, wait_until
from tests.services import moto


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server with two sub-paths."""
    sub_paths = {
        "/a": {"rootDirectory": str(tmp_path / "a"), "dedupe": True},
        "/b": {"rootDirectory": str(tmp_path / "b")},
    }
    with running_server(tmp_path, "--workers", "2", settings={"storage": {"subPaths": sub_paths}}) as running:
        yield running


def test_one_catalogue_and_a_leader_each(server: Server, tmp_path: Path) -> None:
    """Repositories go where their first component leads, are listed together, and each store's layouts follow."""
    names = ["a", "a/x", "a-b", "b/x/y", "c/x"]
    for name in names:
        push_image(server, name, "v1")
    listed, path = [], "/v2/_catalog?n=2"
    while path:
        _, headers, body = server.request("GET", path)
        listed += json.loads(body)["repositories"]
        path = headers["link"][1:].partition(">")[0] if "link" in headers else ""
    assert listed == sorted(names)
    wait_until(lambda: len(leaders(server)) == 3, "each store has a leader")
    for root, name in (("a", "a/x"), ("b", "b/x/y"), ("root", "a"), ("root", "c/x")):
        index = tmp_path / root / name / "index.json"
        wait_until(lambda index=index: index.exists() and b"v1" in index.read_bytes(), f"{index} lists the tag")  # type: ignore[misc]


def test_mounts_stay_in_their_store(server: Server) -> None:
    """A mount from another store begins an upload instead; one within a store is a mount."""
    digest = digest_of(b"layer")
    push_image(server, "a/x", "v1")
    for target, status in (("a/y", 201), ("c/y", 202), ("a", 202), ("b/y", 202)):
        assert server.request("POST", f"/v2/{target}/blobs/uploads/?mount={digest}&from=a/x")[0] == status


def test_readiness_is_that_of_every_store(server: Server, tmp_path: Path) -> None:
    """When one store's root is unusable the server is not ready, and still lives."""
    assert server.request("GET", "/readyz")[0] == 200
    private = tmp_path / "b/_zot-blobs"
    shutil.move(private, tmp_path / "aside")
    private.symlink_to(private)
    assert server.request("GET", "/readyz")[0] == 503
    assert server.request("GET", "/livez")[0] == 200
    private.unlink()
    shutil.move(tmp_path / "aside", private)
    assert server.request("GET", "/readyz")[0] == 200


def test_a_bucket_below_a_directory(tmp_path: Path) -> None:
    """One server keeps some repositories in a bucket and the rest in a directory, and lists them together."""
    imitation = tmp_path / "moto"
    imitation.mkdir()
    with moto(imitation) as bucket:
        below = {
            "/s": {"rootDirectory": str(tmp_path / "unused"), "dedupe": True, "storageDriver": bucket.driver("/zot")}
        }
        with running_server(tmp_path, "--workers", "2", settings={"storage": {"subPaths": below}}) as server:
            for name in ("a", "s/x", "t"):
                body = push_image(server, name, "v1")
                assert server.request("GET", f"/v2/{name}/manifests/v1")[2] == body
            assert json.loads(server.request("GET", "/v2/_catalog")[2]) == {"repositories": ["a", "s/x", "t"]}
            assert server.request("POST", f"/v2/a/blobs/uploads/?mount={digest_of(b'layer')}&from=s/x")[0] == 202
            assert server.request("GET", "/readyz")[0] == 200
            assert (tmp_path / "root/t").is_dir()
            assert not (tmp_path / "root/s").exists()
