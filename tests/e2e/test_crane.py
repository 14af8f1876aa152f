"""Crane."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Registry, Run, digest_in, layers_of
from tests.images import DOCKER_MANIFEST, OCI_MANIFEST

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    ("base", "media_type"),
    [([], DOCKER_MANIFEST), (["--oci-empty-base"], OCI_MANIFEST)],
    ids=["docker", "oci"],
)
def test_crane(
    registry: Registry, host: str, run: Run, layers: list[Path], tmp_path: Path, base: list[str], media_type: str
) -> None:
    """Crane appends layers, validates, copies, makes an index of two platforms, pulls, lists and deletes."""
    name = f"crane/{'oci' if base else 'docker'}"
    image = f"{host}/{name}"
    files = [word for layer in layers for word in ("-f", str(layer))]
    run("crane", "append", *base, *files, "-t", f"{image}:v1")
    assert registry.document(f"{name}/manifests/v1")["mediaType"] == media_type
    assert len(layers_of(registry, name, "v1")) == 2
    run("crane", "validate", "--remote", f"{image}:v1")
    assert run("crane", "digest", f"{image}:v1").strip() == registry.digest(name, "v1")
    run("crane", "copy", f"{image}:v1", f"{image}-copy:v2")
    assert registry.digest(f"{name}-copy", "v2") == registry.digest(name, "v1")

    run("crane", "mutate", "--set-platform", "linux/arm64", "-t", f"{image}:arm64", f"{image}:v1")
    run("crane", "index", "append", "-m", f"{image}:v1", "-m", f"{image}:arm64", "-t", f"{image}:multi")
    run("crane", "validate", "--remote", f"{image}:multi")
    expected = registry.digest(name, "multi")
    assert len(registry.document(f"{name}/manifests/multi")["manifests"]) == 2
    run("crane", "copy", f"{image}:multi", f"{image}-copy:multi")
    assert registry.digest(f"{name}-copy", "multi") == expected
    run("crane", "pull", "--format", "oci", "--annotate-ref", f"{image}:multi", tmp_path / "pulled")
    assert digest_in(tmp_path / "pulled", f"{image}:multi") == expected

    run("crane", "tag", f"{image}:v1", "v3")
    assert run("crane", "ls", image).split() == ["arm64", "multi", "v1", "v3"]
    assert name in run("crane", "catalog", host).split()
    run("crane", "delete", f"{image}@{expected}")
    assert run("crane", "ls", image).split() == ["arm64", "v1", "v3"]
