"""What the tests with real clients share: a registry, programs, and images to push.

With ZOT_E2E_URL set to http://HOST:PORT the clients talk to that registry instead, whatever it is. It should be empty.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.images import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, descriptor, digest_of, manifest
from tests.servers import PATIENCE, running_server, wait_until

Run = Callable[..., str]
Document = dict[str, Any]

DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
_ACCEPT = {"Accept": f"{OCI_MANIFEST}, {OCI_INDEX}, {DOCKER_MANIFEST}, {DOCKER_LIST}"}

# One that is for documentation, so nobody else's.
# Each process that runs tests has its own, so that none takes away what another uses: those of one run have one parent.
FURTHER_ADDRESS = f"192.0.2.{1 + (os.getppid() + int(os.environ.get('PYTEST_XDIST_WORKER', 'gw0')[2:])) % 250}"

as_root = pytest.mark.skipif(
    os.geteuid() != 0 and not os.environ.get("ZOT_REQUIRE_ALL"), reason="this client or its daemon needs root"
)


@dataclass(frozen=True)
class Registry:
    """A registry that clients talk to."""

    host: str

    def get(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Ask for a path below /v2/; returns status, headers in lower case, and body."""
        connection = http.client.HTTPConnection(self.host, timeout=PATIENCE)
        try:
            connection.request("GET", f"/v2/{path}", headers=_ACCEPT)
            answer = connection.getresponse()
            return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def document(self, path: str) -> Document:
        """Return what is at a path, which must be there, as a document of JSON."""
        status, _, body = self.get(path)
        assert status == 200, f"{path}: {status} {body!r}"
        found: Document = json.loads(body)
        return found

    def digest(self, name: str, reference: str) -> str:
        """Return a manifest's digest: the one that the registry says, which must be that of the bytes that it sends."""
        status, headers, body = self.get(f"{name}/manifests/{reference}")
        assert status == 200, f"{name}:{reference}: {status} {body!r}"
        assert headers["docker-content-digest"] == digest_of(body)
        return digest_of(body)

    def pushed(self) -> dict[tuple[str, str], str]:
        """Return the digest of every tag of every repository."""
        return {
            (name, tag): self.digest(name, tag)
            for name in self.document("_catalog?n=1000")["repositories"]
            for tag in self.document(f"{name}/tags/list?n=1000")["tags"] or []
        }


@pytest.fixture(scope="package")
def registry(tmp_path_factory: pytest.TempPathFactory, need: Callable[..., str]) -> Iterator[Registry]:
    """A server with two workers, for all clients; when it has stopped, all that they pushed is opened on disk."""
    if url := os.environ.get("ZOT_E2E_URL"):
        yield Registry(url.removeprefix("http://").rstrip("/"))
        return
    with running_server(tmp_path_factory.mktemp("registry"), "--workers", "2") as server:
        registry = Registry(server.url.removeprefix("http://"))
        yield registry
        pushed = registry.pushed()
        server.stop()
        if shutil.which("skopeo") or os.environ.get("ZOT_REQUIRE_ALL"):
            check_layouts(need("skopeo"), server.root, pushed)


def check_layouts(skopeo: str, root: Path, pushed: dict[tuple[str, str], str]) -> None:
    """Hold each tag's digest against what skopeo reads from its repository's directory, an OCI layout.

    Its OCI transport passes over docker's manifests, so those are looked for in index.json and among the blobs.
    """
    for (name, tag), digest in pushed.items():
        entries = json.loads((root / name / "index.json").read_text())["manifests"]
        found = {
            entry["digest"]: entry["mediaType"]
            for entry in entries
            if entry.get("annotations", {}).get("org.opencontainers.image.ref.name") == tag
        }
        assert list(found) == [digest], f"{name}:{tag}: {entries}"
        if found[digest] in (DOCKER_MANIFEST, DOCKER_LIST):
            content = (root / name / "blobs" / digest.replace(":", "/")).read_bytes()
        else:
            command = [skopeo, "inspect", "--raw", f"oci:{root / name}:{tag}"]
            done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
            assert done.returncode == 0, f"{command}: {done.stderr!r}"
            content = done.stdout
        assert digest_of(content) == digest, f"{name}:{tag}"


@pytest.fixture
def host(registry: Registry) -> str:
    """The registry's host and port."""
    return registry.host


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
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=environment,
            cwd=tmp_path,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    return call


@pytest.fixture(scope="package")
def further_address(need: Callable[..., str]) -> Iterator[str]:
    """A further address of this machine: clients are wary of 127.0.0.1 as the place of a token server or of TLS."""
    ip = need("ip", "install iproute2")
    # One that was killed may have left it.
    subprocess.run([ip, "address", "replace", f"{FURTHER_ADDRESS}/32", "dev", "lo"], check=True)
    yield FURTHER_ADDRESS
    subprocess.run([ip, "address", "delete", f"{FURTHER_ADDRESS}/32", "dev", "lo"], check=True)


