"""What examples/deploy has: that it still fits this program."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import yaml

from cli.serve import serve
from zot.config import check

DEPLOY = Path(__file__).parents[2] / "examples/deploy"


def documents() -> dict[str, Any]:
    """Return the manifests for Kubernetes by their kind."""
    return {one["kind"]: one for one in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())}


def test_the_manifests_fit_together(tmp_path: Path) -> None:
    """The configuration is valid and lies where the container looks, on the volume and port that are there."""
    found = documents()
    pod = found["StatefulSet"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    file = tmp_path / "config.json"
    file.write_text(found["ConfigMap"]["data"]["config.json"])
    config = check(str(file), {}).config
    assert config is not None
    assert config.storage.root_directory == mounts["data"]
    assert [one["containerPort"] for one in container["ports"]] == [config.http.port]
    assert found["Service"]["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    probes = [container[f"{one}Probe"]["httpGet"]["path"] for one in ("startup", "liveness", "readiness")]
    assert probes == ["/startupz", "/livez", "/readyz"]
    command, *arguments = container["args"]
    given = serve.make_context(command, arguments).params
    assert (command, given["config"], given["workers"]) == ("serve", f"{mounts['config']}/config.json", 4)
    assert check(str(DEPLOY / "config.json"), {}).config == config


def test_the_unit_starts_what_there_is() -> None:
    """The commands of the unit are ones of this program, on a configuration at its usual place."""
    lines = dict(line.split("=", 1) for line in (DEPLOY / "zot.service").read_text().splitlines() if "=" in line)
    assert shlex.split(lines["ExecStart"])[1:] == ["serve", "/etc/zot/config.json"]
    assert shlex.split(lines["ExecStartPre"])[1:] == ["verify", "/etc/zot/config.json"]
