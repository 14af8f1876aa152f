"""Real clients that show certificates instead of passwords."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.auth.certificates import ClientAuthority
from tests.certificates import Authority
from tests.e2e.conftest import FURTHER_ADDRESS, Run, as_root
from tests.servers import REPOSITORY, Server, running_server

pytestmark = [pytest.mark.e2e, as_root]


class Site:
    """A server as `examples/config-mtls.json` sets it up, and a directory of what clients need to know and show."""

    def __init__(self, server: Server, trusted: Path, stranger: Path) -> None:
        self.server, self.trusted, self.stranger = server, trusted, stranger
        self.host = f"{FURTHER_ADDRESS}:{server.port}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, further_address: str) -> Iterator[Site]:
    """The example, with certificates made for it; ci may push, and another holder of a certificate may pull."""
    directory = tmp_path_factory.mktemp("mtls")
    servers, clients = Authority(directory, further_address), ClientAuthority()
    config = json.loads((REPOSITORY / "examples/config-mtls.json").read_text())
    config["storage"]["rootDirectory"] = str(directory / "root")
    tls = config["http"]["tls"]
    assert set(tls) == {"cert", "key", "cacert"}
    tls.update(servers.tls, cacert=str(directory / "clients.pem"))
    config["http"] |= {"address": further_address, "port": 0}
    (directory / "clients.pem").write_bytes(clients.pem)
    (directory / "mtls.json").write_text(json.dumps(config))
    for name, user in (("trusted", "ci"), ("stranger", "eve")):
        (directory / name).mkdir()
        shutil.copy(servers.file, directory / name / "ca.crt")
        clients.issue(user).files(directory / name)
    with running_server(directory, "--workers", "2", config=directory / "mtls.json", authority=servers.file) as server:
        yield Site(server, directory / "trusted", directory / "stranger")


def test_docker(site: Site, docker: Run, layers: list[Path]) -> None:
    """Docker shows the certificate that lies with the registry's name, pushes and pulls, and needs no login."""
    shown = Path(f"/etc/docker/certs.d/{site.host}")
    image = f"{site.host}/docker/app:v1"
    docker("import", str(layers[0]), image)
    try:
        shutil.copytree(site.trusted, shown)
        digest = docker("push", image).partition("digest: ")[2].split()[0]
        docker("rmi", "-f", image)
        assert digest in docker("pull", image)
    finally:
        shutil.rmtree(shown)


def test_podman(site: Site, podman: Run, layers: list[Path]) -> None:
    """Podman pushes with ci's certificate; with another's it is told who may not, and without one nothing at all."""
    image = f"docker://{site.host}/podman/app:v1"
    podman("import", layers[0], "localhost/app:v1")
    podman("push", "--cert-dir", site.trusted, "localhost/app:v1", image)
    podman("pull", "--cert-dir", site.stranger, image)
    with pytest.raises(AssertionError, match=r"denied|'eve'"):
        podman("push", "--cert-dir", site.stranger, "localhost/app:v1", image + "2")


def test_curl(site: Site, run: Run) -> None:
    """The manual's own client: curl with --cert and --key, and curl without."""
    ca, url = ["--silent", "--cacert", site.trusted / "ca.crt"], f"https://{site.host}/v2/"
    shown = ["--cert", site.trusted / "client.cert", "--key", site.trusted / "client.key"]
    assert run("curl", *ca, *shown, url) == "{}"
    assert "UNAUTHORIZED" in run("curl", *ca, url)