@pytest.fixture(scope="package")
def engine(need: Callable[..., str]) -> Iterator[str]:
    """The socket of an engine without a network, which trusts registries on the loopback address."""
    program, client = need("dockerd"), need("docker")
    # The path of a socket is bounded, so this is not below pytest's directory.
    with tempfile.TemporaryDirectory(prefix="z", dir="/tmp", ignore_cleanup_errors=True) as directory:
        home = Path(directory)
        (home / "daemon.json").write_text("{}")
        socket = f"unix://{home}/s"
        command: list[str | Path] = [
            program, "--config-file", home / "daemon.json", "-H", socket, "--data-root", home / "d", "--exec-root",
            home / "e", "-p", home / "pid", "--iptables=false", "--ip6tables=false", "--bridge=none",
            "--storage-driver=vfs",
        ]  # fmt: skip
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            ask = [client, "-H", socket, "version"]
            wait_until(
                lambda: subprocess.run(ask, capture_output=True, check=False).returncode == 0, "dockerd is ready"
            )
            yield socket
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            process.kill()
            process.wait()
            # What is run leaves it behind.
            mounted = home / "e/netns/default"
            if mounted.is_mount():
                subprocess.run(["umount", mounted], check=True)


@pytest.fixture
def docker(run: Run, engine: str) -> Run:
    """Run a command of docker against the engine."""

    def call(*arguments: str) -> str:
        return run("docker", *arguments, DOCKER_HOST=engine, DOCKER_BUILDKIT="0")

    return call


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory with a short name: paths of sockets, and podman's, are bounded."""
    with tempfile.TemporaryDirectory(prefix="z", dir="/tmp") as directory:
        yield Path(directory)


@pytest.fixture
def podman(run: Run, short: Path) -> Run:
    """Run a command of podman, which keeps its images in a directory of the test."""
    own = ["--root", short / "r", "--runroot", short / "rr", "--storage-driver=vfs", "--cgroup-manager=cgroupfs"]

    def call(*arguments: str | Path) -> str:
        return run("podman", *own, *arguments)

    return call


@pytest.fixture
def ctr(need: Callable[..., str], run: Run, short: Path) -> Iterator[Run]:
    """Run a command of ctr, containerd's client, against a containerd of our own."""
    settings = short / "config.toml"
    settings.write_text(
        f'version = 2\nroot = "{short}/root"\nstate = "{short}/state"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        f'[grpc]\n  address = "{short}/s"\n[ttrpc]\n  address = "{short}/t"\n'
    )
    program = need("containerd")
    with (short / "log").open("wb") as log:
        daemon = subprocess.Popen([program, "-c", settings, "-l", "warn"], stdout=log, stderr=log)

    def call(*arguments: str | Path) -> str:
        try:
            return run("ctr", "-a", f"{short}/s", *arguments)
        except AssertionError as error:
            # Between ctr and its daemon, not between it and us: seen once in hundreds of runs, on a busy machine.
            if "rpc error: code = Internal desc = unexpected EOF" not in str(error):
                raise
            return run("ctr", "-a", f"{short}/s", *arguments)

    try:
        wait_until((short / "s").exists, "containerd listens")
        call("version")
        yield call
    finally:
        daemon.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            daemon.wait(PATIENCE)
        daemon.kill()
        daemon.wait()


@pytest.fixture
def layers(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two layers, as tar files, with random content so that each test pushes what no other did.

    Podman and skopeo remember which compressed forms of a layer a registry has, and may push one in place of another.
    """
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
def layout(tmp_path_factory: pytest.TempPathFactory, layers: list[Path]) -> Path:
    """An OCI layout, made by no client: v1, an image of two layers, and multi, an index for two platforms."""
    root = tmp_path_factory.mktemp("layout")
    blobs = root / "blobs/sha256"
    blobs.mkdir(parents=True)

    def keep(content: bytes) -> bytes:
        (blobs / hashlib.sha256(content).hexdigest()).write_bytes(content)
        return content

    def image(architecture: str, *tars: Path) -> bytes:
        config = {
            "architecture": architecture,
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(tar.read_bytes()) for tar in tars]},
        }
        packed = [keep(gzip.compress(tar.read_bytes(), mtime=0)) for tar in tars]
        return keep(manifest(keep(json.dumps(config).encode()), tuple(packed)))

    images = {"amd64": image("amd64", *layers), "arm64": image("arm64", layers[1], layers[0])}
    children = [
        descriptor(content, OCI_MANIFEST, platform={"os": "linux", "architecture": architecture})
        for architecture, content in images.items()
    ]
    both = keep(json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children}).encode())
    tagged = [
        descriptor(content, media_type, annotations={"org.opencontainers.image.ref.name": tag})
        for tag, content, media_type in (("v1", images["amd64"], OCI_MANIFEST), ("multi", both, OCI_INDEX))
    ]
    (root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": tagged}))
    (root / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return root


def digest_in(layout: Path, tag: str) -> str:
    """Return the digest that a layout has under a tag."""
    for entry in json.loads((layout / "index.json").read_text())["manifests"]:
        if entry.get("annotations", {}).get("org.opencontainers.image.ref.name") == tag:
            digest: str = entry["digest"]
            return digest
    raise AssertionError(f"{layout} has no {tag}")


def layers_of(registry: Registry, name: str, reference: str) -> list[str]:
    """Return the digests of an image's layers."""
    return [layer["digest"] for layer in registry.document(f"{name}/manifests/{reference}")["layers"]]
