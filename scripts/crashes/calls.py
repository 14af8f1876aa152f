"""A crash, or a failure, at each single system call of an operation: strace makes it happen, one call after another."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from scripts.crashes.audit import Audit
from scripts.crashes.book import Book, Broken
from scripts.crashes.disks import Impossible
from scripts.crashes.operations import LAYOUT, Step, fill, open_store, steps
from zot.errors import BlobUnknown, ManifestUnknown, NameUnknown, RegistryError
from zot.registry.store import Store
from zot.storage.protocol import StorageError

# The calls by which an operation changes something, or learns what it builds on; with a question mark those that not
# every machine has.
CALLS = (
    "openat,read,write,pwrite64,preadv,fsync,syncfs,?link,linkat,?rename,renameat,renameat2,?unlink,unlinkat,?mkdir,mkdirat,"
    "?rmdir,ftruncate,?stat,?newfstatat,?fstat,getxattr,fgetxattr,fsetxattr,utimensat,?chmod,fchmod,fchmodat,flock,getdents64"
)
_NAME = re.compile(r"^(\w+)\(", re.MULTILINE)
_DONE, _REFUSED, _WRONG = 0, 3, 4


class Trial:
    """Operations on copies of one store, in processes of their own that meet with something."""

    def __init__(self, scratch: Path) -> None:
        if shutil.which("strace") is None:
            raise Impossible("strace is not installed; run scripts/install-tools")
        self._template, self._root = scratch / "template", scratch / "copy"
        fill(self._template)
        self._before = Audit(self._template, foreign=LAYOUT).registers()

    def run(self, inject: str, tell: Callable[[str], None]) -> None:
        """Inject this at the first system call of each operation, at the second, and so on. Raises `Broken`."""
        for name, step in steps().items():
            calls = Counter(_NAME.findall(self._try(name, step, CALLS, "")))
            for call, times in calls.items():
                for number in range(1, times + 1):
                    self._try(name, step, call, f"{inject}:when={number}")
            tell(f"{inject} at each of {calls.total()} system calls: {name}")

    def count(self) -> dict[str, Counter[str]]:
        """Return how often each operation makes each system call, whatever that is."""
        return {name: Counter(_NAME.findall(self._try(name, step, "all", ""))) for name, step in steps().items()}

    def _try(self, name: str, step: Step, calls: str, inject: str) -> str:
        """Try on a fresh copy of the store; returns what was traced."""
        shutil.rmtree(self._root, ignore_errors=True)
        subprocess.run(["cp", "-a", str(self._template), str(self._root)], check=True)
        try:
            status, traced = self._in_a_process(step, calls, inject)
            book = Book()
            for register, value in self._before.items():
                book.settle(register, value)
            with suppress(_Unknown), book.attempt(step.effects):
                if status != _DONE:
                    raise _Unknown
            self._compare(book)
            self._repeat(step, book)
        except (Broken, RegistryError, StorageError) as error:
            raise Broken(f"{name}, {inject} of {calls}: {error}") from error
        return traced

    def _repeat(self, step: Step, book: Book) -> None:
        """Do the operation again: it succeeds, or what it would take away is gone already."""
        with suppress(BlobUnknown, ManifestUnknown, NameUnknown):
            step.do(open_store(self._root))
        with book.attempt(step.effects):
            pass
        self._compare(book)

    def _compare(self, book: Book) -> None:
        audit = Audit(self._root, foreign=LAYOUT)
        audit.check()
        audit.check_contents()
        found = audit.registers()
        for register in book.living() + list(book.gone):
            book.compare(register, found.pop(register, None))
        if found:
            raise Broken(f"{found} came from nowhere")

    def _in_a_process(self, step: Step, calls: str, inject: str) -> tuple[int, str]:
        """Do the operation in a child; returns its status, or the signal that ended it, and what was traced."""
        # The child waits for the signal until it is traced; it inherits that the signal is blocked.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        store = open_store(self._root)
        child = os.fork()
        if child == 0:
            _do(step, store)
        how = ["-e", f"inject={calls}:{inject}"] if inject else []
        command = ["strace", "-e", f"trace={calls}", *how, "-p", str(child)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr is not None
            attached = tracer.stderr.readline()
            os.kill(child, signal.SIGUSR1 if "attached" in attached else signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            traced = tracer.stderr.read()
        if "attached" not in attached:
            raise Impossible(f"strace can't trace here: {attached.strip()}")
        code = os.waitstatus_to_exitcode(status)
        if code == _WRONG:
            raise Broken(f"it failed otherwise than a store may: {traced[-2000:]}")
        return code, traced


class _Unknown(Exception):
    """Nobody knows whether the operation was done."""


def _do(step: Step, store: Store) -> NoReturn:
    """Wait until the tracer is there, do it, and end."""
    status = _WRONG
    try:
        signal.sigwait([signal.SIGUSR1])
        step.do(store)
        status = _DONE
    except (RegistryError, StorageError):
        status = _REFUSED
    except BaseException:  # noqa: BLE001  # the parent reports it
        traceback.print_exc()
    finally:
        os._exit(status)
