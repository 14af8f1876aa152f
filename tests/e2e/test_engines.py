"""The docker engine, containerd, podman, buildah, skopeo and umoci."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Run, digest
from tests.images import OCI_INDEX
from tests.servers import Server, running_server, wait_until

pytestmark = pytest.mark.e2e

as_root = pytest.mark.skipif(
    os.geteuid() != 0 and not os.environ.get("ZOT_REQUIRE_ALL"), reason="this client's daemon needs root"
)


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory with a short name: paths of sockets, and podman's, are bounded."""
    with tempfile.TemporaryDirectory(prefix="z", dir="/tmp") as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def docker_socket(need: Callable[..., str]) -> Iterator[str]:
    """A docker engine of our own, without network, that trusts registries on the loopback address."""
    # The path of a socket is bounded, so this is not below pytest's directory.
    home = Path(f"/tmp/zd{os.getpid()}")
    home.mkdir()
    (home / "daemon.json").write_text("{}")
    socket = f"unix://{home}/s"
    command: list[str | Path] = [
        need("dockerd"), "--config-file", home / "daemon.json", "-H", socket, "--data-root", home / "d", "--exec-root",
        home / "e", "-p", home / "pid", "--iptables=false", "--ip6tables=false", "--bridge=none",
        "--storage-driver=vfs",
    ]  # fmt: skip
    with (home / "log").open("wb") as log:
        engine = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        ask = [need("docker"), "-H", socket, "version"]
        wait_until(
            lambda: subprocess.run(ask, capture_output=True, check=False).returncode == 0, "dockerd is ready", 30
        )
        yield socket
    finally:
        engine.terminate()
        engine.wait(30)
        subprocess.run(["umount", "-q", str(home / "e/netns/default")], check=False)
        shutil.rmtree(home, ignore_errors=True)


@as_root
def test_docker(registry: Server, host: str, run: Run, layers: list[Path], tmp_path: Path, docker_socket: str) -> None:
    """Docker builds an image of several layers, pushes it, forgets it, and pulls it with the same digest."""

    def docker(*arguments: str) -> str:
        return run("docker", *arguments, DOCKER_HOST=docker_socket, DOCKER_BUILDKIT="0")

    image = f"{host}/docker/app"
    docker("import", str(layers[0]), "base:1")
    (tmp_path / "file").write_text("more")
    (tmp_path / "Dockerfile").write_text("FROM base:1\nCOPY file /one\nCOPY Dockerfile /two\n")
    docker("build", "-q", "-t", f"{image}:v1", ".")
    pushed = docker("push", f"{image}:v1")
    expected = digest(registry, "docker/app/manifests/v1")
    assert expected in pushed
    docker("tag", f"{image}:v1", f"{host}/docker/mounted:v1")
    assert "Mounted from docker/app" in docker("push", f"{host}/docker/mounted:v1")
    docker("rmi", "-f", f"{image}:v1", f"{host}/docker/mounted:v1", "base:1")
    assert expected in docker("pull", f"{image}:v1")
    assert expected in docker("inspect", "--format", "{{.RepoDigests}}", f"{image}:v1")
    docker("manifest", "create", "--insecure", f"{image}:multi", f"{image}:v1")
    docker("manifest", "annotate", "--arch", "arm64", f"{image}:multi", f"{image}:v1")
    multi = docker("manifest", "push", "--insecure", f"{image}:multi")
    assert digest(registry, "docker/app/manifests/multi") in multi


