"""What the tests with real clients share: a server, programs, and an image to push."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.images import OCI_INDEX
from tests.servers import Server, running_server

Run = Callable[..., str]


@pytest.fixture(scope="package")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with two workers, for all clients."""
    with running_server(tmp_path_factory.mktemp("registry"), "--workers", "2") as server:
        yield server


@pytest.fixture
def host(registry: Server) -> str:
    """The registry's host and port."""
    return registry.url.removeprefix("http://")


@pytest.fixture
def run(need: Callable[..., str], tmp_path: Path) -> Run:
    """Run a program to its end in a directory of the test; returns its output, fails with its errors."""
    settings = tmp_path / "settings"
    settings.mkdir()
    (settings / "config.json").write_text("{}")
    home = {"HOME": str(settings), "DOCKER_CONFIG": str(settings), "XDG_RUNTIME_DIR": str(settings)}

    def call(program: str, *arguments: str | Path, **variables: str) -> str:
        command = [need(program), *map(str, arguments)]
        environment = os.environ | home | variables
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=120, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    return call


@pytest.fixture(scope="session")
def layers(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two layers, as tar files."""
    directory = tmp_path_factory.mktemp("layers")
    made = []
    for number in range(2):
        path = directory / f"layer{number}.tar"
        with tarfile.open(path, "w") as archive:
            member = tarfile.TarInfo(f"file{number}")
            content = os.urandom(100_000)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        made.append(path)
    return made


@pytest.fixture
def layout(run: Run, layers: list[Path], tmp_path: Path) -> Path:
    """An OCI layout with an image of two layers under the tag v1, made by umoci."""
    path = tmp_path / "layout"
    run("umoci", "init", "--layout", path)
    run("umoci", "new", "--image", f"{path}:v1")
    for layer in layers:
        run("umoci", "raw", "add-layer", "--image", f"{path}:v1", layer)
    return path


@pytest.fixture
def index(registry: Server, host: str, run: Run, layout: Path) -> Callable[[str], str]:
    """Push an index of two platforms, `multi`, into a repository; returns its digest."""

    def push(name: str) -> str:
        entries = []
        for architecture in ("amd64", "arm64"):
            run("umoci", "config", "--image", f"{layout}:v1", "--tag", architecture, "--architecture", architecture)
            image = f"docker://{host}/{name}:{architecture}"
            run("skopeo", "copy", "--dest-tls-verify=false", f"oci:{layout}:{architecture}", image)
            _, headers, _ = registry.request("HEAD", f"/v2/{name}/manifests/{architecture}")
            entries.append(
                {
                    "mediaType": headers["content-type"],
                    "digest": headers["docker-content-digest"],
                    "size": int(headers["content-length"]),
                    "platform": {"os": "linux", "architecture": architecture},
                }
            )
        body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
        answer = registry.request("PUT", f"/v2/{name}/manifests/multi", body, {"Content-Type": OCI_INDEX})
        assert answer[0] == 201
        return answer[1]["docker-content-digest"]

    return push


def digest(registry: Server, path: str) -> str:
    """Return the digest that the registry gives for `repository/manifests/reference`."""
    status, headers, _ = registry.request("HEAD", f"/v2/{path}")
    assert status == 200, path
    return headers["docker-content-digest"]
