"""A disk that fails: what could not be made durable is not acknowledged, and what can be read is served."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scripts.crashes.audit import Audit
from tests.failures.conftest import (
    NewDisk,
    Start,
    detail,
    nothing_is_left,
    pulls,
    push_blob,
    push_image,
    put,
    worker,
)
from tests.images import digest_of, manifest
from tests.servers import PATIENCE, Server, wait_until

pytestmark = pytest.mark.e2e


def is_met(server: Server) -> bool:
    """Tell whether calls fail: a push that needs them all is refused, or breaks off."""
    content = os.urandom(8)
    path = f"/v2/probe/blobs/{digest_of(content)}"
    try:
        return push_blob(server, "probe", content) in (503, 507) or server.request("GET", path)[0] != 200
    except (OSError, http.client.HTTPException):
        return True


@contextmanager
def injected(server: Server, inject: str, log: Path) -> Iterator[None]:
    """Let system calls of the worker fail; they are logged with the paths they are about."""
    how = ["-e", f"trace={inject.partition(':')[0]}", "-e", f"inject={inject}"]
    command = ["strace", "-f", "-y", "-o", str(log), *how, "-p", str(worker(server))]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as tracer:
        try:
            # Every thread has to be there; a probe shows it.
            wait_until(lambda: all(is_met(server) for _ in range(10)), "calls fail")
            yield
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(PATIENCE)


def test_syncs_that_fail(start: Start, tmp_path: Path, need: Callable[..., str]) -> None:
    """With EIO from each fsync nothing is acknowledged, no file is synced twice, and what was there is served."""
    need("strace")
    server = start(None, "--workers", "1")
    body = push_image(server, "a", "v1")
    new, other = b"new" * 1000, manifest(layers=(), annotations={"note": "new"})
    session = server.request("POST", "/v2/a/blobs/uploads/")[1]["location"]
    with injected(server, "fsync:error=EIO", tmp_path / "trace"):
        answers = [
            server.request("POST", f"/v2/a/blobs/uploads/?digest={digest_of(new)}", new),
            server.request("PUT", f"{session}?digest={digest_of(new)}", new),
            put(server, "/v2/a/manifests/v2", other),
            put(server, "/v2/a/manifests/v1", other),
            server.request("DELETE", "/v2/a/manifests/v1"),
            server.request("DELETE", f"/v2/a/manifests/{digest_of(body)}"),
            server.request("POST", f"/v2/b/blobs/uploads/?mount={digest_of(b'{}')}&from=a"),
        ]
        # Whoever tries to finish the same upload again must send it again.
        assert server.request("PUT", f"{session}?digest={digest_of(new)}")[0] == 404
        assert pulls(server, "a", "v1")
        assert server.request("GET", f"/v2/a/blobs/{digest_of(new)}")[0] == 404
    for status, headers, answer in answers:
        assert (status, headers["retry-after"]) == (503, "5")
        assert "Input/output error" in detail(answer)["reason"]
    synced = re.findall(r"fsync\(\d+<[^>]+/_zot-blobs/((?:uploads|tmp)/[^>]+)>", (tmp_path / "trace").read_text())
    assert len(synced) == len(set(synced)) > 1
    assert push_blob(server, "a", new) == put(server, "/v2/a/manifests/v2", other)[0] == 201
    assert pulls(server, "a", "v2")
    Audit(server.root).check()


@pytest.mark.parametrize("call", ["fsync", "mkdir", "write"])
def test_a_quota_that_is_used_up(call: str, start: Start, tmp_path: Path, need: Callable[..., str]) -> None:
    """Whichever call meets the quota, pushes are a 507 that names it, nothing is half done, and pulls go on."""
    need("strace")
    server = start(None, "--workers", "1")
    push_image(server, "a", "v1")
    new, other = b"new" * 1000, manifest(layers=(b"new",), annotations={"note": "new"})
    with injected(server, f"{call}:error=EDQUOT", tmp_path / "trace"):
        answers = [
            server.request("POST", f"/v2/new/{name}/blobs/uploads/?digest={digest_of(new)}", new) for name in "bcd"
        ]
        assert pulls(server, "a", "v1")
    for status, _, answer in answers:
        assert status == 507, answer
        assert "Disk quota exceeded" in detail(answer)["reason"]
    assert server.request("GET", f"/v2/new/b/blobs/{digest_of(new)}")[0] == 404
    assert push_blob(server, "a", b"new") == put(server, "/v2/a/manifests/v2", other)[0] == 201
    Audit(server.root).check()
    wait_until(lambda: nothing_is_left(server.root), "no upload and no temporary file is left")


@pytest.mark.parametrize("error", ["EIO", "EMFILE", "ENFILE"])
def test_files_that_can_not_be_opened(error: str, start: Start, tmp_path: Path, need: Callable[..., str]) -> None:
    """When no file can be opened every route that needs one says so with a 503, and none with anything else."""
    need("strace")
    server = start(None, "--workers", "1")
    body = push_image(server, "a", "v1")
    with injected(server, f"openat:error={error}", tmp_path / "trace"):
        answers = [
            server.request("GET", "/v2/a/manifests/v1"),
            server.request("GET", f"/v2/a/blobs/{digest_of(b'{}')}"),
            server.request("POST", "/v2/a/blobs/uploads/"),
            put(server, "/v2/a/manifests/v2", body),
            server.request("DELETE", "/v2/a/manifests/v1"),
        ]
    for status, _, answer in answers:
        assert status == 503, answer
        detail(answer)
    assert pulls(server, "a", "v1")


def test_a_disk_that_became_read_only(new_disk: NewDisk, start: Start) -> None:
    """When the kernel takes a broken file system for read-only, pulls go on and all that writes is a 503."""
    disk = new_disk("ext4")
    server = start(disk)
    body = push_image(server, "a", "v1")
    wait_until((disk.where / "root/a/index.json").exists, "the index is written")
    disk.break_down()
    for _ in range(2):
        for status, _, answer in (
            server.request("POST", "/v2/a/blobs/uploads/"),
            server.request("POST", f"/v2/a/blobs/uploads/?digest={digest_of(b'new')}", b"new"),
            put(server, "/v2/a/manifests/v2", body),
            server.request("DELETE", "/v2/a/manifests/v1"),
        ):
            assert status == 503
            assert "Read-only file system" in detail(answer)["reason"]
        assert pulls(server, "a", "v1")
        assert server.request("GET", "/v2/_catalog")[2] == b'{"repositories":["a"]}'
