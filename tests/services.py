"""S3 servers for tests, each in a process of its own on free ports of the loopback address."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from tests.servers import PATIENCE, free_port, wait_until

ACCESS_KEY, SECRET_KEY = "the-access-key", "the-secret-key"
BUCKET = "registry"


@dataclass(frozen=True)
class S3Server:
    """A running S3 server with an empty bucket."""

    endpoint: str
    pid: int
    bucket: str = BUCKET

    def driver(self, root: str = "") -> dict[str, str]:
        """Return the section `storage.storageDriver` of a configuration that uses the bucket."""
        return {
            "name": "s3",
            "bucket": self.bucket,
            "region": "us-east-1",
            "regionendpoint": self.endpoint,
            "rootdirectory": root,
            "accesskey": ACCESS_KEY,
            "secretkey": SECRET_KEY,
        }


@contextmanager
def moto(directory: Path) -> Iterator[S3Server]:
    """Run moto, an imitation that is started soon and checks no signatures."""
    port = free_port()
    command = [sys.executable, str(Path(__file__).with_name("moto_server.py")), str(port)]
    url = f"http://127.0.0.1:{port}"
    with _running(command, directory, lambda: _answers(f"{url}/moto-api/data.json")) as process:
        yield _with_bucket(S3Server(url, process.pid))


@contextmanager
def seaweedfs(directory: Path, weed: str) -> Iterator[S3Server]:
    """Run SeaweedFS, whose program is `weed`."""
    identity = {
        "name": "registry",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (directory / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (directory / "data").mkdir(exist_ok=True)
    ports = {
        f"{part}.port{kind}": free_port()
        for part in ("master", "volume", "filer", "s3", "admin")
        for kind in ("", ".grpc")
    }
    command = [
        weed, "-logtostderr=true", "mini", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={directory}/data",
        f"-s3.config={directory}/s3.json", "-admin.ui=false", "-webdav=false", "-s3.port.iceberg=0",
        "-s3.port.lance=0", "-metricsPort=0", "-master.telemetry=false", "-s3.autoCreateBucket=false",
        "-volume.preStopSeconds=0", *(f"-{name}={port}" for name, port in ports.items()),
    ]  # fmt: skip
    url = f"http://127.0.0.1:{ports['s3.port']}"
    with _running(command, directory, lambda: _answers(f"{url}/healthz")) as process:
        yield _with_bucket(S3Server(url, process.pid))


@contextmanager
def minio(directory: Path, program: str) -> Iterator[S3Server]:
    """Run MinIO."""
    address = f"127.0.0.1:{free_port()}"
    settings = {
        "MINIO_ROOT_USER": ACCESS_KEY,
        "MINIO_ROOT_PASSWORD": SECRET_KEY,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
    }
    command = [program, "server", "--quiet", "--address", address, str(directory / "data")]
    url = f"http://{address}"
    with _running(command, directory, lambda: _answers(f"{url}/minio/health/ready"), settings) as process:
        yield _with_bucket(S3Server(url, process.pid))


@contextmanager
def _running(
    command: list[str], directory: Path, is_ready: Callable[[], bool], settings: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until it is used no more; its output is in `server.log` of the directory."""
    with (directory / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, cwd=directory, env=os.environ | (settings or {})
        )
    try:
        wait_until(lambda: process.poll() is not None or is_ready(), f"{command[0]} serves")
        assert process.poll() is None, (directory / "server.log").read_text()[-2000:]
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(url: str) -> bool:
    with (
        suppress(OSError),
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as answer,
    ):
        return bool(answer.status == 200)
    return False


def _with_bucket(server: S3Server) -> S3Server:
    """Make the bucket, and see that it takes objects; a server that has just begun may need a moment for both."""
    client = boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
    )
    try:
        wait_until(lambda: _is_done(client, lambda: client.create_bucket(Bucket=server.bucket)), "a bucket is made")
        first = bytes(1024 * 1024)
        wait_until(
            lambda: _is_done(client, lambda: client.put_object(Bucket=server.bucket, Key="first", Body=first)),
            "it takes objects",
        )
        client.delete_object(Bucket=server.bucket, Key="first")
        return server
    finally:
        client.close()


def _is_done(client: Any, act: Callable[[], object]) -> bool:
    with suppress(client.exceptions.ClientError):
        act()
        return True
    return False


def listens(port: int) -> bool:
    """Tell whether somebody listens on a port of the loopback address."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
