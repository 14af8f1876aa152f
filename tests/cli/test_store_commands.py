"""The commands that look into the store and change it, while a server runs and when none does."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.cli.test_commands import run
from tests.images import digest_of
from tests.servers import PATIENCE, environment, running_server, zot
from zot.oci.media_types import OCI_INDEX, OCI_MANIFEST
from zot.registry import changes, paths
from zot.storage.filesystem import Filesystem

CONFIG = json.dumps({"os": "linux", "architecture": "amd64"}).encode()
LAYER = b"0123456789" * 20_000
DIGEST = digest_of(LAYER)


class Filled(NamedTuple):
    """A configuration whose store holds `a/app` and `b`, which share the layer, and the digest of their image."""

    config: str
    digest: str
    root: Path


def descriptor(content: bytes, media_type: str) -> dict[str, Any]:
    """Return a descriptor."""
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


@pytest.fixture(params=["running", "stopped"])
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Filled]:
    """A store that was filled through a server, which runs or was stopped."""
    layer = descriptor(LAYER, "application/vnd.oci.image.layer.v1.tar")
    config = descriptor(CONFIG, "application/vnd.oci.image.config.v1+json")
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer]}).encode()
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor(body, OCI_MANIFEST)]}
    with running_server(tmp_path, "--workers", "2") as server:
        for name in ("a/app", "b"):
            for blob in (LAYER, CONFIG):
                path = f"/v2/{name}/blobs/uploads/?digest={digest_of(blob)}"
                assert server.request("POST", path, blob)[0] == 201
            for tag in ("v1", "v2"):
                path = f"/v2/{name}/manifests/{tag}"
                assert server.request("PUT", path, body, {"Content-Type": OCI_MANIFEST})[0] == 201
        path = "/v2/b/manifests/multi"
        assert server.request("PUT", path, json.dumps(index).encode(), {"Content-Type": OCI_INDEX})[0] == 201
        if request.param == "stopped":
            server.stop()
        yield Filled(str(tmp_path / "config.json"), digest_of(body), server.root)


def read(*arguments: str) -> Any:
    """Run a command that must succeed and return its JSON."""
    done = run(*arguments, "--output", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def keys(document: Any) -> Iterator[str]:
    """Return all keys of a document."""
    if isinstance(document, dict):
        yield from document
    for part in document.values() if isinstance(document, dict) else document if isinstance(document, list) else ():
        yield from keys(part)


def test_repositories_are_listed_in_pages(filled: Filled) -> None:
    """A page says where the next begins, and the last one that there is none; text is a name a line."""
    assert read("repo", "list", "--config", filled.config, "--limit", "1") == {
        "repositories": ["a/app"],
        "next": "a/app",
    }
    following = read("repo", "list", "--config", filled.config, "--after", "a/app")
    assert following == {"repositories": ["b"], "next": None}
    assert run("repo", "list", "--config", filled.config).stdout == "a/app\nb\n"


def test_tags_are_listed_in_pages(filled: Filled) -> None:
    """Each tag comes with what it stands for; the text has a row for each."""
    page = read("tag", "list", "a/app", "--config", filled.config, "--limit", "1")
    assert [(tag["tag"], tag["digest"]) for tag in page["tags"]] == [("v1", filled.digest)]
    assert page["next"] == "v1"
    shown = run("tag", "list", "a/app", "--config", filled.config).stdout.splitlines()
    assert [line.split()[0] for line in shown] == ["TAG", "v1", "v2"]


def test_an_image_is_shown(filled: Filled) -> None:
    """By tag and by digest it is the same image, with platform, layers and tags; a repository shows each once."""
    by_tag = read("image", "show", "a/app:v1", "--config", filled.config)
    assert by_tag == read("image", "show", f"a/app@{filled.digest}", "--config", filled.config)
    assert by_tag["images"][0]["image"]["platform"] == "linux/amd64"
    assert by_tag["images"][0]["tags"] == ["v1", "v2"]
    assert by_tag["images"][0]["image"]["layers"][0]["size"] == len(LAYER)
    assert by_tag["images"][0]["image"]["mediaType"] == OCI_MANIFEST
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", by_tag["images"][0]["pushed"])
    assert not [key for key in keys(by_tag) if "_" in key]
    assert len(read("image", "show", "b", "--config", filled.config)["images"]) == 2
    text = run("image", "show", "b:multi", "--config", filled.config).stdout
    assert "linux/amd64" in text
    assert filled.digest in text


def test_a_deleted_tag_is_gone(filled: Filled) -> None:
    """A tag is taken away and its image stays; if one of several is not there, none is taken away."""
    refused = run("tag", "delete", "a/app", "v1", "v9", "--config", filled.config)
    assert (refused.returncode, "a/app has no tag 'v9', so nothing is deleted" in refused.stderr) == (1, True)
    assert len(read("tag", "list", "a/app", "--config", filled.config)["tags"]) == 2
    unasked = run("tag", "delete", "a/app", "v1", "--config", filled.config)
    assert (unasked.returncode, "add --yes" in unasked.stderr) == (2, True)
    assert len(read("tag", "list", "a/app", "--config", filled.config)["tags"]) == 2
    assert read("tag", "delete", "a/app", "v1", "--yes", "--config", filled.config)["deleted"][0]["tag"] == "v1"
    assert [tag["tag"] for tag in read("tag", "list", "a/app", "--config", filled.config)["tags"]] == ["v2"]
    assert read("image", "show", f"a/app@{filled.digest}", "--config", filled.config)["images"][0]["tags"] == ["v2"]
    deleted = read("tag", "delete", "b:v1", "v2", "--yes", "--config", filled.config)["deleted"]
    assert [one["tag"] for one in deleted] == ["v1", "v2"]
    noted = changes.read(Filesystem(str(filled.root), private=paths.PRIVATE), "b")
    assert noted is not None
    assert noted.about is None or {str(digest) for digest in noted.about} >= {one["digest"] for one in deleted}


def test_a_tag_that_can_not_be_read_is_named(filled: Filled) -> None:
    """With what to do about it, which does help."""
    (filled.root / paths.tag("b", "v1")).write_text("damaged")
    for command in (("list", "b"), ("delete", "b", "v1", "--yes")):
        done = run("tag", *command, "--config", filled.config)
        assert done.returncode == 1
        assert "zot: the tag 'v1' of b can't be read: " in done.stderr
        assert "push it again, or delete it through the server" in done.stderr
    with running_server(filled.root.parent, config=Path(filled.config)) as server:
        assert server.request("DELETE", "/v2/b/manifests/v1")[0] == 202
    assert run("tag", "list", "b", "--config", filled.config).returncode == 0


def test_space_is_told(filled: Filled) -> None:
    """What the two repositories share counts for both and is stored once."""
    (store,) = read("du", "--config", filled.config)["stores"]
    held = {one["repository"]: one for one in store["repositories"]}
    assert held["a/app"]["size"] > len(LAYER) > held["b"]["unique"] > 0
    assert store["totals"]["saved"] >= len(LAYER)
    assert "saved by sharing" in run("du", "--config", filled.config).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tag", "list", "nothing"), "there is no repository 'nothing'"),
        (("image", "show", "nothing:v1"), "there is no repository 'nothing'"),
        (("tag", "delete", "nothing", "v1"), "there is no repository 'nothing'"),
        (("gc", "run", "--repo", "nothing"), "there is no repository 'nothing'"),
        (("retention", "run", "--plan", ""), "there is no plan ''"),
        (("retention", "run", "--plan", "../runs"), "there is no plan '../runs'"),
        (("job", "show", ""), "there is no run ''"),
        (("job", "show", "7" * 300), "there is no run '777"),
    ],
)
def test_what_is_not_there_is_one_line(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    """An unknown repository, run or plan is one line with a remedy, and status 1."""
    config = configured(tmp_path)
    (tmp_path / "root/_zot-blobs").mkdir(parents=True)
    done = run(*arguments, "--config", str(config))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tag", "list", "UPPER"), "can't name a repository"),
        (("tag", "delete", "a", "b c"), "is not a tag"),
        (("image", "show", "BAD NAME"), "can't name a repository"),
        (("image", "show", "a@sha256:1"), "is not a digest"),
        (("tag", "delete", "a"), "zot tag delete a TAG..."),
        (("tag", "delete", f"a@{DIGEST}", "v1"), "zot tag delete a TAG..."),
        (("tag", "list", "team/app:v5"), "'team/app:v5': write team/app"),
        (("tag", "list", "127.0.0.1:5000/team/app:v5"), "v5': write team/app"),
        (("image", "show", "127.0.0.1:5000/team/app:v5"), "v5': write team/app:v5"),
        (("image", "show", f"localhost:5000/a@{DIGEST}"), f"write a@{DIGEST}"),
        (("layout", "sync", "UPPER"), "can't name a repository"),
        (("gc", "run", "--repo", "UPPER"), "can't name a repository"),
        (("scrub", "run", "--repo", "UPPER"), "can't name a repository"),
        (("retention", "plan", "--repo", "UPPER"), "can't name a repository"),
        (("retention", "explain", "UPPER:v1"), "can't name a repository"),
        (("auth", "explain", "--repo", "FAST/app", "--action", "pull"), "can't name a repository"),
    ],
)
def test_what_can_be_no_name_is_wrong_use(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    """A malformed name, tag or digest is told with its remedy, and status 2."""
    done = run(*arguments, "--config", str(configured(tmp_path)))
    assert done.returncode == 2, done.stderr
    assert said in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("repo", "list"),
        ("tag", "list", "a"),
        ("tag", "delete", "a", "v1"),
        ("image", "show", "a:v1"),
        ("du",),
        ("gc", "status"),
        ("retention", "plan"),
        ("job", "list"),
        ("scrub", "run"),
        ("layout", "sync"),
        ("apikey", "list"),
        ("apikey", "revoke", "46a45ce7-5d92-498a-a9cb-9654b1da3da1"),
    ],
    ids=" ".join,
)
def test_a_store_that_is_not_there_is_not_made(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Where there is no store, commands that look into it say so in one line, leave with 1, and make nothing."""
    done = run(*arguments, "--config", str(configured(tmp_path)))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"there is no store at {tmp_path}/root; check storage.rootDirectory" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


