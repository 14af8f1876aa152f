"""Real clients that get tokens from a token server, and come with them."""

from __future__ import annotations

import json
import re
import subprocess
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.e2e.conftest import Run, as_root, digest_in
from tests.e2e.test_helm import HOW
from tests.servers import REPOSITORY, Server, running_server
from tests.token_server import TokenServer, token_server

pytestmark = [pytest.mark.e2e, as_root]

INSECURE = ["--src-tls-verify=false", "--dest-tls-verify=false"]


@pytest.fixture(scope="module")
def tokens(further_address: str) -> Iterator[TokenServer]:
    """The token server."""
    with token_server(further_address) as running:
        yield running


@pytest.fixture(scope="module")
def believing(tmp_path_factory: pytest.TempPathFactory, tokens: TokenServer) -> Iterator[Server]:
    """A registry as `examples/config-bearer-auth.json` sets it up, that believes in its tokens."""
    directory = tmp_path_factory.mktemp("tokens")
    example = (REPOSITORY / "examples/config-bearer-auth.json").read_text()
    config = json.loads(re.sub(r"(?m)\s+//.*$", "", example))
    config["storage"]["rootDirectory"] = str(directory / "root")
    config["http"] |= {"address": "127.0.0.1", "port": 0}
    bearer = config["http"]["auth"]["bearer"]
    assert set(bearer) == {"realm", "service", "cert"}
    bearer |= {"realm": tokens.realm, "cert": str(tokens.signer.write(directory / "auth.crt"))}
    (directory / "bearer.json").write_text(json.dumps(config))
    with running_server(directory, "--workers", "2", config=directory / "bearer.json") as server:
        yield server


@pytest.fixture
def at(believing: Server) -> str:
    """Where the registry is."""
    return f"127.0.0.1:{believing.port}"


@pytest.fixture
def logins(tmp_path: Path, at: str, run: Run) -> Path:
    """The file in which clients find logins: alice, who may do everything."""
    file = tmp_path / "settings/config.json"
    file.write_text(json.dumps({"auths": {at: {"auth": b64encode(b"alice:alices").decode()}}}))
    return file


def test_docker(at: str, docker: Run, layers: list[Path], tokens: TokenServer) -> None:
    """Docker logs in, pushes, mounts into another repository, pulls, logs out, and then gets in no more."""
    image = f"{at}/docker/app"
    with pytest.raises(AssertionError, match=r"(?i)unauthorized"):
        docker("login", "-u", "alice", "-p", "wrong", at)
    docker("login", "-u", "alice", "-p", "alices", at)
    docker("import", str(layers[0]), f"{image}:v1")
    digest = docker("push", f"{image}:v1").partition("digest: ")[2].split()[0]
    docker("tag", f"{image}:v1", f"{image}-two:v1")
    assert "Mounted from docker/app" in docker("push", f"{image}-two:v1")
    docker("rmi", "-f", f"{image}:v1", f"{image}-two:v1")
    assert digest in docker("pull", f"{image}:v1")
    docker("logout", at)
    with pytest.raises(AssertionError, match=r"denied|unauthorized"):
        docker("pull", f"{image}-two:v1")
    assert any(asked.get("scope") == ["repository:docker/app:push,pull"] for asked in tokens.asked)


def test_docker_may_not_push_with_less(at: str, docker: Run, layers: list[Path]) -> None:
    """A user whose tokens are for pulling is refused when docker pushes."""
    docker("login", "-u", "eve", "-p", "eves", at)
    docker("import", str(layers[0]), f"{at}/docker/eve:v1")
    with pytest.raises(AssertionError, match=r"denied|unauthorized|insufficient"):
        docker("push", f"{at}/docker/eve:v1")
    docker("logout", at)


def test_podman(at: str, podman: Run, layers: list[Path], logins: Path) -> None:
    """Podman logs in, pushes and pulls."""
    plain = ["--tls-verify=false", "--authfile", logins]
    podman("login", *plain, "-u", "alice", "-p", "alices", at)
    podman("import", layers[0], "localhost/app:v1")
    podman("push", *plain, "localhost/app:v1", f"docker://{at}/podman/app:v1")
    podman("pull", *plain, f"{at}/podman/app:v1")


