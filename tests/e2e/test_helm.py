"""Helm, by its own SDK for Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.e2e.conftest import Registry

pytestmark = pytest.mark.e2e

HOW = "pip install helm-python-sdk==0.2.2"


def test_helm(registry: Registry, host: str, tmp_path: Path, need_module: Callable[..., ModuleType]) -> None:
    """Helm pushes a chart, finds it and pulls the same bytes."""
    charts = need_module("helm_python.chart", HOW)
    registries = need_module("helm_python.registry", HOW)
    credentials = tmp_path / "credentials.json"
    credentials.write_text("{}")
    charts.Chart.create("demo", tmp_path)
    package = Path(charts.package(tmp_path / "demo", destination=tmp_path))
    client = registries.RegistryClient(plain_http=True, credentials_file=str(credentials))
    client.push(package, f"oci://{host}/charts", plain_http=True)
    chart = f"oci://{host}/charts/demo"
    assert client.tags(chart) == ["0.1.0"]
    assert client.resolve(f"{chart}:0.1.0")["digest"] == registry.digest("charts/demo", "0.1.0")
    (tmp_path / "out").mkdir()
    client.pull(chart, destination=tmp_path / "out", version="0.1.0", plain_http=True)
    assert (tmp_path / "out" / package.name).read_bytes() == package.read_bytes()
