"""`zot layout sync`, while a server runs and when none does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_commands import run
from tests.images import digest_of
from tests.layouts import LayoutWriter, tags_of
from tests.servers import Server, running_server, wait_until
from zot.registry import paths
from zot.registry.generations import GENERATION


@pytest.fixture(params=["running", "stopped"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server that took over the layout `a` with the tags v1 and v2; it runs or was stopped."""
    layout = LayoutWriter(tmp_path / "root/a")
    layout.image(b"layer", "v1", "v2")
    layout.write()
    with running_server(tmp_path, "--workers", "1") as server:
        assert server.request("GET", "/v2/a/manifests/v1")[0] == 200
        wait_until((server.root / paths.LED).exists, "the leader has looked at all layouts")
        wait_until(lambda: GENERATION in layout.index.read_text(), "the layout has a generation")
        if request.param == "stopped":
            server.stop()
        yield server


def sync(server: Server, *arguments: str) -> Any:
    """Run the command and return its document."""
    done = run("layout", "sync", *arguments, "-o", "json", "--config", str(server.root.parent / "config.json"))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["repositories"]


def test_what_another_program_adds(served: Server) -> None:
    """Sync says what it took over and added; again it has nothing to say."""
    layout, other = LayoutWriter(served.root / "a"), LayoutWriter(served.root / "b/c")
    layout.load()
    body = layout.image(b"new", "v3")
    layout.write()
    other.image(b"other", "v1")
    other.write()
    found = {one["repository"]: one for one in sync(served)}
    assert found["a"]["added"] == sorted([digest_of(body), "v3"])
    assert found["b/c"]["adopted"]
    assert sync(served) == []
    assert set(tags_of(layout.read())) == {"v1", "v2", "v3"}


def test_prune(served: Server) -> None:
    """A deletion is done when no server ran; else it is put back, and done with --prune."""
    layout = LayoutWriter(served.root / "a")
    layout.load()
    layout.remove("v1")
    layout.write()
    (found,) = sync(served, "a")
    if served.process.poll() is None:
        assert found["putBack"] == ["v1"]
        (found,) = sync(served, "a", "--prune")
    assert found["deleted"] == ["v1"]
    assert set(tags_of(layout.read())) == {"v2"}
    if served.process.poll() is None:
        assert served.request("GET", "/v2/a/manifests/v1")[0] == 404


def test_for_people(served: Server) -> None:
    """The text names each change on a line of its own."""
    layout = LayoutWriter(served.root / "a")
    layout.load()
    body = layout.image(b"new", "v3")
    layout.write()
    config = str(served.root.parent / "config.json")
    assert run("layout", "sync", "a", "-c", config).stdout == f"a: added {digest_of(body)}\na: added v3\n"
    assert "in step" in run("layout", "sync", "-c", config).stderr


def test_failures(served: Server) -> None:
    """An unknown repository and a damaged index leave with 1, wrong use with 2; each is said in a line."""
    config = str(served.root.parent / "config.json")
    (served.root / "a/index.json").write_text("{")
    damaged = run("layout", "sync", "a", "--config", config)
    for done, what in (
        (run("layout", "sync", "none", "--config", config), "there is no repository 'none'"),
        (damaged, "a/index.json can't be read"),
    ):
        assert done.returncode == 1
        assert what in done.stderr.splitlines()[-1]
    assert run("layout", "sync", "a", "b", "--config", config).returncode == 2


def test_a_damaged_index_is_written_anew(served: Server) -> None:
    """What is said to be done about one that nobody writes does help; until then no garbage is collected there."""
    config = str(served.root.parent / "config.json")
    index = served.root / "a/index.json"
    before = json.loads(index.read_text())["manifests"]
    index.write_text("{")

    def is_passed_over() -> bool:
        # The server's own run, which it makes when it has started, may be under way.
        return "zot layout sync a takes it in" in run("gc", "run", "a", "--config", config).stderr

    wait_until(is_passed_over, "garbage collection passes it over")
    assert "remove it and do this again" in run("layout", "sync", "a", "--config", config).stderr
    index.unlink()
    assert run("layout", "sync", "a", "--config", config).returncode == 0
    assert json.loads(index.read_text())["manifests"] == before
