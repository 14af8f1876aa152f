"""What only the file system driver promises: syncs, limits of links, errors of the operating system."""

from __future__ import annotations

import errno
import math
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from zot.errors import StartupError
from zot.storage.filesystem import Filesystem
from zot.storage.protocol import CannotLink, Damaged, Full, Idle, NotFound, Unavailable


@pytest.fixture
def disk(tmp_path: Path) -> Filesystem:
    """An empty store on disk."""
    driver = Filesystem(str(tmp_path), private="_own")
    driver.start()
    return driver


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that were synced, in order; they are synced all the same."""
    seen: list[str] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        seen.append(os.readlink(f"/proc/self/fd/{fd}"))
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    return seen


def put(driver: Filesystem, key: str, content: bytes) -> None:
    """Store content."""
    with driver.upload("u", create=True) as upload:
        upload.write(content)
        driver.put(key, upload)


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc which file a descriptor is")
def test_file_before_name(disk: Filesystem, tmp_path: Path, syncs: list[str]) -> None:
    """A put syncs the file, then its directory, and nothing else once the directory is there."""
    put(disk, "a/first", b"x")
    syncs.clear()
    put(disk, "a/second", b"y")
    assert syncs == [f"{tmp_path}/_own/uploads/u", f"{tmp_path}/a"]


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc which file a descriptor is")
def test_what_was_removed_before_the_disk_failed(
    disk: Filesystem, tmp_path: Path, syncs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When one file can't be unlinked, those before it are told, synced, and their masters gone."""
    for number in "123":
        with disk.upload("u", create=True) as upload:
            upload.write(number.encode())
            disk.put(f"a{number}/blob", upload, shared=f"s/{number}")
    real = os.unlink

    def unlink(path: str) -> None:
        if path.endswith("a2/blob"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(path)

    monkeypatch.setattr(os, "unlink", unlink)
    syncs.clear()
    removed: list[str] = []
    with pytest.raises(Unavailable):
        disk.remove_idle([Idle(f"a{number}/blob", f"s/{number}", math.inf) for number in "123"], removed)
    assert removed == ["a1/blob"]
    assert syncs == [f"{tmp_path}/a1"]
    assert [disk.is_shared(f"s/{number}") for number in "123"] == [False, True, True]


def put_shared(driver: Filesystem, *keys: str) -> None:
    """Store the same content under several keys, linked to one master."""
    for key in keys:
        with driver.upload("u", create=True) as upload:
            upload.write(b"content")
            driver.put(key, upload, shared="s/content")


def remove_idle(driver: Filesystem, *keys: str, modified: float = math.inf) -> list[str]:
    """Remove content that nobody has cared for since a time; returns what went."""
    removed: list[str] = []
    driver.remove_idle([Idle(key, "s/content", modified) for key in keys], removed)
    return removed


@pytest.mark.parametrize("noted", [True, False])
def test_who_cares_for_old_content_is_seen(disk: Filesystem, tmp_path: Path, noted: bool) -> None:
    """Its ctime is enough to know that it is old, and shows when somebody cares for it after that look."""
    put_shared(disk, "a/one", "a/two", "a/three")
    if not noted:
        os.removexattr(tmp_path / "a/one", "user.zot.stamp")
    time.sleep(0.2)
    (found,) = disk.describe(["a/one"], enough=time.time())
    assert found is not None
    assert found.modified == pytest.approx(os.stat(tmp_path / "a/one").st_ctime, abs=0.1)
    disk.touch("a/one")
    assert remove_idle(disk, "a/one", modified=found.modified) == []
    # That another key of the same content goes renews its ctime; only without a note that must count as interest.
    found = disk.stat("a/two")
    assert remove_idle(disk, "a/three") == ["a/three"]
    assert remove_idle(disk, "a/two", modified=found.modified) == (["a/two"] if noted else [])


def test_a_master_goes_with_its_last_key(disk: Filesystem, tmp_path: Path) -> None:
    """It stays while another key has its content; content that shares nothing leaves the master of other content."""
    put_shared(disk, "a/one", "b/one")
    put(disk, "a/alone", b"content")
    assert remove_idle(disk, "a/alone", "a/one") == ["a/alone", "a/one"]
    assert (disk.is_shared("s/content"), os.stat(tmp_path / "b/one").st_nlink) == (True, 2)
    assert remove_idle(disk, "b/one") == ["b/one"]
    assert not disk.is_shared("s/content")


def test_content_that_is_shared_while_its_last_key_goes(
    disk: Filesystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who links to the master just then keeps the content, whether the master stays or not, and others may share it."""
    put_shared(disk, "a/one")
    real = os.unlink

    def unlink(path: str) -> None:
        if path.endswith("a/one"):
            disk.link("b/one", None, shared="s/content")
        real(path)

    monkeypatch.setattr(os, "unlink", unlink)
    assert remove_idle(disk, "a/one") == ["a/one"]
    put_shared(disk, "c/one", "d/one")
    assert {(tmp_path / key).read_bytes() for key in ("b/one", "c/one", "d/one")} == {b"content"}
    assert os.path.samefile(tmp_path / "c/one", tmp_path / "d/one")


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc which file a descriptor is")
def test_what_is_there_already_is_synced_all_the_same(disk: Filesystem, tmp_path: Path, syncs: list[str]) -> None:
    """A step whose result is there syncs the directory: whoever made it may not have done so yet."""
    disk.update("d/doc", lambda _: b"same")
    syncs.clear()
    disk.update("d/doc", lambda _: b"same")
    assert syncs == [f"{tmp_path}/d"]
    syncs.clear()
    disk.update("d/doc", lambda _: b"other", new_directory=True)
    assert syncs[1:] == [f"{tmp_path}/d", str(tmp_path)]


def test_without_commit_nothing_is_synced(tmp_path: Path, syncs: list[str]) -> None:
    """`commit: false` syncs neither files nor directories."""
    driver = Filesystem(str(tmp_path), private="_own", commit=False)
    driver.start()
    put(driver, "a/b/c", b"x")
    driver.update("d/doc", lambda _: b"x")
    driver.delete("d/doc")
    assert syncs == []


def test_a_failed_sync_is_not_acknowledged(disk: Filesystem, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document whose sync fails keeps its old value, and leaves no temporary file."""
    disk.update("d/doc", lambda _: b"old")

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(Unavailable):
        disk.update("d/doc", lambda _: b"new")
    assert disk.read("d/doc") == b"old"
    assert list(disk.list("_own/tmp")) == []


def test_an_upload_that_could_not_be_synced_is_gone(disk: Filesystem, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file whose sync failed is never synced again: whoever wants to store that content has to send it anew."""
    synced: list[int] = []

    def fail(fd: int) -> None:
        synced.append(os.fstat(fd).st_ino)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with disk.upload("u", create=True) as upload:
        upload.write(b"x")
        with pytest.raises(Unavailable):
            disk.put("a/one", upload)
    with pytest.raises(NotFound), disk.upload("u"):
        pass
    with pytest.raises(NotFound):
        disk.stat("a/one")
    assert len(synced) == 1


def test_a_link_too_many_is_said(disk: Filesystem, monkeypatch: pytest.MonkeyPatch) -> None:
    """EMLINK, EXDEV and EPERM become CannotLink, and put does without links."""
    put(disk, "a/one", b"x")
    for number in (errno.EMLINK, errno.EXDEV, errno.EPERM):
        monkeypatch.setattr(os, "link", raising(number))
        with pytest.raises(CannotLink):
            disk.link("a/two", "a/one", shared="s/one")
    put(disk, "a/three", b"y")
    assert disk.read("a/three") == b"y"


def raising(number: int) -> Callable[..., None]:
    """Return a function that fails with an error number."""

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_a_full_disk_takes_nothing_of_a_write(disk: Filesystem, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the space ends in the middle of a write, the upload is as long as before it, and goes on later."""
    real = os.write

    def short(fd: int, data: memoryview) -> int:
        if len(data) <= 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data[:3])

    with disk.upload("u", create=True) as upload:
        upload.write(b"before")
        monkeypatch.setattr(os, "write", short)
        with pytest.raises(Full, match="No space left"):
            upload.write(b"123456")
        monkeypatch.undo()
        assert upload.size == 6
        upload.write(b" after")
        disk.put("a/one", upload)
    assert disk.read("a/one") == b"before after"


@pytest.mark.parametrize(
    ("number", "error"), [(errno.EIO, Unavailable), (errno.EMFILE, Unavailable), (errno.ENOSPC, Full)]
)
def test_a_lock_that_can_not_be_taken_is_said(
    disk: Filesystem, monkeypatch: pytest.MonkeyPatch, number: int, error: type[Exception]
) -> None:
    """Failing to take a lock is the store's failure; what fails under a lock is passed on as it is."""
    with pytest.raises(OSError, match="own affair"), disk.lock("kind/a", shared=True):
        raise OSError(number, "own affair")
    monkeypatch.setattr(os, "open", raising(number))
    with pytest.raises(error), disk.lock("kind/a", shared=True):
        pass


def test_an_upload_on_a_failing_disk(disk: Filesystem, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload that can be neither written to nor cut back is the store's failure too."""
    with disk.upload("u", create=True) as upload:
        monkeypatch.setattr(os, "write", raising(errno.EIO))
        monkeypatch.setattr(os, "ftruncate", raising(errno.EIO))
        with pytest.raises(Unavailable):
            upload.write(b"x")


def test_no_key_leads_out_of_the_root(disk: Filesystem) -> None:
    """A key with a parent component stands for nothing, whoever made it."""
    for key in ("../etc/passwd", "a/../../etc", "a/.."):
        with pytest.raises(NotFound):
            disk.read(key)


def test_two_dots_within_a_name_are_a_name(disk: Filesystem) -> None:
    """Tags such as `v1..2` are names like others."""
    disk.update("d/v1..2", lambda _: b"x")
    assert disk.read("d/v1..2") == b"x"


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """Start says what is wrong with the root and what to do."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(StartupError) as caught:
        Filesystem(str(tmp_path / "file" / "root"), private="_own").start()
    assert "Not a directory" in caught.value.problem
    assert "name a directory" in caught.value.remedy


def test_locks_hold_between_processes(disk: Filesystem, tmp_path: Path) -> None:
    """An exclusive lock keeps another process out until it is let go, also if the holder is killed."""
    script = textwrap.dedent(
        f"""
        from zot.storage.filesystem import Filesystem
        driver = Filesystem({str(tmp_path)!r}, private="_own")
        with driver.lock("kind/a", shared=False):
            print("held", flush=True)
            input()
        """
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        assert not _can_take(tmp_path)
        other.kill()
        other.wait()
        with disk.lock("kind/a", shared=True):
            pass
    finally:
        other.kill()
        other.communicate()


def _can_take(root: Path) -> bool:
    import fcntl

    for path in (root / "_own/locks").glob("kind-*"):
        if path.suffix == ".gate":
            continue
        with path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
    return True


def test_a_note_without_the_time_is_none_of_damage(disk: Filesystem, tmp_path: Path) -> None:
    """A note as they were before they told when a file was cared for counts for what it says, and the ctime beside."""
    put(disk, "a/one", b"content")
    path = tmp_path / "a/one"
    os.utime(path, (1, 1))
    os.setxattr(path, "user.zot.stamp", b"7 1000000000")
    found = disk.stat("a/one")
    assert (found.modified, found.suspect) == (os.stat(path).st_ctime, False)
    path.write_bytes(b"another content")
    assert disk.stat("a/one").suspect
    os.truncate(path, 7)
    os.utime(path, (1, 1))
    disk.touch("a/one")
    assert not disk.stat("a/one").suspect
    assert len(os.getxattr(path, "user.zot.stamp").split()) == 3


def test_a_directory_is_no_document(disk: Filesystem, tmp_path: Path) -> None:
    """What somebody put in the place of a document is damage, whatever a file system answers who reads it."""
    for directory in ("docs/one", "docs/one/below"):
        (tmp_path / directory).mkdir(parents=True, exist_ok=True)
    with pytest.raises(Damaged, match="a directory stands"):
        disk.read("docs/one")
    with pytest.raises(Damaged, match="a directory stands"):
        disk.update("docs/one", lambda _: b"x")
    disk.write("docs/large", b"x" * (16 * 1024 * 1024 + 7))
    assert len(disk.read("docs/large")) == 16 * 1024 * 1024 + 7
