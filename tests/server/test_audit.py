"""Changes that no request asked for are in the audit log too: by jobs, by commands, and by other programs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.images import OCI_MANIFEST, digest_of, manifest
from tests.server.test_logs import lines
from tests.servers import Server, environment, running_server, wait_until, zot

RULES = {"delay": "0s", "policies": [{"repositories": ["kept/**"], "keepTags": [{"patterns": ["^v"]}]}]}


def settings(directory: Path, *, gc: bool) -> dict[str, Any]:
    """Return sections with an audit log, and with a collection each second if `gc`."""
    return {
        "log": {"audit": str(directory / "audit"), "output": str(directory / "log")},
        "storage": {"gc": gc, "gcDelay": "0s", "gcInterval": "1s", "retention": RULES},
    }


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that leaves its store to commands."""
    with running_server(tmp_path, "--workers", "1", settings=settings(tmp_path, gc=False)) as running:
        yield running


def push(server: Server, name: str, tag: str, layer: bytes) -> str:
    """Push an image, again if its blobs were collected before its manifest came; returns its digest."""
    body = manifest(layers=(layer,))

    def is_pushed() -> bool:
        for blob in (b"{}", layer):
            assert server.request("POST", f"/v2/{name}/blobs/uploads/?digest={digest_of(blob)}", blob)[0] == 201
        path = f"/v2/{name}/manifests/{tag}"
        status, _, answer = server.request("PUT", path, body, {"Content-Type": OCI_MANIFEST})
        assert status == 201 or b"MANIFEST_BLOB_UNKNOWN" in answer
        return status == 201

    wait_until(is_pushed, "it is pushed")
    return digest_of(body)


def changes(directory: Path) -> list[tuple[str, str, str, str]]:
    """Return who did what to what with which result, of all lines that are no request's."""
    found = [one for file in sorted(directory.glob("audit*")) for one in lines(file) if one["message"] == "change"]
    for one in found:
        assert one["host"]
        assert one["pid"] > 0
        assert one["reason"]
    return [(one["subject"], one["action"], one["object"], one["result"]) for one in found]


def run(directory: Path, *arguments: str, status: int = 0) -> None:
    """Run a command."""
    command = zot(*arguments, "--config", str(directory / "config.json"))
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == status, done


def test_a_job_of_the_schedule(tmp_path: Path) -> None:
    """What the collection deletes, tags by rules among it, has a line each, also after the log was renamed."""
    with running_server(tmp_path, "--workers", "1", settings=settings(tmp_path, gc=True)) as server:
        first = push(server, "a", "t", b"one")
        push(server, "a", "t", b"two")
        gone = {
            ("zot gc", "DELETE", f"/v2/a/manifests/{first}", "deleted"),
            ("zot gc", "DELETE", f"/v2/a/blobs/{digest_of(b'one')}", "deleted"),
        }
        wait_until(lambda: gone <= set(changes(tmp_path)), "the collection is audited")
        (tmp_path / "audit").rename(tmp_path / "audit.1")
        push(server, "kept/a", "other", b"three")
        line = ("zot retention", "DELETE", "/v2/kept/a/manifests/other", "deleted")
        wait_until(lambda: line in changes(tmp_path), "retention is audited")
        assert (tmp_path / "audit").exists()
        # A job that began before may write to the old file for a second.
        written = [*lines(tmp_path / "audit"), *lines(tmp_path / "audit.1")]
        assert {one["by"] for one in written if one["message"] == "change"} == {"schedule"}


def test_commands(server: Server, tmp_path: Path) -> None:
    """Commands that change the store say so there, with who ran them; a dry run changes nothing and says nothing."""
    first = push(server, "a", "t", b"one")
    push(server, "a", "t", b"two")
    push(server, "a", "u", b"three")
    run(tmp_path, "gc", "run", "--dry-run")
    assert changes(tmp_path) == []
    run(tmp_path, "tag", "delete", "a", "u", "--yes")
    assert changes(tmp_path) == [("zot tag delete", "DELETE", "/v2/a/manifests/u", "deleted")]
    run(tmp_path, "gc", "run")
    assert ("zot gc", "DELETE", f"/v2/a/manifests/{first}", "deleted") in changes(tmp_path)
    push(server, "kept/a", "other", b"four")
    run(tmp_path, "retention", "run")
    assert changes(tmp_path)[-1] == ("zot retention", "DELETE", "/v2/kept/a/manifests/other", "deleted")
    assert all(one["by"] not in ("", "schedule") for one in lines(tmp_path / "audit") if one["message"] == "change")


def test_what_scrub_sets_aside(server: Server, tmp_path: Path) -> None:
    """Damaged content that is served no more has a line that says so."""
    digest = digest_of(b"layer")
    push(server, "a", "t", b"layer")
    (server.root / "a/blobs" / digest.replace(":", "/")).write_bytes(b"LAYER")
    run(tmp_path, "scrub", "run", status=1)
    assert ("zot scrub", "DELETE", f"/v2/a/blobs/{digest}", "set aside") in changes(tmp_path)


def test_what_another_program_wrote(server: Server, tmp_path: Path) -> None:
    """A tag that is taken in from an index.json of another program has a line, and so has one that is put back."""
    digest = push(server, "a", "t", b"layer")
    index = server.root / "a/index.json"
    wait_until(index.exists, "the layout is there")
    document = json.loads(index.read_bytes())
    (entry,) = (one for one in document["manifests"] if one["digest"] == digest)
    entry = entry | {"annotations": {"org.opencontainers.image.ref.name": "more"}}
    document["manifests"].append(entry)
    (tmp_path / "new").write_text(json.dumps(document))
    (tmp_path / "new").rename(index)
    run(tmp_path, "layout", "sync")
    assert ("another program", "PUT", "/v2/a/manifests/more", "added") in changes(tmp_path)
    document = json.loads(index.read_bytes())
    document["manifests"] = [one for one in document["manifests"] if "more" not in str(one.get("annotations"))]
    (tmp_path / "new").write_text(json.dumps(document))
    (tmp_path / "new").rename(index)
    run(tmp_path, "layout", "sync")
    assert ("another program", "PUT", "/v2/a/manifests/more", "put back") in changes(tmp_path)
