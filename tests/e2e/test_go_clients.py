"""crane, oras, regctl and helm: images, indexes, and artifacts with referrers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.e2e.conftest import Run, digest
from tests.servers import Server

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("base", [[], ["--oci-empty-base"]], ids=["docker", "oci"])
def test_crane(registry: Server, host: str, run: Run, layers: list[Path], tmp_path: Path, base: list[str]) -> None:
    """Crane appends layers, validates, copies, makes an index, pulls, lists and deletes; digests stay what they are."""
    name = f"crane/{'oci' if base else 'docker'}"
    image = f"{host}/{name}"
    files = [word for layer in layers for word in ("-f", str(layer))]
    run("crane", "append", *base, *files, "-t", f"{image}:v1")
    run("crane", "validate", "--remote", f"{image}:v1")
    assert run("crane", "digest", f"{image}:v1").strip() == digest(registry, f"{name}/manifests/v1")
    run("crane", "copy", f"{image}:v1", f"{image}-copy:v2")
    assert digest(registry, f"{name}-copy/manifests/v2") == digest(registry, f"{name}/manifests/v1")
    run("crane", "index", "append", "-m", f"{image}:v1", "-t", f"{image}:multi")
    run("crane", "validate", "--remote", f"{image}:multi")
    run("crane", "tag", f"{image}:v1", "v3")
    assert run("crane", "ls", image).split() == ["multi", "v1", "v3"]
    assert name in run("crane", "catalog", host).split()
    run("crane", "pull", "--format", "oci", f"{image}:multi", tmp_path / "pulled")
    index = json.loads((tmp_path / "pulled/index.json").read_text())
    assert index["manifests"][0]["digest"] == digest(registry, f"{name}/manifests/multi")
    run("crane", "delete", f"{image}@{digest(registry, f'{name}/manifests/multi')}")
    assert run("crane", "ls", image).split() == ["v1", "v3"]


@pytest.mark.parametrize("mode", ["v1.1-referrers-api", "v1.1-referrers-tag"])
def test_oras(registry: Server, host: str, run: Run, tmp_path: Path, mode: str) -> None:
    """Oras pushes an artifact, attaches another, finds it by API and by tag, copies both, and pulls what it pushed."""
    (tmp_path / "file.txt").write_text("content")
    (tmp_path / "sbom.json").write_text("{}")
    name = f"oras/{mode}"
    plain = ["--plain-http", "--distribution-spec", mode]
    run("oras", "push", "--plain-http", "--artifact-type", "text/thing", f"{host}/{name}:v1", "file.txt")
    run("oras", "attach", *plain, "--artifact-type", "text/sbom", f"{host}/{name}:v1", "sbom.json")
    subject = digest(registry, f"{name}/manifests/v1")
    found = json.loads(run("oras", "discover", *plain, "--format", "json", f"{host}/{name}:v1"))
    assert [entry["artifactType"] for entry in found["referrers"]] == ["text/sbom"]
    # What a client listed under the fallback tag is in the API's answer too.
    listing = json.loads(registry.request("GET", f"/v2/{name}/referrers/{subject}")[2])
    assert [entry["artifactType"] for entry in listing["manifests"]] == ["text/sbom"]
    flags = ["--from-plain-http", "--to-plain-http"]
    run("oras", "cp", "-r", *flags, f"{host}/{name}:v1", f"{host}/{name}-copy:v1")
    assert digest(registry, f"{name}-copy/manifests/v1") == subject
    assert len(json.loads(registry.request("GET", f"/v2/{name}-copy/referrers/{subject}")[2])["manifests"]) == 1
    run("oras", "pull", "--plain-http", "-o", tmp_path / "out", f"{host}/{name}:v1")
    assert (tmp_path / "out/file.txt").read_text() == "content"
    assert "v1" in run("oras", "repo", "tags", "--plain-http", f"{host}/{name}").split()
    run("oras", "manifest", "delete", "-f", "--plain-http", f"{host}/{name}-copy:v1")


def test_oras_index(registry: Server, host: str, run: Run, tmp_path: Path) -> None:
    """Oras makes an index of two artifacts and pulls it whole."""
    for part in ("one", "two"):
        (tmp_path / part).write_text(part)
        run("oras", "push", "--plain-http", f"{host}/oras/index:{part}", part)
    run("oras", "manifest", "index", "create", "--plain-http", f"{host}/oras/index:both", "one", "two")
    run("oras", "cp", "-r", "--from-plain-http", "--to-oci-layout", f"{host}/oras/index:both", f"{tmp_path}/out:both")
    index = json.loads((tmp_path / "out/index.json").read_text())
    assert digest(registry, "oras/index/manifests/both") in [entry["digest"] for entry in index["manifests"]]


def test_regctl(registry: Server, host: str, run: Run, layout: Path, tmp_path: Path) -> None:
    """Regctl copies an image in, adds an artifact to it, makes an index, and copies all of it with its referrers."""

    def regctl(*arguments: str) -> str:
        return run("regctl", "--host", f"reg={host},tls=disabled", *arguments)

    (tmp_path / "note").write_text("note")
    image = f"{host}/regctl/app"
    regctl("image", "copy", f"ocidir://{layout}:v1", f"{image}:v1")
    regctl("artifact", "put", "--artifact-type", "text/note", "--subject", f"{image}:v1", "-f", "note")
    listed = regctl("artifact", "list", "--format", "{{range .Descriptors}}{{.ArtifactType}} {{end}}", f"{image}:v1")
    assert listed.split() == ["text/note"]
    regctl("artifact", "tree", f"{image}:v1")
    regctl("index", "create", "--ref", f"{image}:v1", f"{image}:multi")
    regctl("image", "copy", "--referrers", "--digest-tags", f"{image}:v1", f"{image}-copy:v1")
    regctl("image", "copy", f"{image}:multi", f"ocidir://{tmp_path}/out:multi")
    for reference in ("v1", "multi"):
        assert regctl("image", "digest", f"{image}:{reference}").strip() == digest(
            registry, f"regctl/app/manifests/{reference}"
        )
    assert digest(registry, "regctl/app-copy/manifests/v1") == digest(registry, "regctl/app/manifests/v1")
    assert regctl("tag", "ls", image).split() == ["multi", "v1"]
    regctl("tag", "rm", f"{image}:multi")
    assert regctl("tag", "ls", image).split() == ["v1"]
    assert "regctl/app" in regctl("repo", "ls", host).split()


def test_helm(registry: Server, host: str, tmp_path: Path, need_module: Callable[..., ModuleType]) -> None:
    """Helm, by its own SDK, pushes a chart, finds it and pulls the same bytes."""
    charts = need_module("helm_python.chart", "pip install helm-python-sdk==0.2.2")
    registries = need_module("helm_python.registry", "pip install helm-python-sdk==0.2.2")
    credentials = tmp_path / "credentials.json"
    credentials.write_text("{}")
    charts.Chart.create("demo", tmp_path)
    package = Path(charts.package(tmp_path / "demo", destination=tmp_path))
    client = registries.RegistryClient(plain_http=True, credentials_file=str(credentials))
    client.push(package, f"oci://{host}/charts", plain_http=True)
    chart = f"oci://{host}/charts/demo"
    assert client.tags(chart) == ["0.1.0"]
    assert client.resolve(f"{chart}:0.1.0")["digest"] == digest(registry, "charts/demo/manifests/0.1.0")
    (tmp_path / "out").mkdir()
    client.pull(chart, destination=tmp_path / "out", version="0.1.0", plain_http=True)
    assert (tmp_path / "out" / package.name).read_bytes() == package.read_bytes()