LOOKING = [
    ("repo", "list"),
    ("du",),
    ("gc", "status"),
    ("gc", "run", "--dry-run"),
    ("retention", "plan"),
    ("job", "list"),
    ("apikey", "list"),
    ("doctor",),
]


@pytest.mark.parametrize("arguments", [*LOOKING, ("gc", "run"), ("scrub", "run"), ("layout", "sync")], ids=" ".join)
def test_a_sub_path_without_a_root_is_empty(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """A sub-path whose root is not there yet is an empty store, which is said; its root is not made."""
    config = with_sub_path(tmp_path)
    done = run(*arguments, "--config", str(config))
    assert done.returncode == 0, done.stderr
    assert f"there is no store at {tmp_path}/fast yet" in done.stderr + done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "root"]


def test_nothing_is_found_on_a_sub_path_without_a_root(tmp_path: Path) -> None:
    """A repository there is unknown, as in any store where it is not."""
    config = with_sub_path(tmp_path)
    for missing in (("tag", "list", "fast/a"), ("tag", "delete", "fast/a:v1", "--yes"), ("image", "show", "fast/a:v1")):
        done = run(*missing, "--quiet", "--config", str(config))
        assert (done.returncode, "there is no repository 'fast/a'" in done.stderr) == (1, True), done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "root"]


