"""A disk whose power can be cut: a file system in a file, mounted by loop, shut down without writing its journal."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
from pathlib import Path

# FS_IOC_SHUTDOWN of Linux (_IOR('X', 125, __u32)), and the flag that says: write nothing more, not even the journal.
_SHUTDOWN = 0x8004587D
_NO_LOG_FLUSH = 2
_SIZE = 400 * 1024 * 1024

# Options by which a file system helps as little as it may those who don't sync.
_OPTIONS = {"ext4": "noauto_da_alloc,commit=300,errors=remount-ro", "xfs": "defaults"}
FILE_SYSTEMS = tuple(_OPTIONS)


class Impossible(Exception):
    """This can't be tried here; the message says what is missing."""


class Disk:
    """A file system of its own below `scratch`, mounted at `where`; `make` are options for the one who makes it.

    One of the kind tmpfs has no image, and all that it holds is gone when it is unmounted.
    """

    def __init__(self, kind: str, scratch: Path, size: int = _SIZE, make: tuple[str, ...] = ()) -> None:
        if os.geteuid() != 0:
            raise Impossible("mounting a disk wants root")
        if kind != "tmpfs" and shutil.which(f"mkfs.{kind}") is None:
            raise Impossible(f"mkfs.{kind} is not installed; run scripts/install-tools")
        self.where = scratch / kind
        self._kind = kind
        self._mounted = False
        self._image = scratch / f"{kind}.img"
        self.where.mkdir()
        if kind != "tmpfs":
            with self._image.open("wb") as file:
                file.truncate(size)
            subprocess.run([f"mkfs.{kind}", "-q", *make, str(self._image)], check=True)
        self.mount()

    def mount(self) -> None:
        """Mount it; its journal is replayed. Raises `Impossible`."""
        options = "defaults" if self._kind == "tmpfs" else f"loop,{_OPTIONS[self._kind]}"
        command = ["mount", "-t", self._kind, "-o", options, str(self._image), str(self.where)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Impossible(f"a loop device can't be mounted here: {done.stderr.strip()}")
        self._mounted = True

    def cut(self) -> None:
        """Cut the power: from now on nothing is written, and every operation fails."""
        fd = os.open(self.where, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(fd)

    def break_down(self) -> None:
        """Let the kernel find the file system broken: it takes it for read-only from then on. For ext4 only."""
        number = os.stat(self.where).st_dev
        device = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve().name
        Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("1")

    def unmount(self) -> None:
        """Unmount it; nobody may use it any more."""
        if self._mounted:
            subprocess.run(["umount", str(self.where)], check=True)
            self._mounted = False
