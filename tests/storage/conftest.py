"""The drivers that the contract suite runs on."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.services import ACCESS_KEY, SECRET_KEY, S3Server
from zot.storage.filesystem import Filesystem
from zot.storage.memory import Memory
from zot.storage.protocol import Storage
from zot.storage.s3 import S3, Settings

# MinIO takes minutes to build: scripts/full asks for it.
REAL = ("seaweedfs", "minio") if os.environ.get("ZOT_FULL") else ("seaweedfs",)


@contextmanager
def bucket_driver(server: S3Server) -> Iterator[S3]:
    """Open a driver on a root of its own in a server's bucket."""
    settings = Settings(
        server.bucket,
        endpoint=server.endpoint,
        root=uuid.uuid4().hex,
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        part_size=5 * 1024 * 1024,
    )
    driver = S3(settings, private="_own")
    driver.start()
    yield driver
    driver.close()


@pytest.fixture(params=["filesystem", "memory", "moto", *(pytest.param(real, marks=pytest.mark.e2e) for real in REAL)])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    """An empty store of each driver."""
    if request.param == "memory":
        yield Memory()
    elif request.param == "filesystem":
        on_disk = Filesystem(str(tmp_path / "root"), private="_own")
        assert on_disk.start(), "the file system of the temporary directory has hard links"
        yield on_disk
    else:
        with bucket_driver(request.getfixturevalue(request.param)) as driver:
            yield driver