@pytest.mark.parametrize(
    "arguments", [("gc", "run"), ("scrub", "run"), ("gc", "run", "--dry-run"), ("du",), ("doctor",)]
)
def test_a_sub_path_without_its_disk_is_warned_of(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """A directory with no store in it may be where a disk is not mounted: that is a warning, quiet or not."""
    config = with_sub_path(tmp_path)
    (tmp_path / "fast").mkdir()
    done = run(*arguments, "--quiet", "--config", str(config))
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path}/fast is there, but no store is in it" in done.stderr + done.stdout
    assert list((tmp_path / "fast").iterdir()) == []


@pytest.mark.parametrize("arguments", [("gc", "run"), ("scrub", "run"), ("repo", "list"), ("doctor",)], ids=" ".join)
def test_a_sub_path_out_of_reach_is_not_empty(
    tmp_path: Path, arguments: tuple[str, ...], need: Callable[..., str]
) -> None:
    """A root that this user can't get to is named and fails the command; it is no empty store."""
    config = with_sub_path(tmp_path, "shut/fast")
    (tmp_path / "shut/fast/_zot-blobs").mkdir(parents=True)
    (tmp_path / "shut").chmod(0o600)
    # The superuser gets everywhere, unless that ability is taken away.
    bounds = "--bounding-set=-dac_override,-dac_read_search"
    drop = [need("setpriv", "install util-linux"), bounds] if os.geteuid() == 0 else []
    command = [*drop, *zot(*arguments, "--config", str(config))]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=PATIENCE, check=False)
    assert (done.returncode, "a fault of zot" in done.stderr) == (1, False), done
    assert re.search(rf"{tmp_path}/shut/fast is not writable|can't be reached", done.stderr + done.stdout), done


