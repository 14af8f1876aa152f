"""containerd, by its client ctr."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import Registry, Run, as_root, digest_in

pytestmark = [pytest.mark.e2e, as_root]


@pytest.mark.parametrize("tag", ["v1", "multi"])
def test_containerd(registry: Registry, host: str, ctr: Run, layout: Path, tmp_path: Path, tag: str) -> None:
    """Containerd imports an image or an index for two platforms, pushes it, forgets it, and pulls the same digest."""
    expected = digest_in(layout, tag)
    archive = tmp_path / "image.tar"
    subprocess.run(["tar", "-C", layout, "-cf", archive, "."], check=True)
    image = f"{host}/ctr/app"
    ctr("images", "import", "--all-platforms", "--no-unpack", "--base-name", image, archive)
    ctr("images", "push", "--plain-http", f"{image}:{tag}")
    assert registry.digest("ctr/app", tag) == expected
    ctr("images", "rm", f"{image}:v1", f"{image}:multi")
    which = ["--all-platforms"] if tag == "multi" else ["--platform", "linux/amd64"]
    ctr("images", "pull", "--plain-http", "--snapshotter", "native", *which, f"{image}:{tag}")
    assert expected in ctr("images", "ls")
    ctr("images", "tag", f"{image}:{tag}", f"{image}-copy:{tag}")
    ctr("images", "push", "--plain-http", f"{image}-copy:{tag}")
    assert registry.digest("ctr/app-copy", tag) == expected
