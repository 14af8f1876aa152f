"""A server behind a proxy that speaks TLS to clients, set up by the files of `examples/deploy/proxies`.

No address that the server gives out leads past the proxy, and the proxy keeps no body.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.certificates import Authority
from tests.e2e.conftest import Run, as_root
from tests.images import digest_of
from tests.servers import PATIENCE, REPOSITORY, Server, free_port, running_server, wait_until

pytestmark = [pytest.mark.e2e, as_root]

FILES = {
    "nginx": ["nginx.conf"],
    "traefik": ["traefik.yaml", "traefik-registry.yaml"],
    "envoy": ["envoy.yaml"],
    "caddy": ["Caddyfile"],
    "haproxy": ["haproxy.cfg"],
}
NGINX = """
daemon off; user root; pid {d}/nginx.pid; error_log {d}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {d}/t1; proxy_temp_path {d}/t2; fastcgi_temp_path {d}/t3; uwsgi_temp_path {d}/t4;
    scgi_temp_path {d}/t5;
    include {d}/nginx.conf;
}}
"""
# Caddy would listen for its administrator too, and on port 80.
CADDY = "{\n admin off\n auto_https disable_redirects\n persist_config off\n}\n"
PIECE = 1024 * 1024


class Proxy(NamedTuple):
    """A proxy: its port, who signed its certificate, and the server behind it with its audit log."""

    port: int
    authority: Authority
    server: Server
    audit: Path

    @property
    def host(self) -> str:
        """What clients call the registry."""
        return f"127.0.0.1:{self.port}"

    def connect(self) -> http.client.HTTPSConnection:
        """Return a new connection to the proxy."""
        trusting = ssl.create_default_context(cafile=self.authority.file)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=PATIENCE, context=trusting)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> http.client.HTTPResponse:
        """Send a request; returns the answer, read."""
        with closing(self.connect()) as connection:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            answer.read()
            return answer


@pytest.fixture(scope="module", params=list(FILES))
def proxy(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, need: Callable[..., str]
) -> Iterator[Proxy]:
    """A proxy with TLS before a server that knows its own address."""
    directory = tmp_path_factory.mktemp(request.param)
    authority = Authority(directory)
    port = free_port()
    settings = {
        "http": {"port": 0, "externalUrl": f"https://127.0.0.1:{port}"},
        "log": {"audit": str(directory / "audit")},
    }
    with running_server(directory, "--workers", "2", settings=settings) as server:
        write_files(request.param, directory, authority, port, server.port)
        with (directory / "proxy.log").open("wb") as log:
            running = subprocess.Popen(
                [need(request.param), *arguments(request.param, directory)],
                stdout=log, stderr=log, cwd=directory, env=os.environ | {"HOME": str(directory)},
            )  # fmt: skip
        try:
            proxy = Proxy(port, authority, server, directory / "audit")
            wait_until(lambda: answers(proxy), f"{request.param} serves")
            yield proxy
        finally:
            running.terminate()
            running.wait(PATIENCE)


def write_files(name: str, directory: Path, authority: Authority, port: int, behind: int) -> None:
    """Write the files of a proxy, with ports and names of this test in the place of the example's."""
    replaced = {
        "/etc/ssl/registry.crt": str(authority.cert),
        "/etc/ssl/registry.key": str(authority.key),
        "/etc/ssl/registry.pem": f"{directory}/both.pem",
        "/etc/traefik/registry.yaml": f"{directory}/traefik-registry.yaml",
        "127.0.0.1:8080": f"127.0.0.1:{behind}",
        "address: 127.0.0.1, port_value: 8080": f"address: 127.0.0.1, port_value: {behind}",
        "address: 0.0.0.0, port_value: 443": f"address: 127.0.0.1, port_value: {port}",
        "listen 443": f"listen 127.0.0.1:{port}",
        '":443"': f'"127.0.0.1:{port}"',
        "bind :443": f"bind 127.0.0.1:{port}",
        "\nregistry.example.com {": f"\nhttps://127.0.0.1:{port} {{",
    }
    (directory / "both.pem").write_bytes(authority.cert.read_bytes() + authority.key.read_bytes())
    for file in FILES[name]:
        text = "\n" + (REPOSITORY / "examples/deploy/proxies" / file).read_text()
        for old, new in replaced.items():
            text = text.replace(old, new)
        (directory / file).write_text(CADDY + text if name == "caddy" else text)
    (directory / "whole.conf").write_text(NGINX.format(d=directory))