@pytest.mark.parametrize("arguments", LOOKING, ids=" ".join)
def test_who_only_looks_needs_no_logs(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Where log and audit log can't be written to, commands that read go on, and those that change are refused.

    `doctor` goes on too, to say that a server could not write to them.
    """
    logs = {"output": str(tmp_path / "nowhere/log"), "audit": str(tmp_path / "nowhere/audit")}
    config = with_sub_path(tmp_path, log=logs)
    done = run(*arguments, "--config", str(config))
    tells = arguments == ("doctor",)
    assert (done.returncode, f"bad     log.audit {logs['audit']}" in done.stdout) == (int(tells), tells), done
    done = run("gc", "run", "--config", str(config))
    assert (done.returncode, "log.audit" in done.stderr) == (1, True)


def with_sub_path(directory: Path, fast: str = "fast", **more: Any) -> Path:
    """Write a configuration with a store, and a sub-path whose root is not there."""
    config = directory / "config.json"
    below = {"/fast": {"rootDirectory": str(directory / fast), "gc": True}}
    storage = {"rootDirectory": str(directory / "root"), "subPaths": below}
    config.write_text(json.dumps({"storage": storage, **more}))
    (directory / "root/_zot-blobs").mkdir(parents=True)
    return config


def configured(directory: Path) -> Path:
    """Write a configuration whose root is not there."""
    config = directory / "config.json"
    config.write_text(json.dumps({"storage": {"rootDirectory": str(directory / "root")}}))
    return config


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the superuser, who becomes the owner of the root")
def test_the_superuser_leaves_no_files_of_its_own(tmp_path: Path) -> None:
    """What a command run by root makes in the root belongs to its owner, so that the server can go on."""
    root = tmp_path / "root"
    (root / "_zot-blobs").mkdir(parents=True)
    shutil.chown(root / "_zot-blobs", 12345, 12345)
    for directory in (root, tmp_path, *list(tmp_path.parents)[:-2]):
        directory.chmod(0o755)
    shutil.chown(root, 12345, 12345)
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"storage": {"rootDirectory": str(root)}}))
    assert run("repo", "list", "--config", str(config)).returncode == 0
    owners = subprocess.run(["find", str(root), "-printf", "%U\n"], capture_output=True, text=True, check=True).stdout
    assert set(owners.split()) == {"12345"}
