"""What `zot doctor` looks at: the machine, the directories that hold the data, and what a client sees from outside."""

from __future__ import annotations

import os
import pwd
import resource
import shutil
import ssl
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from zot.addresses import OutgoingError
from zot.config.pair import UnfitPair, load_pair
from zot.config.validity import validity
from zot.outgoing import Guarded, Reach
from zot.owners import foreign_owner

_FEW_FILES = 4096
_LITTLE_SPACE = 0.05
_SKEW = 2.0
_NETWORKED = frozenset({"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p"})
# More than the mebibyte at which some proxies stop by default.
_BODY = bytes(2 * 1024 * 1024)
_ALL_BELOW = "let the proxy pass everything below /v2/ to the registry"
_ANY_SIZE = "let it take bodies of any size (nginx: client_max_body_size 0)"
_PROBE = f"/v2/zot-doctor/blobs/uploads/?digest=sha256:{'0' * 64}"


class Finding(NamedTuple):
    """One thing that was looked at: `state` is `good`, `warning` or `bad`; a remedy is there unless it is good."""

    what: str
    state: str
    said: str
    remedy: str = ""

    def plain(self) -> dict[str, str | None]:
        """Return it as programs get it."""
        return self._asdict() | {"remedy": self.remedy or None}


def machine() -> Iterator[Finding]:
    """Look at what every server needs of its machine."""
    yield Finding("python", "good", ".".join(map(str, sys.version_info[:3])))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    said = f"a process may have {soft} files open"
    if soft >= _FEW_FILES:
        yield Finding("file limit", "good", said)
    else:
        remedy = f"raise it to {min(hard, 65536)}: ulimit -n, or LimitNOFILE in the systemd unit"
        yield Finding("file limit", "warning", said, remedy)
    year = datetime.now(UTC).year
    if year >= 2025:
        yield Finding("clock", "good", datetime.now(UTC).isoformat(timespec="seconds"))
    else:
        yield Finding(
            "clock", "bad", f"it says that this is the year {year}", "set it; run chrony or systemd-timesyncd"
        )


def root(directory: str, *, dedupe: bool = True, key: str = "storage.rootDirectory") -> Iterator[Finding]:
    """Look at a directory that holds data, or where it will be made.

    `dedupe` tells whether blobs are to be shared, `key` is that of the configuration which names the directory.
    """
    what = f"root {directory}"
    existing = Path(directory)
    if shut := out_of_reach(existing):
        yield Finding(what, "bad", *shut)
        return
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        yield Finding(what, "bad", f"{existing} is no directory", f"name a directory in {key}")
        return
    yield from _space(what, existing)
    kind = _kind_of(existing)
    if kind in _NETWORKED:
        remedy = "use a local disk for one server, and a bucket (storageDriver) for several"
        yield Finding(what, "warning", f"it is on {kind}, which is slow to sync and may not keep locks", remedy)
    elif kind == "tmpfs":
        yield Finding(what, "warning", "it is in memory, and is gone with the machine", f"name one on a disk in {key}")
    if existing == Path(directory) and (owner := foreign_owner(directory)) is not None:
        remedy = f"run this as {owner} if the server runs so, or let the user that runs zot own it"
        yield Finding(what, "bad", f"it belongs to {owner}, and this user may not write there", remedy)
        return
    if not os.access(existing, os.W_OK):
        yield Finding(what, "bad", f"{existing} is not writable", "let the user that runs zot own it")
        return
    try:
        with tempfile.TemporaryDirectory(dir=existing, prefix=".zot-doctor-") as tried:
            yield from _abilities(what, Path(tried), dedupe)
    except OSError as error:
        yield Finding(what, "bad", f"nothing can be written to {existing}: {error.strerror}", "name another directory")


def out_of_reach(path: Path) -> tuple[str, str] | None:
    """Return which directory keeps this user from a path, in words, and what to do; None if none does."""
    try:
        path.stat()
    except PermissionError:
        shut = next((above for above in reversed(path.parents) if not os.access(above, os.X_OK)), path.parent)
        owner = shut.stat()
        try:
            user = pwd.getpwuid(owner.st_uid).pw_name
        except KeyError:
            user = str(owner.st_uid)
        return f"this user can't get into {shut}", f"run it as {user}, who owns that, or as the user that runs zot"
    except OSError:
        return None
    return None


def _space(what: str, directory: Path) -> Iterator[Finding]:
    usage = shutil.disk_usage(directory)
    said = f"{usage.free / 1e9:.1f} GB of {usage.total / 1e9:.1f} GB are free"
    if usage.free < usage.total * _LITTLE_SPACE:
        yield Finding(what, "warning", said, "free some space: zot gc run, zot du")
    else:
        yield Finding(what, "good", said)
    state = os.statvfs(directory)
    if state.f_files and state.f_favail < state.f_files * _LITTLE_SPACE:
        said = f"{state.f_favail} of {state.f_files} inodes are free"
        yield Finding(what, "warning", said, "free some, or make the file system with more")


