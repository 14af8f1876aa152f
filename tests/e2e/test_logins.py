"""Real clients that log in: with a password, with an API key, wrongly, and where anonymous and other rights meet."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from tests.e2e.conftest import Run, as_root
from tests.e2e.test_helm import HOW
from tests.server.test_logins import basic, write_config, write_users
from tests.servers import Server, running_server

pytestmark = pytest.mark.e2e

PASSWORD = "a-password-of-alice"
POLICY = {
    "repositories": {
        "**": {"policies": [{"users": ["alice"], "actions": ["read", "create", "update", "delete"]}]},
        "public/**": {
            "policies": [{"users": ["alice"], "actions": ["read", "create", "update", "delete"]}],
            "anonymousPolicy": ["read"],
        },
    }
}


class Guarded(NamedTuple):
    """A registry with one user, and an API key of theirs that is for team/** only."""

    server: Server
    host: str
    key: str


@pytest.fixture(scope="module", params=["closed", "mixed"])
def guarded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A registry in which nobody may do anything without a login, or one that lets everybody read public/**."""
    directory = tmp_path_factory.mktemp("guarded")
    write_users(directory / "htpasswd", alice=PASSWORD)
    control = {"accessControl": POLICY} if request.param == "mixed" else {}
    config = write_config(directory, auth={"apikey": True}, **control)
    with running_server(directory, "--workers", "2", config=config) as server:
        body = b'{"label": "ci", "scopes": ["team/**:read,create,update"]}'
        status, _, answer = server.request("POST", "/zot/auth/apikey", body, basic("alice", PASSWORD))
        assert status == 201
        yield Guarded(server, server.url.removeprefix("http://"), json.loads(answer)["apiKey"])


@pytest.fixture(params=["password", "key"])
def secret(request: pytest.FixtureRequest, guarded: Guarded) -> str:
    """What alice logs in with."""
    return guarded.key if request.param == "key" else PASSWORD


@contextmanager
def one_user(directory: Path, **auth: Any) -> Iterator[str]:
    """Run a registry of its own for who logs in wrongly, so that nobody else is held up; yields its host."""
    write_users(directory / "htpasswd", alice=PASSWORD)
    with running_server(directory, "--workers", "2", config=write_config(directory, auth=auth)) as server:
        yield server.url.removeprefix("http://")


def fails(call: Callable[..., object], *arguments: str | Path) -> str:
    """Run something that is to fail; returns what it said."""
    with pytest.raises(AssertionError) as raised:
        call(*arguments)
    return str(raised.value)


@as_root
def test_docker(guarded: Guarded, secret: str, docker: Run, layers: list[Path]) -> None:
    """Docker logs in, pushes, pulls and logs out; a wrong password is unauthorized, and so is a pull after that."""
    image = f"{guarded.host}/team/docker:v1"
    said = fails(docker, "login", "-u", "alice", "-p", "wrong", guarded.host)
    assert "unauthorized" in said.lower()
    docker("login", "-u", "alice", "-p", secret, guarded.host)
    docker("import", str(layers[0]), image)
    docker("push", image)
    docker("rmi", "-f", image)
    docker("pull", image)
    docker("logout", guarded.host)
    docker("rmi", "-f", image)
    assert "no basic auth credentials" in fails(docker, "pull", image)


def test_skopeo(guarded: Guarded, secret: str, run: Run, layout: Path, tmp_path: Path) -> None:
    """Skopeo logs in, copies in and out, and is refused without a login."""
    there = f"docker://{guarded.host}/team/skopeo:v1"
    run("skopeo", "login", "--tls-verify=false", "-u", "alice", "-p", secret, guarded.host)
    run("skopeo", "copy", "--dest-tls-verify=false", f"oci:{layout}:v1", there)
    run("skopeo", "copy", "--src-tls-verify=false", there, f"oci:{tmp_path / 'out'}:v1")
    run("skopeo", "logout", guarded.host)
    fails(run, "skopeo", "inspect", "--tls-verify=false", there)
    fails(run, "skopeo", "login", "--tls-verify=false", "-u", "alice", "-p", "wrong", guarded.host)


@as_root
def test_podman(guarded: Guarded, secret: str, podman: Run, tmp_path: Path) -> None:
    """Podman logs in, pushes, pulls and logs out."""
    (tmp_path / "Containerfile").write_text("FROM scratch\nCOPY Containerfile /\n")
    image, insecure = f"{guarded.host}/team/podman:v1", "--tls-verify=false"
    podman("login", insecure, "-u", "alice", "-p", secret, guarded.host)
    podman("build", "-q", "--isolation", "chroot", "-t", image, ".")
    podman("push", insecure, image)
    podman("rmi", "-af")
    podman("pull", insecure, image)
    podman("logout", guarded.host)
    podman("rmi", "-af")
    fails(podman, "pull", insecure, image)


def test_crane(guarded: Guarded, secret: str, run: Run, layers: list[Path]) -> None:
    """Crane logs in, appends, validates and lists."""
    image = f"{guarded.host}/team/crane"
    fails(run, "crane", "append", "-f", layers[0], "-t", f"{image}:v1")
    run("crane", "auth", "login", "-u", "alice", "-p", secret, guarded.host)
    run("crane", "append", "-f", layers[0], "-t", f"{image}:v1")
    run("crane", "validate", "--remote", f"{image}:v1")
    assert run("crane", "ls", image).split() == ["v1"]
    run("crane", "auth", "logout", guarded.host)
    fails(run, "crane", "ls", image)


def test_oras(guarded: Guarded, secret: str, run: Run, tmp_path: Path) -> None:
    """Oras logs in, pushes, pulls and logs out."""
    (tmp_path / "one.txt").write_text("one")
    artifact = f"{guarded.host}/team/oras:v1"
    run("oras", "login", "--plain-http", "-u", "alice", "-p", secret, guarded.host)
    run("oras", "push", "--plain-http", artifact, "one.txt")
    run("oras", "pull", "--plain-http", "-o", tmp_path / "out", artifact)
    run("oras", "logout", guarded.host)
    fails(run, "oras", "pull", "--plain-http", "-o", tmp_path / "out", artifact)


def test_a_key_stays_within_its_scope(guarded: Guarded, run: Run, layers: list[Path]) -> None:
    """With a key for team/** crane may not push elsewhere, and deletes nothing."""
    run("crane", "auth", "login", "-u", "alice", "-p", guarded.key, guarded.host)
    assert "403 Forbidden" in fails(run, "crane", "append", "-f", layers[0], "-t", f"{guarded.host}/other/x:v1")
    run("crane", "append", "-f", layers[0], "-t", f"{guarded.host}/team/kept:v1")
    assert "DENIED" in fails(run, "crane", "delete", f"{guarded.host}/team/kept:v1")


def test_where_rights_meet(guarded: Guarded, run: Run, layout: Path, tmp_path: Path) -> None:
    """Where everybody may read public/**, skopeo and crane read it without a login, and the others with one."""
    if guarded.server.request("GET", "/v2/")[0] == 401:
        pytest.skip("this registry is closed to the anonymous")
    public, private = (f"docker://{guarded.host}/{name}:v1" for name in ("public/a", "team/private"))
    run("skopeo", "login", "--tls-verify=false", "-u", "alice", "-p", PASSWORD, guarded.host)
    for image in (public, private):
        run("skopeo", "copy", "--dest-tls-verify=false", f"oci:{layout}:v1", image)
        run("skopeo", "inspect", "--tls-verify=false", image)
    run("skopeo", "logout", guarded.host)
    run("skopeo", "inspect", "--tls-verify=false", public)
    fails(run, "skopeo", "inspect", "--tls-verify=false", private)
    run("crane", "digest", f"{guarded.host}/public/a:v1")
    fails(run, "crane", "digest", f"{guarded.host}/team/private:v1")


@as_root
def test_others_pull_what_is_public(guarded: Guarded, podman: Run, ctr: Run, run: Run, layout: Path) -> None:
    """Where rights meet, podman, containerd and oras read public/** without a login, and nothing else."""
    if guarded.server.request("GET", "/v2/")[0] == 401:
        pytest.skip("this registry is closed to the anonymous")
    for name in ("public/b", "team/b"):
        image = f"{guarded.host}/{name}:v1"
        push = ["skopeo", "copy", "--dest-tls-verify=false", "--dest-creds", f"alice:{PASSWORD}"]
        run(*push, f"oci:{layout}:v1", f"docker://{image}")
        calls: list[tuple[Run, tuple[str, ...]]] = [
            (podman, ("pull", "--tls-verify=false")),
            (ctr, ("images", "pull", "--plain-http", "--snapshotter", "native", "--platform", "linux/amd64")),
            (run, ("oras", "manifest", "fetch", "--plain-http")),
        ]
        for call, arguments in calls:
            if name.startswith("public"):
                call(*arguments, image)
            else:
                fails(call, *arguments, image)


@as_root
def test_containerd(guarded: Guarded, secret: str, ctr: Run, layout: Path, tmp_path: Path) -> None:
    """Containerd pushes and pulls with `--user`, and does neither without."""
    archive = tmp_path / "image.tar"
    subprocess.run(["tar", "-C", layout, "-cf", archive, "."], check=True)
    image, plain = f"{guarded.host}/team/ctr:v1", ["--plain-http", "--user"]
    pull = ["images", "pull", "--plain-http", "--snapshotter", "native", "--platform", "linux/amd64"]
    ctr("images", "import", "--all-platforms", "--no-unpack", "--base-name", f"{guarded.host}/team/ctr", archive)
    fails(ctr, "images", "push", "--plain-http", image)
    ctr("images", "push", *plain, f"alice:{secret}", image)
    ctr("images", "rm", image)
    fails(ctr, *pull, image)
    ctr(*pull, "--user", f"alice:{secret}", image)


def test_helm(guarded: Guarded, secret: str, tmp_path: Path, need_module: Callable[..., ModuleType]) -> None:
    """Helm logs in, pushes a chart, pulls it, logs out, and then gets nothing more."""
    charts, registries = need_module("helm_python.chart", HOW), need_module("helm_python.registry", HOW)
    charts.Chart.create("demo", tmp_path)
    package = Path(charts.package(tmp_path / "demo", destination=tmp_path))
    (tmp_path / "out").mkdir()
    (tmp_path / "logins.json").write_text("{}")
    there, where = f"oci://{guarded.host}/team", {"destination": tmp_path / "out", "version": "0.1.0"}

    def helm() -> Any:
        return registries.RegistryClient(plain_http=True, credentials_file=str(tmp_path / "logins.json"))

    client = helm()
    with pytest.raises(Exception, match=r"(?i)unauthorized|credential"):
        client.push(package, there, plain_http=True)
    client.login(guarded.host, "alice", secret, plain_http=True)
    client.push(package, there, plain_http=True)
    client.pull(f"{there}/demo", plain_http=True, **where)
    assert (tmp_path / "out" / package.name).read_bytes() == package.read_bytes()
    client.logout(guarded.host)
    with pytest.raises(Exception, match=r"(?i)unauthorized|credential"):
        helm().pull(f"{there}/demo", plain_http=True, **where)


@as_root
def test_docker_where_rights_meet(guarded: Guarded, docker: Run, layers: list[Path]) -> None:
    """Where everybody may read public/**, docker logs in and uses what it is alone allowed; a wrong login is told so.

    Without a login docker pulls nothing here, as from zot: it asks `/v2/` first, must be told there to send its login,
    and goes no further if it has none. Every other client pulls what is public.
    """
    if guarded.server.request("GET", "/v2/")[0] == 401:
        pytest.skip("this registry is closed to the anonymous")
    assert "unauthorized" in fails(docker, "login", "-u", "carol", "-p", "wrong", guarded.host).lower()
    images = [f"{guarded.host}/{name}:v1" for name in ("public/docker", "team/docker-private")]
    docker("login", "-u", "alice", "-p", PASSWORD, guarded.host)
    for image in images:
        docker("import", str(layers[0]), image)
        docker("push", image)
        docker("rmi", "-f", image)
        docker("pull", image)
        docker("rmi", "-f", image)
    docker("logout", guarded.host)
    for image in images:
        assert "no basic auth credentials" in fails(docker, "pull", image)


@as_root
def test_containerd_with_a_wrong_password(ctr: Run, tmp_path: Path) -> None:
    """Containerd, which tries again by itself, is refused a pull with a wrong password."""
    with one_user(tmp_path) as host:
        said = fails(ctr, "images", "pull", "--plain-http", "--user", "alice:wrong", f"{host}/team/ctr:v1")
    assert re.search("(?i)unauthorized|authorization failed", said)


@as_root
def test_docker_waits_for_a_failure(docker: Run, tmp_path: Path) -> None:
    """With failDelay docker says "unauthorized" to a wrong password as well, after the delay; a right one is let in."""
    with one_user(tmp_path, failDelay=2) as host:
        begun = time.monotonic()
        assert "unauthorized" in fails(docker, "login", "-u", "alice", "-p", "wrong", host).lower()
        assert time.monotonic() - begun >= 2
        docker("login", "-u", "alice", "-p", PASSWORD, host)
        docker("logout", host)