def test_skopeo(at: str, run: Run, layout: Path, tmp_path: Path) -> None:
    """Skopeo pushes, copies, lists, deletes, each with a token of its own; a user with less is refused."""
    image = f"docker://{at}/skopeo/app"
    push = ["skopeo", "copy", "--dest-tls-verify=false", f"oci:{layout}:v1", f"{image}:v1"]
    with pytest.raises(AssertionError, match=r"denied|unauthorized|insufficient"):
        run(*push, "--dest-creds", "eve:eves")
    run(*push, "--dest-creds", "alice:alices")
    both = ["--src-creds", "eve:eves", "--dest-creds", "alice:alices"]
    run("skopeo", "copy", *INSECURE, *both, f"{image}:v1", f"{image}-copy:v2")
    run("skopeo", "copy", "--src-tls-verify=false", "--src-creds", "eve:eves", f"{image}:v1", f"oci:{tmp_path}/out:v1")
    assert digest_in(tmp_path / "out", "v1") == digest_in(layout, "v1")
    run("skopeo", "delete", "--tls-verify=false", "--creds", "alice:alices", f"{image}-copy:v2")
    assert json.loads(run("skopeo", "list-tags", "--tls-verify=false", "--creds", "eve:eves", image))["Tags"] == ["v1"]


def test_containerd(at: str, ctr: Run, layout: Path, tmp_path: Path) -> None:
    """Containerd, which asks by POST first, goes on by GET, pushes and pulls."""
    archive = tmp_path / "image.tar"
    subprocess.run(["tar", "-C", layout, "-cf", archive, "."], check=True)
    image, plain = f"{at}/ctr/app:v1", ["--plain-http", "-u", "alice:alices"]
    ctr("images", "import", "--all-platforms", "--no-unpack", "--base-name", f"{at}/ctr/app", archive)
    ctr("images", "push", *plain, image)
    ctr("images", "rm", image)
    ctr("images", "pull", *plain, "--snapshotter", "native", "--platform", "linux/amd64", image)


def test_helm(at: str, tmp_path: Path, need_module: Callable[..., ModuleType], logins: Path) -> None:
    """Helm pushes a chart and pulls it."""
    charts, registries = need_module("helm_python.chart", HOW), need_module("helm_python.registry", HOW)
    charts.Chart.create("demo", tmp_path)
    package = Path(charts.package(tmp_path / "demo", destination=tmp_path))
    client = registries.RegistryClient(plain_http=True, credentials_file=str(logins))
    client.push(package, f"oci://{at}/charts", plain_http=True)
    (tmp_path / "out").mkdir()
    client.pull(f"oci://{at}/charts/demo", destination=tmp_path / "out", version="0.1.0", plain_http=True)
    assert (tmp_path / "out" / package.name).read_bytes() == package.read_bytes()


def test_oras(at: str, run: Run, tmp_path: Path, logins: Path) -> None:
    """Oras pushes, attaches, discovers, copies and pulls."""
    (tmp_path / "file").write_text("file")
    image, copy = f"{at}/oras/app:v1", f"{at}/oras/copy:v1"
    run("oras", "push", "--plain-http", image, "file")
    run("oras", "attach", "--plain-http", "--artifact-type", "text/note", image, "file")
    run("oras", "cp", "-r", "--from-plain-http", "--to-plain-http", image, copy)
    assert "text/note" in run("oras", "discover", "--plain-http", copy)
    run("oras", "pull", "--plain-http", "-o", tmp_path / "out", copy)


def test_crane(at: str, run: Run, layers: list[Path], logins: Path) -> None:
    """Crane pushes, copies, lists tags and the catalogue, and deletes."""
    image = f"{at}/crane/app"
    run("crane", "append", "-f", layers[0], "-t", f"{image}:v1")
    run("crane", "copy", f"{image}:v1", f"{image}-copy:v1")
    assert run("crane", "ls", image).split() == ["v1"]
    assert {"crane/app", "crane/app-copy"} <= set(run("crane", "catalog", at).split())
    run("crane", "delete", f"{image}@{run('crane', 'digest', f'{image}:v1').strip()}")