def _abilities(what: str, directory: Path, dedupe: bool) -> Iterator[Finding]:
    file = directory / "file"
    begun = time.perf_counter()
    with file.open("wb") as opened:
        opened.write(b"written to see what the file system can do")
        opened.flush()
        os.fsync(opened.fileno())
    yield Finding(what, "good", f"a file is synced in {(time.perf_counter() - begun) * 1000:.1f} ms")
    skew = abs(file.stat().st_mtime - time.time())
    if skew > _SKEW:
        said = f"its clock and this machine's differ by {skew:.0f} s"
        yield Finding(what, "warning", said, "let both follow the same time server")
    yield _sharing(what, file, dedupe)
    try:
        os.setxattr(file, "user.zot.doctor", b"x")
    except (OSError, AttributeError):
        said = "it has no extended attributes, so a blob that another program alters is found by scrub only"
        yield Finding(what, "warning", said, "run zot scrub by a schedule (extensions.scrub)")
    if (directory / "FILE").exists():
        said = "it does not tell upper from lower case, so tags that differ only in that are refused"
        yield Finding(what, "warning", said, "use a file system that does")


def _sharing(what: str, file: Path, dedupe: bool) -> Finding:
    """Try whether there are hard links, if anybody wants them."""
    if not dedupe:
        return Finding(what, "good", "dedupe is off here, so each repository keeps its own copy of a blob")
    try:
        os.link(file, file.with_name("link"))
    except OSError as error:
        said = f"it has no hard links ({error.strerror}), so each repository keeps its own copy of a blob"
        return Finding(what, "warning", said, "use a file system with hard links")
    return Finding(what, "good", "it has hard links, so repositories share blobs")


def _kind_of(directory: Path) -> str:
    """Return the type of the file system that a directory is on; empty if the system does not tell."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return ""
    where = str(directory.resolve())
    above = [(point, kind) for point, kind in mounts if f"{where}/".startswith(f"{point.rstrip('/')}/")]
    return max(above, key=lambda mount: len(mount[0]), default=("", ""))[1]


def certificate(cert: str, key: str) -> Iterator[Finding]:
    """Look at the server's certificate: whether the key fits, and how long it is valid."""
    what = f"certificate {cert}"
    try:
        load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), cert, key)
        found = validity(cert)
    except UnfitPair as error:
        yield Finding(what, "bad", error.problem, error.remedy)
        return
    except OSError as error:
        yield Finding(what, "bad", f"it can't be read: {error.strerror}", "name files that this user may read")
        return
    said = f"it is valid until {found.ends:%Y-%m-%d}, {found.days} days"
    if found.days < 0:
        yield Finding(what, "bad", f"it ended on {found.ends:%Y-%m-%d}", "renew it")
    elif found.is_soon:
        yield Finding(what, "warning", said, "renew it; the server takes the new one without a restart")
    else:
        yield Finding(what, "good", said)


def outside(url: str, cafile: str | None = None) -> Iterator[Finding]:
    """Ask a registry as a client does, through whatever proxy stands before it."""
    what, url = f"from outside {url}", url.rstrip("/")
    try:
        client = Guarded(Reach([url]), cafile=cafile)
    except OSError:
        yield Finding(what, "bad", f"{cafile} holds no certificate in PEM format", "name a file that does: --cafile")
        return
    try:
        answer = client.get(f"{url}/v2/")
    except OutgoingError as error:
        yield Finding(what, "bad", str(error), _mend(url, str(error)))
        return
    if answer.status_code != 401 and answer.headers.get("Docker-Distribution-Api-Version") != "registry/2.0":
        said = f"/v2/ answers {answer.status_code}, and not as a registry"
        reason, remedy = _told(answer)
        yield Finding(what, "bad", f"{said}: {reason}" if reason else said, remedy or _ALL_BELOW)
        return
    yield Finding(what, "good", f"/v2/ answers {answer.status_code}, as a registry does")
    yield _body(what, url, client)


def _body(what: str, url: str, client: Guarded) -> Finding:
    """Send a body that the registry refuses, to see whether it gets there."""
    try:
        status = client.post(f"{url}{_PROBE}", data=_BODY).status_code
    except OutgoingError as error:
        said = f"a body of 2 MiB does not get through: {error}"
        return Finding(what, "bad", said, f"see the log of what stands before the registry; {_ANY_SIZE}")
    if status == 413:
        return Finding(what, "bad", "something on the way refuses bodies of 2 MiB", _ANY_SIZE)
    return Finding(what, "good", "bodies of 2 MiB reach the registry")


def _mend(url: str, failure: str) -> str:
    """Return what to do about a registry that can't be asked."""
    if "is not trusted" in failure:
        return "name the PEM file of the authority that signed it: --cafile FILE"
    if "does not speak TLS" in failure:
        return f"ask http{url.removeprefix('https')}, or let it speak TLS (http.tls)"
    return "check the address, the proxy and its certificate"


def _told(answer: Any) -> tuple[str, str]:
    """Return reason and remedy of an error document of this registry; empty for any other answer."""
    try:
        detail = answer.json()["errors"][0]["detail"]
        return str(detail["reason"]), str(detail["remedy"])
    except (ValueError, LookupError, TypeError):
        return "", ""
