"""Regctl."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Registry, Run, digest_in, layers_of

pytestmark = pytest.mark.e2e

TYPES = "{{range .Descriptors}}{{.ArtifactType}} {{end}}"


@pytest.fixture
def regctl(run: Run, host: str) -> Run:
    """Run a command of regctl, which speaks plain HTTP to the registry."""

    def call(*arguments: str | Path) -> str:
        return run("regctl", "--host", f"reg={host},tls=disabled", *arguments)

    return call


def test_an_image_with_an_artifact(registry: Registry, host: str, regctl: Run, layout: Path, tmp_path: Path) -> None:
    """Regctl copies an image in, adds an artifact to it, finds it, and copies both to another repository and out."""
    (tmp_path / "note").write_text("note")
    image = f"{host}/regctl/app"
    regctl("image", "copy", f"ocidir://{layout}:v1", f"{image}:v1")
    expected = digest_in(layout, "v1")
    assert registry.digest("regctl/app", "v1") == expected
    assert regctl("image", "digest", f"{image}:v1").strip() == expected
    assert len(layers_of(registry, "regctl/app", "v1")) == 2
    regctl("artifact", "put", "--artifact-type", "text/note", "--subject", f"{image}:v1", "-f", "note")
    assert regctl("artifact", "list", "--format", TYPES, f"{image}:v1").split() == ["text/note"]
    assert "text/note" in regctl("artifact", "tree", f"{image}:v1")
    assert regctl("artifact", "get", "--subject", f"{image}:v1") == "note"
    regctl("image", "copy", "--referrers", "--digest-tags", f"{image}:v1", f"{image}-copy:v1")
    assert registry.digest("regctl/app-copy", "v1") == expected
    assert regctl("artifact", "list", "--format", TYPES, f"{image}-copy:v1").split() == ["text/note"]
    regctl("image", "copy", f"{image}-copy:v1", f"ocidir://{tmp_path}/out:v1")
    assert digest_in(tmp_path / "out", "v1") == expected
    assert "regctl/app" in regctl("repo", "ls", host).split()


def test_an_index(registry: Registry, host: str, regctl: Run, layout: Path, tmp_path: Path) -> None:
    """Regctl copies an index for two platforms in, within, and out, makes one of its own, and deletes its tag."""
    expected = digest_in(layout, "multi")
    image = f"{host}/regctl/index"
    regctl("image", "copy", f"ocidir://{layout}:multi", f"{image}:multi")
    regctl("image", "copy", f"{image}:multi", f"{image}-copy:multi")
    regctl("image", "copy", f"{image}-copy:multi", f"ocidir://{tmp_path}/out:multi")
    assert registry.digest("regctl/index", "multi") == expected
    assert registry.digest("regctl/index-copy", "multi") == expected
    assert digest_in(tmp_path / "out", "multi") == expected
    regctl("index", "create", "--ref", f"{image}:multi", f"{image}:own")
    assert regctl("image", "digest", f"{image}:own").strip() == registry.digest("regctl/index", "own")
    assert regctl("tag", "ls", image).split() == ["multi", "own"]
    regctl("tag", "rm", f"{image}:own")
    assert regctl("tag", "ls", image).split() == ["multi"]
