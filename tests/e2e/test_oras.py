"""Oras: artifacts and their referrers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import Registry, Run, digest_in, layers_of

pytestmark = pytest.mark.e2e

BOTH_PLAIN = ["--from-plain-http", "--to-plain-http"]
API, TAG = "v1.1-referrers-api", "v1.1-referrers-tag"


def referrers(registry: Registry, name: str, digest: str) -> list[str]:
    """Return the artifact types of what refers to a manifest, from the route of referrers."""
    return [entry["artifactType"] for entry in registry.document(f"{name}/referrers/{digest}")["manifests"]]


@pytest.mark.parametrize("mode", [API, TAG])
def test_an_artifact(registry: Registry, host: str, run: Run, tmp_path: Path, mode: str) -> None:
    """Oras pushes an artifact of two files, attaches another to it, finds it, copies both, and pulls the files."""
    for name in ("one.txt", "two.txt", "sbom.json"):
        (tmp_path / name).write_text(name)
    name = f"oras/{mode}"
    artifact, copy = f"{host}/{name}:v1", f"{host}/{name}-copy:v1"
    plain = ["--plain-http", "--distribution-spec", mode]
    run("oras", "push", "--plain-http", "--artifact-type", "text/thing", artifact, "one.txt", "two.txt")
    subject = registry.digest(name, "v1")
    assert run("oras", "resolve", "--plain-http", artifact).strip() == subject
    assert len(layers_of(registry, name, "v1")) == 2
    run("oras", "attach", *plain, "--artifact-type", "text/sbom", artifact, "sbom.json")
    found = json.loads(run("oras", "discover", *plain, "--format", "json", artifact))["referrers"]
    assert [entry["artifactType"] for entry in found] == ["text/sbom"]
    assert registry.digest(name, found[0]["digest"]) == found[0]["digest"]
    # What a client listed under the fallback tag is in the route's answer too.
    assert referrers(registry, name, subject) == ["text/sbom"]
    listed = run("oras", "repo", "tags", "--plain-http", f"{host}/{name}").split()
    assert listed == (["v1"] if mode == API else [subject.replace(":", "-"), "v1"])

    modes = ["--from-distribution-spec", mode, "--to-distribution-spec", mode]
    run("oras", "cp", "-r", *BOTH_PLAIN, *modes, artifact, copy)
    assert registry.digest(f"{name}-copy", "v1") == subject
    assert referrers(registry, f"{name}-copy", subject) == ["text/sbom"]
    assert registry.digest(f"{name}-copy", found[0]["digest"]) == found[0]["digest"]
    run("oras", "pull", "--plain-http", "-o", tmp_path / "out", artifact)
    assert {path.read_text() for path in (tmp_path / "out").iterdir()} == {"one.txt", "two.txt"}


@pytest.mark.parametrize("mode", [API, TAG])
def test_a_referrer_is_deleted(registry: Registry, host: str, run: Run, tmp_path: Path, mode: str) -> None:
    """Oras deletes what it attached, which then refers to the artifact no more."""
    (tmp_path / "file").write_text("file")
    name = f"oras/delete/{mode}"
    plain = ["--plain-http", "--distribution-spec", mode]
    run("oras", "push", "--plain-http", f"{host}/{name}:v1", "file")
    run("oras", "attach", *plain, "--artifact-type", "text/sbom", f"{host}/{name}:v1", "file")
    found = json.loads(run("oras", "discover", *plain, "--format", "json", f"{host}/{name}:v1"))["referrers"]
    run("oras", "manifest", "delete", "-f", *plain, f"{host}/{name}@{found[0]['digest']}")
    assert referrers(registry, name, registry.digest(name, "v1")) == []


def test_an_image_with_a_referrer(registry: Registry, host: str, run: Run, layout: Path, tmp_path: Path) -> None:
    """Oras copies an index for two platforms in from a layout, attaches to it, and copies all of it out again."""
    (tmp_path / "note").write_text("note")
    image = f"{host}/oras/index:multi"
    run("oras", "cp", "-r", "--from-oci-layout", "--to-plain-http", f"{layout}:multi", image)
    expected = digest_in(layout, "multi")
    assert registry.digest("oras/index", "multi") == expected
    run("oras", "attach", "--plain-http", "--artifact-type", "text/note", image, "note")
    run("oras", "cp", "-r", "--from-plain-http", "--to-oci-layout", image, f"{tmp_path}/out:multi")
    assert digest_in(tmp_path / "out", "multi") == expected
    found = json.loads(run("oras", "discover", "--oci-layout", "--format", "json", f"{tmp_path}/out:multi"))
    assert [entry["artifactType"] for entry in found["referrers"]] == ["text/note"]


def test_an_index_of_artifacts(registry: Registry, host: str, run: Run, tmp_path: Path) -> None:
    """Oras makes an index of two artifacts in the registry and pulls it whole."""
    for part in ("one", "two"):
        (tmp_path / part).write_text(part)
        run("oras", "push", "--plain-http", f"{host}/oras/parts:{part}", part)
    run("oras", "manifest", "index", "create", "--plain-http", f"{host}/oras/parts:both", "one", "two")
    run("oras", "cp", "-r", "--from-plain-http", "--to-oci-layout", f"{host}/oras/parts:both", f"{tmp_path}/out:both")
    assert digest_in(tmp_path / "out", "both") == registry.digest("oras/parts", "both")
