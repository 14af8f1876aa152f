"""A clock that jumps: pushes, uploads under way and the index go on, back an hour and forward a year."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.crashes.audit import Audit
from tests.clock import JumpingClock, jumping_clock
from tests.failures.conftest import Start, pulls, push_image
from tests.images import digest_of
from tests.servers import Server, wait_until

HOUR, YEAR = 3600, 365 * 86400


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> JumpingClock:
    """The clock of the server's processes.

    The one that measures how long something takes does not jump, here as elsewhere.
    """
    return jumping_clock(monkeypatch, tmp_path)


def pushed(server: Server, tag: str) -> float:
    """Return when a tag was pushed, as the server thinks."""
    found: float = json.loads((server.root / "_zot-blobs/facts/a/tags" / tag).read_text())["pushed"]
    return found


@pytest.mark.parametrize("jump", [-HOUR, YEAR, -YEAR], ids=["an hour back", "a year on", "a year back"])
def test_the_clock_jumps(clock: JumpingClock, start: Start, jump: int) -> None:
    """What was begun before the jump is finished after it, and what was there can be moved, listed and deleted."""
    server = start()
    body = push_image(server, "a", "v1", "v2")
    content = b"upload" * 1000
    session = server.request("POST", "/v2/a/blobs/uploads/")[1]["location"]
    assert server.request("PATCH", session, content[:3000])[0] == 202
    before = pushed(server, "v1")
    clock.jump(jump)
    assert server.request("PATCH", session, content[3000:])[0] == 202
    assert server.request("PUT", f"{session}?digest={digest_of(content)}")[0] == 201
    assert server.request("GET", f"/v2/a/blobs/{digest_of(content)}")[2] == content
    new = push_image(server, "a", "v1", "v3", note="after the jump")
    assert pushed(server, "v3") - before == pytest.approx(jump, abs=60)
    assert pulls(server, "a", "v1")
    assert server.request("DELETE", "/v2/a/manifests/v2")[0] == 202
    assert json.loads(server.request("GET", "/v2/a/tags/list")[2])["tags"] == ["v1", "v3"]
    index, entries = (
        server.root / "a/index.json",
        {(digest_of(new), "v1"), (digest_of(new), "v3"), (digest_of(body), None)},
    )
    wait_until(lambda: index.exists() and Audit(server.root).index("a") == entries, "the index catches up")
    clock.jump(0)
    assert server.request("DELETE", f"/v2/a/manifests/{digest_of(new)}")[0] == 202
    assert server.request("GET", f"/v2/a/manifests/{digest_of(body)}")[2] == body
