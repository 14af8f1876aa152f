"""What a crash, another container or an odd file system leaves behind does no harm."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from zot.errors import StartupError
from zot.storage.filesystem import Filesystem
from zot.storage.names import NameCache
from zot.storage.protocol import NotFound, Unavailable


@pytest.fixture
def disk(tmp_path: Path) -> Filesystem:
    """An empty store on disk."""
    driver = Filesystem(str(tmp_path), private="_own")
    driver.start()
    return driver


def test_an_upload_that_became_content_is_not_written_to(disk: Filesystem, tmp_path: Path) -> None:
    """After a crash between link and unlink the session is finished: going on with it does not change the blob."""
    with disk.upload("u", create=True) as upload:
        upload.write(b"whole")
    (tmp_path / "a").mkdir()
    os.link(tmp_path / "_own/uploads/u", tmp_path / "a/one")
    with pytest.raises(NotFound), disk.upload("u") as upload:
        upload.write(b" and more")
    assert (tmp_path / "a/one").read_bytes() == b"whole"
    assert not (tmp_path / "_own/uploads/u").exists()


def test_an_upload_that_was_renamed_meanwhile_is_not_written_to(
    disk: Filesystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there are no hard links an upload becomes content by its name: who opened it before sees that it ended."""
    with disk.upload("u", create=True) as upload:
        upload.write(b"whole")
    real = os.open

    def rename_after_open(path: str, *arguments: int) -> int:
        fd = real(path, *arguments)
        os.rename(path, tmp_path / "content")
        return fd

    monkeypatch.setattr(os, "open", rename_after_open)
    with pytest.raises(NotFound), disk.upload("u") as upload:
        upload.write(b" and more")
    assert (tmp_path / "content").read_bytes() == b"whole"


def test_an_upload_whose_sync_failed_is_never_synced_again(disk: Filesystem, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may report success for pages that it dropped, so the upload is forgotten and has to come anew."""

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with disk.upload("u", create=True) as upload:
        upload.write(b"content")
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(Unavailable):
            disk.put("a/one", upload)
        monkeypatch.undo()
    with pytest.raises(NotFound), disk.upload("u"):
        pass
    with pytest.raises(NotFound):
        disk.open("a/one")


def test_processes_of_one_number_don_t_share_temporary_files(tmp_path: Path) -> None:
    """In two containers processes have the same number; what one writes never ends up in the other's document."""
    one, other = (Filesystem(str(tmp_path), private="_own") for _ in range(2))
    one.start()
    other.start()
    own = {driver._disk.temporary_name() for driver in (one, other) for _ in range(1000)}
    assert len(own) == 2000


def test_a_link_to_nowhere_is_no_root(tmp_path: Path) -> None:
    """A root that is a link to an unmounted disk is refused in one line."""
    (tmp_path / "link").symlink_to(tmp_path / "unmounted")
    with pytest.raises(StartupError, match="No such file or directory"):
        Filesystem(str(tmp_path / "link"), private="_own").start()


class Directory:
    """A directory whose times are in whole seconds, as some file systems keep them."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.clock = 100.0
        monkeypatch.setattr("zot.storage.names.time.monotonic", lambda: self.clock)

    def add(self, name: str, second: int) -> None:
        """Add a name within a second."""
        (self.path / name).touch()
        os.utime(self.path, ns=(second * 10**9, second * 10**9))


def test_two_changes_within_one_second_are_both_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that is read between two changes that the directory's time does not tell apart is not remembered."""
    directory, cache = Directory(tmp_path, monkeypatch), NameCache()
    directory.add("a", 1000)
    assert cache.names(str(tmp_path)) == ["a"]
    directory.clock += 0.9
    assert cache.names(str(tmp_path)) == ["a"]
    directory.add("b", 1000)
    assert cache.names(str(tmp_path)) == ["a", "b"]


def test_a_quiet_directory_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When nothing has changed for a while the names come from memory."""
    directory, cache = Directory(tmp_path, monkeypatch), NameCache()
    directory.add("a", 1000)
    cache.names(str(tmp_path))
    directory.clock += 3
    known = cache.names(str(tmp_path))
    assert cache.names(str(tmp_path)) is known
    directory.add("b", 1004)
    assert cache.names(str(tmp_path)) == ["a", "b"]
