"""A server that is asked for nothing good, and must hold in the end what it held before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hostile.wire import push_image, stored
from tests.servers import Server, running_server


@pytest.fixture(scope="module")
def besieged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the repository `good`; after a module's tests it holds that and nothing else."""
    with running_server(tmp_path_factory.mktemp("besieged"), "--workers", "2") as running:
        push_image(running, "good")
        before = stored(running.root)
        yield running
        assert stored(running.root) == before
        assert running.request("GET", "/v2/_catalog")[2] == b'{"repositories":["good"]}'