def arguments(name: str, directory: Path) -> list[str]:
    """Return how a proxy is started with its files."""
    match name:
        case "nginx":
            return ["-p", str(directory), "-c", str(directory / "whole.conf")]
        case "traefik":
            return [f"--configFile={directory}/traefik.yaml", "--global.checkNewVersion=false"]
        case "envoy":
            # Envoys of one machine share memory by this number.
            return ["-c", str(directory / "envoy.yaml"), "--concurrency", "2", "--use-dynamic-base-id"]
        case "caddy":
            return ["run", "--config", str(directory / "Caddyfile"), "--adapter", "caddyfile"]
    return ["-f", str(directory / "haproxy.cfg")]


def answers(proxy: Proxy) -> bool:
    """Tell whether the registry is there, through the proxy."""
    try:
        return proxy.request("GET", "/v2/").status == 200
    except (OSError, http.client.HTTPException):
        return False


def test_addresses_are_relative(proxy: Proxy) -> None:
    """Location and Link lead wherever the client is: to the proxy, not to the server behind it."""
    begun = proxy.request("POST", "/v2/a/blobs/uploads/")
    where = begun.headers["Location"]
    assert where.startswith("/v2/a/blobs/uploads/")
    assert proxy.request("PATCH", where, b"x").headers["Location"] == where
    done = proxy.request("PUT", f"{where}?digest={digest_of(b'x')}")
    assert (done.status, done.headers["Location"]) == (201, f"/v2/a/blobs/{digest_of(b'x')}")
    proxy.request("POST", f"/v2/b/blobs/uploads/?digest={digest_of(b'x')}", b"x")
    assert proxy.request("GET", "/v2/_catalog?n=1").headers["Link"] == '</v2/_catalog?n=1&last=a>; rel="next"'


def test_bodies_are_passed_on(proxy: Proxy) -> None:
    """A large push reaches the server while it is sent; a large pull comes back whole, and so do range and length."""
    content = b"".join(bytes([number]) * PIECE for number in range(64))
    digest = digest_of(content)
    where = proxy.request("POST", "/v2/large/blobs/uploads/").headers["Location"]
    uploads = proxy.server.root / "_zot-blobs/uploads"
    with closing(proxy.connect()) as connection:
        connection.putrequest("PATCH", where)
        connection.putheader("Content-Length", str(len(content)))
        connection.endheaders(content[:-PIECE])
        wait_until(
            lambda: sum(file.stat().st_size for file in uploads.iterdir()) > len(content) / 2,
            "the server has most of it before the client has sent it all",
        )
        connection.send(content[-PIECE:])
        assert connection.getresponse().status == 202
    assert proxy.request("PUT", f"{where}?digest={digest}").status == 201
    with closing(proxy.connect()) as connection:
        connection.request("GET", f"/v2/large/blobs/{digest}")
        assert digest_of(connection.getresponse().read()) == digest
        connection.request("GET", f"/v2/large/blobs/{digest}", headers={"Range": f"bytes={PIECE - 1}-{PIECE}"})
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (206, b"\x00\x01")
        connection.request("HEAD", f"/v2/large/blobs/{digest}")
        answer = connection.getresponse()
        answer.read()
        assert answer.headers["Content-Length"] == str(len(content))


def test_who_asks(proxy: Proxy) -> None:
    """The client of the log is the proxy, whatever the request says, and its name of the request is the answer's."""
    answer = proxy.request("POST", "/v2/who/blobs/uploads/", headers={"X-Forwarded-For": "192.0.2.9"})
    last = json.loads(proxy.audit.read_text().splitlines()[-1])
    assert (last["clientIP"], last["request"]) == ("127.0.0.1", answer.headers["X-Request-Id"])


def test_docker(proxy: Proxy, docker: Run, layers: list[Path]) -> None:
    """Docker pushes and pulls through the proxy."""
    trusted = Path(f"/etc/docker/certs.d/{proxy.host}")
    image = f"{proxy.host}/docker/app:v1"
    docker("import", str(layers[0]), image)
    trusted.mkdir(parents=True)
    try:
        shutil.copy(proxy.authority.file, trusted / "ca.crt")
        digest = docker("push", image).partition("digest: ")[2].split()[0]
        docker("rmi", "-f", image)
        assert digest in docker("pull", image)
    finally:
        shutil.rmtree(trusted)
    assert '"object": "/v2/docker/app/manifests/v1"' in proxy.audit.read_text()


def test_podman(proxy: Proxy, podman: Run, layers: list[Path], tmp_path: Path) -> None:
    """Podman pushes and pulls through the proxy."""
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    shutil.copy(proxy.authority.file, trusted / "ca.crt")
    podman("import", layers[0], "localhost/app:v1")
    podman("push", "--cert-dir", trusted, "localhost/app:v1", f"docker://{proxy.host}/podman/app:v1")
    podman("pull", "--cert-dir", trusted, f"{proxy.host}/podman/app:v1")
