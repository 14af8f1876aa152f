"""A server behind nginx, which speaks TLS to clients: no address that the server gives out leads past it."""

from __future__ import annotations

import http.client
import shutil
import socket
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
from tests.servers import running_server, wait_until

pytestmark = [pytest.mark.e2e, as_root]

SETTINGS = """
daemon off; user root; pid {d}/nginx.pid; error_log {d}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {d}/t1; proxy_temp_path {d}/t2; fastcgi_temp_path {d}/t3; uwsgi_temp_path {d}/t4;
    scgi_temp_path {d}/t5;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {cert}; ssl_certificate_key {key};
        client_max_body_size 0;
        location / {{
            proxy_pass {url};
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_buffering off;
            proxy_set_header Host $http_host;
            proxy_set_header X-Request-Id $request_id;
        }}
    }}
}}
"""


class Proxy(NamedTuple):
    """nginx: its port, who signed its certificate, and the audit log of the server behind it."""

    port: int
    authority: Authority
    audit: Path

    @property
    def host(self) -> str:
        """What clients call the registry."""
        return f"127.0.0.1:{self.port}"

    def request(self, method: str, path: str, body: bytes | None = None) -> http.client.HTTPResponse:
        """Send a request; returns the answer, read."""
        trusting = ssl.create_default_context(cafile=self.authority.file)
        with closing(http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=trusting)) as connection:
            connection.request(method, path, body)
            answer = connection.getresponse()
            answer.read()
            return answer


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, need: Callable[..., str]) -> Iterator[Proxy]:
    """An nginx with TLS before a server that knows its own address."""
    directory = tmp_path_factory.mktemp("nginx")
    authority = Authority(directory)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "http": {"port": 0, "externalUrl": f"https://127.0.0.1:{port}"},
        "log": {"audit": str(directory / "audit")},
    }
    with running_server(directory, "--workers", "2", settings=settings) as server:
        file = directory / "nginx.conf"
        file.write_text(SETTINGS.format(d=directory, port=port, cert=authority.cert, key=authority.key, url=server.url))
        nginx = subprocess.Popen([need("nginx"), "-p", str(directory), "-c", str(file)])
        try:
            wait_until(lambda: listens(port), "nginx listens")
            yield Proxy(port, authority, directory / "audit")
        finally:
            nginx.terminate()
            nginx.wait(30)


def listens(port: int) -> bool:
    """Tell whether somebody listens on a port."""
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


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


def test_docker(proxy: Proxy, docker: Run, layers: list[Path]) -> None:
    """Docker pushes and pulls through nginx; the audit log has the names that nginx gave the requests."""
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
    """Podman pushes and pulls through nginx."""
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    shutil.copy(proxy.authority.file, trusted / "ca.crt")
    podman("import", layers[0], "localhost/app:v1")
    podman("push", "--cert-dir", trusted, "localhost/app:v1", f"docker://{proxy.host}/podman/app:v1")
    podman("pull", "--cert-dir", trusted, f"{proxy.host}/podman/app:v1")
