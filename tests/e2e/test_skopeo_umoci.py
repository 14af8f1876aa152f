"""Skopeo and umoci."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import Registry, Run, digest_in, layers_of
from tests.servers import running_server

pytestmark = pytest.mark.e2e

INSECURE = ["--src-tls-verify=false", "--dest-tls-verify=false"]


@pytest.mark.parametrize("kind", ["oci", "v2s2"])
def test_skopeo(registry: Registry, host: str, run: Run, layout: Path, tmp_path: Path, kind: str) -> None:
    """Skopeo pushes an image in either format, copies it, lists, inspects, pulls and deletes it."""
    name = f"skopeo/{kind}"
    image = f"docker://{host}/{name}"
    run("skopeo", "copy", *INSECURE, "--format", kind, f"oci:{layout}:v1", f"{image}:v1")
    expected = registry.digest(name, "v1")
    if kind == "oci":
        assert expected == digest_in(layout, "v1")
    run("skopeo", "copy", *INSECURE, f"{image}:v1", f"{image}-copy:v2")
    assert registry.digest(f"{name}-copy", "v2") == expected
    assert json.loads(run("skopeo", "list-tags", "--tls-verify=false", image))["Tags"] == ["v1"]
    inspected = json.loads(run("skopeo", "inspect", "--tls-verify=false", f"{image}:v1"))
    assert (inspected["Digest"], len(inspected["Layers"])) == (expected, 2)
    run("skopeo", "copy", *INSECURE, f"{image}:v1", f"dir:{tmp_path}/out")
    assert run("skopeo", "manifest-digest", tmp_path / "out/manifest.json").strip() == expected
    run("skopeo", "delete", "--tls-verify=false", f"{image}-copy:v2")
    assert registry.get(f"{name}-copy/manifests/v2")[0] == 404


def test_skopeo_copies_an_index_whole(registry: Registry, host: str, run: Run, layout: Path, tmp_path: Path) -> None:
    """Skopeo pushes an index for two platforms with all its images, copies it between repositories, and pulls it."""
    expected = digest_in(layout, "multi")
    image = f"docker://{host}/skopeo/index"
    run("skopeo", "copy", "--all", *INSECURE, f"oci:{layout}:multi", f"{image}:multi")
    run("skopeo", "copy", "--all", *INSECURE, f"{image}:multi", f"{image}-copy:multi")
    run("skopeo", "copy", "--all", *INSECURE, f"{image}-copy:multi", f"oci:{tmp_path}/out:multi")
    assert registry.digest("skopeo/index", "multi") == expected
    assert registry.digest("skopeo/index-copy", "multi") == expected
    assert digest_in(tmp_path / "out", "multi") == expected


def test_umoci(registry: Registry, host: str, run: Run, layers: list[Path], tmp_path: Path) -> None:
    """Umoci makes an image of two layers, which skopeo pushes and pulls, and unpacks what came back."""
    made = tmp_path / "made"
    run("umoci", "init", "--layout", made)
    run("umoci", "new", "--image", f"{made}:v1")
    for layer in layers:
        run("umoci", "raw", "add-layer", "--image", f"{made}:v1", layer)
    image = f"docker://{host}/umoci/app:v1"
    run("skopeo", "copy", *INSECURE, f"oci:{made}:v1", image)
    assert registry.digest("umoci/app", "v1") == digest_in(made, "v1")
    assert len(layers_of(registry, "umoci/app", "v1")) == 2
    run("skopeo", "copy", *INSECURE, image, f"oci:{tmp_path}/out:v1")
    assert digest_in(tmp_path / "out", "v1") == digest_in(made, "v1")
    run("umoci", "unpack", "--rootless", "--image", f"{tmp_path}/out:v1", tmp_path / "bundle")
    assert {path.name for path in (tmp_path / "bundle/rootfs").iterdir()} == {"file0", "file1"}


def test_a_repository_is_a_layout(run: Run, layout: Path, tmp_path: Path) -> None:
    """When the server has stopped, skopeo copies every tag whole out of each repository on disk."""
    (tmp_path / "server").mkdir()
    with running_server(tmp_path / "server") as server:
        registry = Registry(server.url.removeprefix("http://"))
        image = f"docker://{registry.host}/a/b"
        run("skopeo", "copy", *INSECURE, f"oci:{layout}:v1", f"{image}:v1")
        run("skopeo", "copy", *INSECURE, f"{image}:v1", f"{image}:v2")
        run("skopeo", "copy", *INSECURE, "--all", f"oci:{layout}:multi", f"{image}:multi")
        run("skopeo", "copy", *INSECURE, f"oci:{layout}:v1", f"docker://{registry.host}/a:below")
        pushed = registry.pushed()
    assert len(pushed) == 4
    for (name, tag), digest in pushed.items():
        out = tmp_path / f"out-{tag}"
        run("skopeo", "copy", "--all", f"oci:{server.root}/{name}:{tag}", f"oci:{out}:{tag}")
        assert digest_in(out, tag) == digest
