"""The docker engine: a daemon of our own, with whatever docker is on the PATH."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import DOCKER_LIST, Registry, Run, as_root, layers_of

pytestmark = [pytest.mark.e2e, as_root]


def test_an_image(registry: Registry, host: str, docker: Run, layers: list[Path], tmp_path: Path) -> None:
    """Docker builds an image of three layers, pushes it, forgets it, and pulls it with the same digest."""
    image = f"{host}/docker/app"
    docker("import", str(layers[0]), "base:1")
    (tmp_path / "file").write_text("more")
    (tmp_path / "Dockerfile").write_text("FROM base:1\nCOPY file /one\nCOPY Dockerfile /two\n")
    docker("build", "-q", "-t", f"{image}:v1", ".")
    pushed = docker("push", f"{image}:v1")
    expected = registry.digest("docker/app", "v1")
    assert expected in pushed
    assert len(layers_of(registry, "docker/app", "v1")) == 3
    docker("tag", f"{image}:v1", f"{host}/docker/mounted:v1")
    assert "Mounted from docker/app" in docker("push", f"{host}/docker/mounted:v1")
    assert registry.digest("docker/mounted", "v1") == expected
    docker("rmi", "-f", f"{image}:v1", f"{host}/docker/mounted:v1", "base:1")
    assert expected in docker("pull", f"{image}:v1")
    assert expected in docker("inspect", "--format", "{{.RepoDigests}}", f"{image}:v1")


def test_a_list_for_two_platforms(registry: Registry, host: str, docker: Run, layers: list[Path]) -> None:
    """Docker pushes a manifest list of two platforms' images, and pulls either platform's by it."""
    image = f"{host}/docker/list"
    for number, architecture in enumerate(("amd64", "arm64")):
        docker("import", str(layers[number]), f"{image}:{architecture}")
        docker("push", f"{image}:{architecture}")
    docker("manifest", "create", "--insecure", f"{image}:multi", f"{image}:amd64", f"{image}:arm64")
    docker("manifest", "annotate", "--arch", "arm64", f"{image}:multi", f"{image}:arm64")
    pushed = docker("manifest", "push", "--insecure", f"{image}:multi")
    expected = registry.digest("docker/list", "multi")
    assert expected in pushed
    found = registry.document("docker/list/manifests/multi")
    assert found["mediaType"] == DOCKER_LIST
    assert [entry["platform"]["architecture"] for entry in found["manifests"]] == ["amd64", "arm64"]
    docker("rmi", "-f", f"{image}:amd64", f"{image}:arm64")
    for entry in found["manifests"]:
        # An image's id is the digest of its configuration.
        wanted = registry.document(f"docker/list/manifests/{entry['digest']}")["config"]["digest"]
        platform = f"linux/{entry['platform']['architecture']}"
        assert expected in docker("pull", "--platform", platform, f"{image}:multi")
        assert docker("inspect", "--format", "{{.Id}}", f"{image}:multi").strip() == wanted
        docker("rmi", "-f", f"{image}:multi")