@as_root
def test_containerd(
    registry: Server, host: str, run: Run, layout: Path, index: Callable[[str], str], short: Path
) -> None:
    """Containerd's ctr pulls an image and an index, and pushes both under another name with the same digests."""
    image = f"{host}/ctr/app"
    run("skopeo", "copy", "--dest-tls-verify=false", f"oci:{layout}:v1", f"docker://{image}:v1")
    settings = short / "config.toml"
    settings.write_text(
        f'version = 2\nroot = "{short}/root"\nstate = "{short}/state"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        f'[grpc]\n  address = "{short}/s"\n'
    )
    run("containerd", "--version")
    with (short / "log").open("wb") as log:
        daemon = subprocess.Popen(["containerd", "-c", settings, "-l", "warn"], stdout=log, stderr=log)
    try:
        wait_until((short / "s").exists, "containerd listens")

        def ctr(*arguments: str) -> str:
            return run("ctr", "-a", f"{short}/s", *arguments)

        wait_until(lambda: ctr("version"), "containerd answers")
        ctr("images", "pull", "--plain-http", "--snapshotter", "native", f"{image}:v1")
        assert digest(registry, "ctr/app/manifests/v1") in ctr("images", "ls")
        ctr("images", "tag", f"{image}:v1", f"{image}-copy:v2")
        ctr("images", "push", "--plain-http", f"{image}-copy:v2")
        assert digest(registry, "ctr/app-copy/manifests/v2") == digest(registry, "ctr/app/manifests/v1")
        both = index("ctr/app")
        ctr("images", "pull", "--plain-http", "--snapshotter", "native", "--all-platforms", f"{image}:multi")
        ctr("images", "tag", f"{image}:multi", f"{image}-copy:multi")
        ctr("images", "push", "--plain-http", f"{image}-copy:multi")
        assert digest(registry, "ctr/app-copy/manifests/multi") == both
    finally:
        daemon.terminate()
        daemon.wait(30)


@as_root
@pytest.mark.parametrize("kind", ["oci", "v2s2"])
def test_podman(registry: Server, host: str, run: Run, layers: list[Path], short: Path, kind: str) -> None:
    """Podman imports an image, pushes it in either format, and pulls it with the digest that the registry has."""
    own = ["--root", str(short / "r"), "--runroot", str(short / "rr"), "--storage-driver=vfs"]
    own += ["--cgroup-manager=cgroupfs"]
    image = f"{host}/podman/{kind}"
    run("podman", *own, "import", layers[0], "localhost/made:1")
    files = ["--tls-verify=false", "--digestfile", str(short / "digest")]
    run("podman", *own, "push", *files, "--format", kind, "localhost/made:1", f"docker://{image}:v1")
    expected = digest(registry, f"podman/{kind}/manifests/v1")
    assert (short / "digest").read_text() == expected
    run("podman", *own, "rmi", "-f", "localhost/made:1")
    run("podman", *own, "pull", "--tls-verify=false", f"{image}:v1")
    assert expected in run("podman", *own, "inspect", "--format", "{{.RepoDigests}}", f"{image}:v1")
    run("podman", *own, "manifest", "create", "both")
    run("podman", *own, "manifest", "add", "--tls-verify=false", "both", f"docker://{image}:v1")
    run("podman", *own, "manifest", "add", "--arch", "arm64", "--tls-verify=false", "both", f"docker://{image}:v1")
    run("podman", *own, "manifest", "push", "--all", *files, "both", f"docker://{image}:multi")
    assert (short / "digest").read_text() == digest(registry, f"podman/{kind}/manifests/multi")


@as_root
def test_buildah(registry: Server, host: str, run: Run, layers: list[Path], tmp_path: Path) -> None:
    """Buildah commits two images and pushes them as one index for two platforms, which it then pulls."""
    own = ["--root", str(tmp_path / "r"), "--runroot", str(tmp_path / "rr"), "--storage-driver=vfs"]
    run("buildah", *own, "manifest", "create", "both")
    for number, architecture in enumerate(("amd64", "arm64")):
        container = run("buildah", *own, "from", "--arch", architecture, "scratch").strip()
        run("buildah", *own, "add", container, layers[number], "/")
        run("buildah", *own, "commit", container, f"localhost/{architecture}:1")
        run("buildah", *own, "manifest", "add", "both", f"localhost/{architecture}:1")
    image = f"{host}/buildah/app"
    run("buildah", *own, "manifest", "push", "--all", "--tls-verify=false", "both", f"docker://{image}:multi")
    status, headers, body = registry.request("GET", "/v2/buildah/app/manifests/multi")
    assert (status, headers["content-type"], len(json.loads(body)["manifests"])) == (200, OCI_INDEX, 2)
    run("buildah", *own, "pull", "--tls-verify=false", f"{image}:multi")


