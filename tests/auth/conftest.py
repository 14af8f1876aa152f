"""A directory, for all tests of logins."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.auth.slapd import Slapd


@pytest.fixture(scope="session")
def slapd(tmp_path_factory: pytest.TempPathFactory, need: Callable[..., str]) -> Iterator[Slapd]:
    """A running slapd, with alice (of the group devs), bob, both, and a*b."""
    need("ldapadd")
    server = Slapd(need("slapd"), tmp_path_factory.mktemp("slapd"))
    yield server
    server.stop()
