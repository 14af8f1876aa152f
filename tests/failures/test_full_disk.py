"""A disk that is full: pushes are refused with the reason, pulls and deletes go on, and nothing is half done."""

from __future__ import annotations

import errno
import os
from itertools import count
from pathlib import Path

import pytest

from scripts.crashes.audit import Audit
from tests.failures.conftest import NewDisk, Start, detail, nothing_is_left, pulls, push_blob, push_image, put
from tests.images import digest_of, manifest
from tests.servers import Server, wait_until

pytestmark = pytest.mark.e2e

NEW = b"new" * 50_000


def take_all_space(where: Path) -> Path:
    """Write until nothing fits any more, not a single byte; returns what has to be removed to make room."""
    filler = where / "filler"
    written = 1
    while written:
        # What a file system had set aside for a file is there again when that is closed.
        with filler.open("ab", buffering=0) as file:
            before = file.tell()
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                        os.fsync(file.fileno())
                except OSError as error:
                    assert error.errno == errno.ENOSPC
            written = file.tell() - before
    return filler


def take_all_inodes(where: Path) -> Path:
    """Make files until no more can be made."""
    filler = where / "filler"
    filler.mkdir()
    try:
        for number in count():
            (filler / str(number)).touch()
    except OSError as error:
        assert error.errno == errno.ENOSPC
    return filler


def refused(server: Server, session: str, body: bytes) -> list[tuple[int, dict[str, str], bytes]]:
    """Ask for everything that writes; returns the answers."""
    uploads = "/v2/a/blobs/uploads/"
    return [
        server.request("POST", f"{uploads}?digest={digest_of(NEW)}", NEW),
        server.request("POST", f"/v2/new/repository/blobs/uploads/?digest={digest_of(NEW)}", NEW),
        server.request("PATCH", session, NEW),
        server.request("PUT", f"{session}?digest={digest_of(NEW)}", NEW),
        put(server, "/v2/a/manifests/v3", body),
        put(server, f"/v2/a/manifests/{digest_of(body)}", body),
    ]


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_no_space(kind: str, new_disk: NewDisk, start: Start) -> None:
    """Without a byte of space every push is a 507 with reason and remedy; pulls and deletes go on; then all is well."""
    disk = new_disk(kind)
    server = start(disk)
    body = push_image(server, "a", "v1", "v2")
    other = manifest(layers=(b"layer" * 20_000,), annotations={"note": "x" * 10_000})
    assert push_blob(server, "a", b"unneeded") == 201
    session = server.request("POST", "/v2/a/blobs/uploads/")[1]["location"]
    wait_until(lambda: is_projected(disk.where / "root", body), "the index is written")
    filler = take_all_space(disk.where)
    for status, _, answer in refused(server, session, other):
        assert status == 507, answer
        assert "No space left" in detail(answer)["reason"]
    assert server.request("GET", session)[1]["range"] == "0-0"
    check_pulls_and_deletes(server, body)
    filler.unlink()
    check_recovered(server, disk.where / "root", session, other)


def test_no_inodes(new_disk: NewDisk, start: Start) -> None:
    """Without an inode the answer says that it is those that are short; pulls and all deletes go on."""
    disk = new_disk("ext4", make=("-N", "2000"))
    server = start(disk)
    body = push_image(server, "a", "v1", "v2")
    assert push_blob(server, "a", b"unneeded") == 201
    wait_until(lambda: is_projected(disk.where / "root", body), "the index is written")
    filler = take_all_inodes(disk.where)
    status, _, answer = server.request("POST", "/v2/a/blobs/uploads/")
    assert (status, "no inodes are left" in detail(answer)["reason"]) == (507, True)
    status, _, answer = put(server, "/v2/a/manifests/v3", manifest(layers=(), annotations={"note": "new"}))
    assert (status, "no inodes are left" in detail(answer)["reason"]) == (507, True)
    check_pulls_and_deletes(server, body)
    for path in filler.iterdir():
        path.unlink()
    session = server.request("POST", "/v2/a/blobs/uploads/")[1]["location"]
    check_recovered(server, disk.where / "root", session, manifest(layers=()))


def is_projected(root: Path, body: bytes) -> bool:
    """Tell whether the leader has nothing to write any more, and so frees nothing."""
    audit, expected = Audit(root), {(digest_of(body), "v1"), (digest_of(body), "v2")}
    return not audit.left["mark"] and (root / "a/index.json").exists() and audit.index("a") == expected


def check_pulls_and_deletes(server: Server, body: bytes) -> None:
    """Pull by tag and by digest, list, and delete a tag, a blob and a digest."""
    assert pulls(server, "a", "v1")
    assert pulls(server, "a", digest_of(body))
    assert b'"v1","v2"' in server.request("GET", "/v2/a/tags/list")[2]
    for path in ("manifests/v1", f"blobs/{digest_of(b'unneeded')}", f"manifests/{digest_of(body)}"):
        assert server.request("DELETE", f"/v2/a/{path}")[0] == 202
    assert server.request("GET", "/v2/a/manifests/v2")[0] == 404


def check_recovered(server: Server, root: Path, session: str, body: bytes) -> None:
    """Push again and go on with an upload; what is on disk fits together, and the index catches up."""
    assert server.request("PUT", f"{session}?digest={digest_of(NEW)}", NEW)[0] == 201
    assert put(server, "/v2/a/manifests/v3", body)[0] == 201
    assert pulls(server, "a", "v3")
    index = root / "a/index.json"
    wait_until(lambda: index.exists() and Audit(root).index("a") == {(digest_of(body), "v3")}, "the index catches up")
    audit = Audit(root)
    audit.check()
    audit.check_contents()
    wait_until(lambda: nothing_is_left(root), "no upload and no temporary file is left")
