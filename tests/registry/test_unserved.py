"""Layouts below the roots that are not served, and what is said about them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zot.config import Config
from zot.registry import unserved
from zot.registry.unserved import Looked


def layout(root: Path, name: str = "") -> None:
    """Make what looks like an image layout."""
    directory = root / name
    (directory / "blobs/sha256").mkdir(parents=True)
    (directory / "oci-layout").write_text("{}")
    (directory / "index.json").write_text("{}")


def look(root: Path, below: dict[str, str] | None = None, **options: Any) -> Looked:
    """Look below a root, with sub-paths if some are given."""
    paths = {route: {"rootDirectory": root} for route, root in (below or {}).items()}
    return unserved.look(Config.model_validate({"storage": {"rootDirectory": str(root), "subPaths": paths}}), **options)


def test_good_names_are_counted(tmp_path: Path) -> None:
    """What is served is no finding; hidden directories, and what is below a layout's blobs, are passed by."""
    for name in ("a", "team/app", "team/app/deep", ".sync/x/App", "a/blobs/App"):
        layout(tmp_path, name)
    assert look(tmp_path) == Looked(left=unserved.MOST - 5, served=3)


@pytest.mark.parametrize("name", ["App", "team/App", "_base/app", "a b", "a..b", "x" * 250 + "/" + "y" * 10])
def test_what_is_no_name(tmp_path: Path, name: str) -> None:
    """A directory that no name leads to is told with the reason, and how to call it."""
    layout(tmp_path, name)
    (one,) = look(tmp_path).unserved
    assert one.directory == f"{tmp_path}/{name}"
    assert "can't name a repository" in one.why
    assert one.remedy.startswith("rename the directory: ")


def test_what_lies_in_another_store(tmp_path: Path) -> None:
    """A layout whose name belongs to another store is told with where to put it; one that lies right is served."""
    root, fast = tmp_path / "root", tmp_path / "fast"
    for directory, name in (
        (root, "fast/app"),
        (root, "fast"),
        (fast, "fast/other"),
        (fast, "app"),
        (fast, "team/app"),
    ):
        layout(directory, name)
    looked = look(root, {"/fast": str(fast)})
    assert looked.served == 2
    told = {one.directory: one for one in looked.unserved}
    moved = told[f"{root}/fast/app"]
    assert moved.why == f"repositories called fast/app are looked for in {fast} (storage.subPaths./fast.rootDirectory)"
    assert moved.remedy == f"move it to {fast}/fast/app"
    for name in ("app", "team/app"):
        assert told[f"{fast}/{name}"].remedy == f"move it to {fast}/fast/{name}, as fast/{name} or to {root}/{name}"
    assert len(told) == 3


def test_a_root_that_is_too_low(tmp_path: Path) -> None:
    """A root that is a layout, or a part of a registry's data, is told with the directory to name instead."""
    layout(tmp_path, "registry/app")
    (one,) = look(tmp_path / "registry/app").unserved
    assert one.remedy == f"set storage.rootDirectory to {tmp_path}/registry, and it is the repository app"
    (tmp_path / "registry/_zot-blobs").mkdir()
    layout(tmp_path, "registry/team/app")
    looked = look(tmp_path / "registry/team")
    (one,) = looked.unserved
    assert (one.directory, one.remedy) == (f"{tmp_path}/registry", f"set storage.rootDirectory to {tmp_path}/registry")
    assert looked.served == 1


def test_a_root_that_is_too_high(tmp_path: Path) -> None:
    """A registry's data below a root is told, as its repositories have longer names there."""
    layout(tmp_path, "registry/app")
    (tmp_path / "registry/_zot-blobs").mkdir()
    (one,) = look(tmp_path).unserved
    assert one.directory == f"{tmp_path}/registry"
    assert "names that begin with registry/" in one.why
    assert one.remedy.startswith("set storage.rootDirectory to it if that is not meant")


def test_a_root_out_of_reach_is_passed_by(tmp_path: Path, need: Callable[..., str]) -> None:
    """Nothing is found below a directory that is closed to this user, and nothing is raised."""
    layout(tmp_path, "shut/root/App")
    (tmp_path / "shut").chmod(0o600)
    # The superuser gets everywhere, unless that ability is taken away.
    bounds = "--bounding-set=-dac_override,-dac_read_search"
    drop = [need("setpriv", "install util-linux"), bounds] if os.geteuid() == 0 else []
    script = (
        "import sys; from zot.config import Config; from zot.registry.unserved import look;"
        "print(look(Config.model_validate({'storage': {'rootDirectory': sys.argv[1]}})).unserved)"
    )
    command = [*drop, sys.executable, "-c", script, str(tmp_path / "shut/root")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_work_is_bounded(tmp_path: Path) -> None:
    """No more directories are looked at than is said; a root that is not there is none."""
    for number in range(20):
        layout(tmp_path, f"a/b{number}")
    looked = look(tmp_path, most=7)
    assert (looked.left, looked.served) == (0, 5)
    assert look(tmp_path / "nowhere").served == 0
    assert not (tmp_path / "nowhere").exists()