@pytest.mark.parametrize("kind", ["oci", "v2s2"])
def test_skopeo_and_umoci(
    registry: Server, host: str, run: Run, layout: Path, index: Callable[[str], str], tmp_path: Path, kind: str
) -> None:
    """Skopeo pushes what umoci made, copies image and index, lists, pulls and deletes; umoci unpacks the image."""
    name = f"skopeo/{kind}"
    image = f"docker://{host}/{name}"
    insecure = ["--src-tls-verify=false", "--dest-tls-verify=false"]
    run("skopeo", "copy", *insecure, "--format", kind, f"oci:{layout}:v1", f"{image}:v1")
    run("skopeo", "copy", *insecure, "--all", f"{image}:v1", f"{image}-copy:v2")
    assert digest(registry, f"{name}-copy/manifests/v2") == digest(registry, f"{name}/manifests/v1")
    assert json.loads(run("skopeo", "list-tags", "--tls-verify=false", image))["Tags"] == ["v1"]
    inspected = json.loads(run("skopeo", "inspect", "--tls-verify=false", f"{image}:v1"))
    assert inspected["Digest"] == digest(registry, f"{name}/manifests/v1")
    assert len(inspected["Layers"]) == 2
    run("skopeo", "copy", *insecure, f"{image}:v1", f"oci:{tmp_path}/out:v1")
    run("umoci", "unpack", "--rootless", "--image", f"{tmp_path}/out:v1", tmp_path / "bundle")
    assert {path.name for path in (tmp_path / "bundle/rootfs").iterdir()} == {"file0", "file1"}
    both = index(name)
    run("skopeo", "copy", *insecure, "--all", f"{image}:multi", f"{image}-copy:multi")
    assert digest(registry, f"{name}-copy/manifests/multi") == both
    run("skopeo", "delete", "--tls-verify=false", f"{image}-copy:v2")
    assert registry.request("GET", f"/v2/{name}-copy/manifests/v2")[0] == 404


def test_a_repository_is_a_layout(run: Run, layout: Path, tmp_path: Path) -> None:
    """When the server has stopped, skopeo opens each repository on disk, with every tag and the same digests."""
    (tmp_path / "server").mkdir()
    insecure = ["--src-tls-verify=false", "--dest-tls-verify=false"]
    with running_server(tmp_path / "server") as server:
        host = server.url.removeprefix("http://")
        run("skopeo", "copy", *insecure, f"oci:{layout}:v1", f"docker://{host}/a/b:v1")
        run("skopeo", "copy", *insecure, f"docker://{host}/a/b:v1", f"docker://{host}/a/b:v2")
        run("skopeo", "copy", *insecure, "--format", "v2s2", f"oci:{layout}:v1", f"docker://{host}/a:docker")
        expected = {tag: digest(server, f"a/b/manifests/{tag}") for tag in ("v1", "v2")}
    for tag, wanted in expected.items():
        shown = json.loads(run("skopeo", "inspect", f"oci:{server.root}/a/b:{tag}"))
        assert shown["Digest"] == wanted
        run("skopeo", "copy", f"oci:{server.root}/a/b:{tag}", f"dir:{tmp_path}/out-{tag}")
    listed = json.loads((server.root / "a/index.json").read_text())["manifests"]
    assert [entry["annotations"]["org.opencontainers.image.ref.name"] for entry in listed] == ["docker"]
