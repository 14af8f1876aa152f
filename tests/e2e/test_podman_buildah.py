"""Podman and buildah."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import DOCKER_LIST, Registry, Run, as_root, layers_of
from tests.images import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST

pytestmark = [pytest.mark.e2e, as_root]


@pytest.fixture
def buildah(run: Run, short: Path) -> Run:
    """Run a command of buildah, which keeps its images in a directory of the test."""
    own = ["--root", short / "r", "--runroot", short / "rr", "--storage-driver=vfs"]

    def call(*arguments: str | Path) -> str:
        return run("buildah", *own, *arguments)

    return call


FORMATS = pytest.mark.parametrize(
    ("kind", "image_type", "list_type"), [("oci", OCI_MANIFEST, OCI_INDEX), ("v2s2", DOCKER_MANIFEST, DOCKER_LIST)]
)


@FORMATS
def test_podman(
    registry: Registry, host: str, podman: Run, tmp_path: Path, kind: str, image_type: str, list_type: str
) -> None:
    """Podman pushes an image of two layers in either format, and an index of two, and pulls with the same digests."""
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    (tmp_path / "Containerfile").write_text("FROM scratch\nCOPY one /one\nCOPY two /two\n")
    name = f"podman/{kind}"
    image, insecure, written = f"{host}/{name}", "--tls-verify=false", tmp_path / "digest"
    push = [insecure, "--format", kind, "--digestfile", written]
    podman("manifest", "create", "both")
    for architecture in ("amd64", "arm64"):
        own = ["--arch", architecture, "--label", f"architecture={architecture}"]
        podman("build", "-q", "--layers", "--isolation", "chroot", *own, "-t", f"localhost/{architecture}:1", ".")
        podman("push", *push, f"localhost/{architecture}:1", f"docker://{image}:{architecture}")
        assert written.read_text() == registry.digest(name, architecture)
        assert registry.document(f"{name}/manifests/{architecture}")["mediaType"] == image_type
        assert len(layers_of(registry, name, architecture)) == 2
        podman("manifest", "add", insecure, "--arch", architecture, "both", f"docker://{image}:{architecture}")
    podman("manifest", "push", "--all", *push, "both", f"docker://{image}:multi")
    both = registry.digest(name, "multi")
    assert written.read_text() == both
    found = registry.document(f"{name}/manifests/multi")
    assert found["mediaType"] == list_type
    children = [entry["digest"] for entry in found["manifests"]]
    assert children == [registry.digest(name, "amd64"), registry.digest(name, "arm64")]

    podman("manifest", "rm", "both")
    podman("rmi", "-af")
    for reference, digest in ((f"{image}:amd64", registry.digest(name, "amd64")), (f"{image}@{both}", both)):
        podman("pull", insecure, reference)
        assert digest in podman("inspect", "--format", "{{.RepoDigests}}", reference)


def test_buildah(registry: Registry, host: str, buildah: Run, layers: list[Path], tmp_path: Path) -> None:
    """Buildah makes images of two layers for two platforms, pushes them as one index, and pulls one by its digest."""
    buildah("manifest", "create", "both")
    for architecture in ("amd64", "arm64"):
        base = "scratch"
        for number, layer in enumerate(layers):
            container = buildah("from", "--arch", architecture, "--pull-never", base).strip()
            buildah("add", container, layer, "/")
            base = f"localhost/{architecture}:{number}"
            buildah("commit", container, base)
        buildah("manifest", "add", "--arch", architecture, "both", base)
    image = f"docker://{host}/buildah/app"
    written = tmp_path / "digest"
    index = ["--all", "--format", "oci", "--digestfile", written]
    buildah("manifest", "push", "--tls-verify=false", *index, "both", f"{image}:multi")
    expected = registry.digest("buildah/app", "multi")
    assert written.read_text() == expected
    found = registry.document("buildah/app/manifests/multi")
    assert found["mediaType"] == OCI_INDEX
    assert [entry["platform"]["architecture"] for entry in found["manifests"]] == ["amd64", "arm64"]
    assert {len(layers_of(registry, "buildah/app", entry["digest"])) for entry in found["manifests"]} == {2}
    buildah("manifest", "rm", "both")
    buildah("rm", "-a")
    buildah("rmi", "-af")
    buildah("pull", "--tls-verify=false", f"{image}@{expected}")
    assert expected in buildah("images", "--digests")
