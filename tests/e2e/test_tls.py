"""Real clients over TLS, with an authority that only they are told of."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.e2e.conftest import Run, as_root
from tests.servers import Server, running_server

pytestmark = [pytest.mark.e2e, as_root]

GIGABYTE = 1024 * 1024 * 1024


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A private authority, and what it issued to the server."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Server]:
    """A server with TLS, and with two workers."""
    directory = tmp_path_factory.mktemp("secure")
    settings = {"http": {"port": 0, "tls": authority.tls}}
    with running_server(directory, "--workers", "2", settings=settings, authority=authority.file) as server:
        yield server


def test_docker(secure: Server, authority: Authority, docker: Run, layers: list[Path]) -> None:
    """Docker, which is told of the authority as it wants it, pushes and pulls."""
    trusted = Path(f"/etc/docker/certs.d/127.0.0.1:{secure.port}")
    image = f"127.0.0.1:{secure.port}/docker/app:v1"
    docker("import", str(layers[0]), image)
    trusted.mkdir(parents=True)
    try:
        shutil.copy(authority.file, trusted / "ca.crt")
        digest = docker("push", image).partition("digest: ")[2].split()[0]
        docker("rmi", "-f", image)
        assert digest in docker("pull", image)
    finally:
        shutil.rmtree(trusted)


def test_podman(secure: Server, authority: Authority, podman: Run, layers: list[Path], tmp_path: Path) -> None:
    """Podman, which is told of the authority, pushes and pulls; without it podman refuses."""
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    shutil.copy(authority.file, trusted / "ca.crt")
    image = f"127.0.0.1:{secure.port}/podman/app:v1"
    podman("import", layers[0], "localhost/app:v1")
    podman("push", "--cert-dir", trusted, "localhost/app:v1", f"docker://{image}")
    podman("rmi", "-f", "localhost/app:v1")
    with pytest.raises(AssertionError, match="unknown authority"):
        podman("pull", image)
    podman("pull", "--cert-dir", trusted, image)


def test_curl(secure: Server, authority: Authority, run: Run) -> None:
    """Curl gets in with TLS 1.2 and the authority, and neither without the authority nor with TLS 1.1."""
    url, trust = f"{secure.url}/v2/", ("--cacert", str(authority.file))
    assert run("curl", "-sS", "--tls-max", "1.2", *trust, url) == "{}"
    with pytest.raises(AssertionError, match=r"(?i)certificate"):
        run("curl", "-sS", url)
    with pytest.raises(AssertionError, match=r"(?i)alert protocol version|no protocols available"):
        run("curl", "-sS", "--ciphers", "DEFAULT@SECLEVEL=0", "--tlsv1.0", "--tls-max", "1.1", *trust, url)


def test_a_certificate_is_replaced_during_a_pull(
    secure: Server, authority: Authority, need: Callable[..., str], tmp_path: Path
) -> None:
    """While a gigabyte is pulled the certificate is replaced: the pull ends well, new connections see the new one."""
    blob = tmp_path / "blob"
    running = hashlib.sha256()
    piece = os.urandom(GIGABYTE // 16)
    with blob.open("wb") as file:
        for _ in range(16):
            running.update(piece)
            file.write(piece)
    digest = f"sha256:{running.hexdigest()}"
    curl = [need("curl"), "-sS", "--fail", "--cacert", str(authority.file)]
    where = secure.request("POST", "/v2/big/blobs/uploads/")[1]["location"]
    push = [*curl, "-T", str(blob), f"{secure.url}{where}?digest={digest}"]
    subprocess.run(push, check=True, capture_output=True)
    blob.unlink()
    before = shown(need, secure)
    pull = [*curl, "--limit-rate", "300M", f"{secure.url}/v2/big/blobs/{digest}"]
    with subprocess.Popen(pull, stdout=subprocess.PIPE) as pulling:
        assert pulling.stdout is not None
        pulled = hashlib.sha256(pulling.stdout.read(GIGABYTE // 10))
        authority.renew()
        assert shown(need, secure) != before
        assert pulling.poll() is None
        while piece := pulling.stdout.read(1024 * 1024):
            pulled.update(piece)
    assert pulling.returncode == 0
    assert f"sha256:{pulled.hexdigest()}" == digest


def shown(need: Callable[..., str], server: Server) -> str:
    """Return the certificate that a new connection is shown."""
    command = [need("openssl"), "s_client", "-connect", f"127.0.0.1:{server.port}", "-showcerts"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    return done.stdout.partition("-----BEGIN CERTIFICATE-----")[2].partition("-----END CERTIFICATE-----")[0]
