"""How often a client may ask."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zot.api.rates import Limits, Rates, Table
from zot.app import create_app
from zot.config import Config


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@given(rate=st.integers(1, 50), steps=st.lists(st.tuples(st.floats(0, 2), st.integers(1, 60)), max_size=20))
def test_a_client_gets_its_rate_and_not_more(rate: int, steps: list[tuple[float, int]]) -> None:
    """However a client spreads its requests, those that are served are those of a bucket that fills at the rate."""
    clock = Clock()
    table = Table(clock)
    in_hand = float(rate)
    for pause, asked in steps:
        clock.now += pause
        in_hand = min(rate, in_hand + pause * rate)
        for _ in range(asked):
            # Where the two are within rounding of the border, either is right.
            if abs(in_hand - 1) < 1e-6:
                return
            served = not table.take(7, rate)
            assert served == (in_hand >= 1)
            in_hand -= served


def test_the_wait_is_long_enough() -> None:
    """A client that waits as long as it is told to is served."""
    clock = Clock()
    table = Table(clock)
    assert [table.take(7, 3) > 0 for _ in range(5)] == [False, False, False, True, True]
    clock.now += table.take(7, 3)
    assert table.take(7, 3) == 0


def test_many_clients_are_told_apart_and_the_busy_are_remembered() -> None:
    """Thousands of clients have a count each; when there is no room, those who asked least recently are forgotten."""
    clock = Clock()
    table = Table(clock)
    busy = 12345678901234567
    for _ in range(5):
        table.take(busy, 5)
    for client in range(200_000):
        table.take(client * 7919 + 1, 1000)
    assert table.take(busy, 5) > 0


def test_addresses_are_clients_and_ipv6_networks_are() -> None:
    """Each IPv4 address is counted for itself, and all IPv6 addresses of a network of 64 bits together."""
    rates = Rates(Table(Clock()), Limits(1, {}))
    assert rates.refusal("10.0.0.1", "GET", "/v2/") is None
    assert rates.refusal("10.0.0.1", "GET", "/v2/") is not None
    assert rates.refusal("10.0.0.2", "GET", "/v2/") is None
    assert rates.refusal("2001:db8::1", "GET", "/v2/") is None
    assert rates.refusal("2001:db8::ffff:1%eth0", "GET", "/v2/") is not None
    assert rates.refusal("2001:db8:0:1::1", "GET", "/v2/") is None
    assert rates.refusal("no address: x", "GET", "/v2/") is None


def test_methods_have_limits_of_their_own() -> None:
    """A limit on one method leaves the others alone, and a limit on all counts every one."""
    rates = Rates(Table(Clock()), Limits(4, {"PUT": 1}))
    outcomes = [rates.refusal("10.0.0.1", method, "/v2/") is None for method in ("PUT", "PUT", "GET", "GET", "GET")]
    assert outcomes == [True, False, True, True, False]


def test_probes_are_never_refused() -> None:
    """A flood from the address of a probe does not make the server look dead."""
    rates = Rates(Table(Clock()), Limits(1, {}))
    for _ in range(5):
        assert rates.refusal("10.0.0.1", "GET", "/livez") is None
        assert rates.refusal("10.0.0.1", "GET", "/readyz") is None


@pytest.mark.parametrize("header", [{}, {"X-Forwarded-For": "10.9.9.9"}])
def test_the_answer(tmp_path: Path, header: dict[str, str]) -> None:
    """Whoever asks too often gets 429 with an error document and Retry-After, whatever X-Forwarded-For says."""
    limit = {"rate": 100, "methods": [{"method": "get", "rate": 1}]}
    settings = {"storage": {"rootDirectory": str(tmp_path / "root")}, "http": {"ratelimit": limit}}
    client = create_app(Config.model_validate(settings)).test_client()
    assert client.get("/v2/").status_code == 200
    answer = client.get("/v2/", headers=header)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
    assert answer.headers["X-Request-Id"]
    assert answer.json is not None
    assert answer.json["errors"][0]["code"] == "TOOMANYREQUESTS"
    assert answer.json["errors"][0]["detail"]["limit"] == 1
    assert client.head("/v2/none/manifests/v1").status_code == 404
