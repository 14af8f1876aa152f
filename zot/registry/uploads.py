"""Upload sessions: blobs that are still arriving, in one request or many, on any worker.

A session belongs to a repository and to `by`, the name of whoever began it; to anybody else it does not exist.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from zot.errors import BlobUploadInvalid, BlobUploadUnknown, DigestInvalid
from zot.logs import note_change
from zot.oci import digest as digests
from zot.oci.digest import Digest
from zot.registry import blobs, paths
from zot.registry.store import Store
from zot.storage.protocol import Busy, NotFound, StorageError, Upload

Body = Iterable[bytes | memoryview]

_SESSION = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def start(store: Store, name: str, *, by: str = "") -> str:
    """Begin an upload; returns the session's identifier."""
    session = str(uuid.uuid4())
    with store.storage.upload(paths.upload(name, session, by), create=True):
        return session


def status(store: Store, name: str, session: str, *, by: str = "") -> int:
    """Return how many bytes the session holds.

    Raises `BlobUploadUnknown`, and `BlobUploadInvalid` while another request writes to it.
    """
    with _hold(store, name, session, by) as upload:
        return upload.size


def cancel(store: Store, name: str, session: str, *, by: str = "") -> None:
    """Forget the session and what it holds."""
    with _hold(store, name, session, by) as upload:
        upload.discard()


def append(store: Store, name: str, session: str, body: Body, begin: int | None, *, by: str = "") -> int:
    """Add a body to the session and return how many bytes it holds then.

    `begin` is where the client says the body goes; None means at the end. Raises `BlobUploadInvalid` (416) if that is
    not where the session stands, which leaves it as it is. If the body breaks off, what came stays.
    """
    with _hold(store, name, session, by) as upload:
        _check_begin(name, session, upload, begin)
        _write(store, paths.upload(name, session, by), upload, body, "sha256")
        return upload.size


def finish(
    store: Store, name: str, session: str, digest: Digest, body: Body, begin: int | None, *, by: str = ""
) -> None:
    """Add the last body, check the digest and let the blob enter the repository, which ends the session.

    Raises `DigestInvalid` if the digest is another, which ends the session too and leaves nothing behind.
    """
    with _hold(store, name, session, by) as upload:
        _check_begin(name, session, upload, begin)
        _complete(store, name, paths.upload(name, session, by), upload, digest, body)


def push(store: Store, name: str, digest: Digest, body: Body) -> None:
    """Do a whole upload in one request; nothing stays behind if it fails."""
    key = paths.upload(name, str(uuid.uuid4()), "")
    with store.storage.upload(key, create=True) as upload:
        try:
            _complete(store, name, key, upload, digest, body)
        except DigestInvalid:
            raise
        except BaseException:
            store.hashes.forget(key)
            upload.discard()
            raise


def sweep(store: Store, older_than: float) -> int:
    """Drop the sessions that were last written to before a time, in seconds since 1970; returns how many.

    One that a request holds is spared, and so is one that was written to meanwhile.
    """
    swept = 0
    for key, written in store.storage.uploads():
        if written < older_than:
            with suppress(NotFound, Busy), store.storage.upload(key) as upload:
                if upload.written < older_than:
                    upload.discard()
                    note_change("zot gc", "DELETE", f"upload {key}", "", "deleted", "nobody wrote to it for long")
                    swept += 1
    return swept


def _complete(store: Store, name: str, key: str, upload: Upload, digest: Digest, body: Body) -> None:
    _write(store, key, upload, body, digest.algorithm)
    found = _digest_of(store, key, upload, digest.algorithm)
    if found != digest.hex:
        size = upload.size
        upload.discard()
        raise DigestInvalid(
            f"the {size} bytes that were uploaded have the digest {digest.algorithm}:{found}",
            "upload the blob again; it was damaged on the way, or the digest is that of something else",
            detail={"digest": str(digest)},
        )
    blobs.add(store, name, digest, upload)


def _write(store: Store, key: str, upload: Upload, body: Body, algorithm: str) -> None:
    known = store.hashes.take(key, upload.size, algorithm)
    try:
        for piece in body:
            upload.write(piece)
            if known is not None:
                known[1].update(piece)
    finally:
        if known is not None:
            store.hashes.keep(key, upload.size, *known)


def _digest_of(store: Store, key: str, upload: Upload, algorithm: str) -> str:
    known = store.hashes.take(key, upload.size, algorithm)
    if known is not None and known[0] == algorithm:
        return known[1].hexdigest()
    running = digests.hasher(algorithm)
    for piece in upload.read():
        running.update(piece)
    return running.hexdigest()


def check_session(name: str, session: str) -> str:
    """Return the identifier if it can be one of a session; raises `BlobUploadUnknown`."""
    if _SESSION.fullmatch(session) is None:
        raise _unknown(name, session)
    return session


@contextmanager
def _hold(store: Store, name: str, session: str, by: str) -> Iterator[Upload]:
    """Hold a session of the repository against all other requests."""
    check_session(name, session)
    key = paths.upload(name, session, by)
    try:
        with store.storage.upload(key) as upload:
            yield upload
    except StorageError as error:
        # What was hashed here may not be what the store has kept.
        store.hashes.forget(key)
        if isinstance(error, NotFound):
            raise _unknown(name, session) from None
        if isinstance(error, Busy):
            raise BlobUploadInvalid(
                str(error),
                "wait for it to end, then ask for the status of the upload and go on from there",
                status=409,
                detail={"session": session},
            ) from None
        raise


def _check_begin(name: str, session: str, upload: Upload, begin: int | None) -> None:
    if begin is None or begin == upload.size:
        return
    raise BlobUploadInvalid(
        f"the upload stands at byte {upload.size}, and this body begins at {begin}",
        f"go on with byte {upload.size}",
        status=416,
        detail={"offset": upload.size},
        headers={"Location": location(name, session), "Range": progress(upload.size)},
    )


def location(name: str, session: str) -> str:
    """Return the address of a session, relative to the registry's own."""
    return f"/v2/{name}/blobs/uploads/{session}"


def progress(size: int) -> str:
    """Return the Range header that tells a client how far an upload has come; `0-0` stands for none or one byte."""
    return f"0-{max(size - 1, 0)}"


def _unknown(name: str, session: str) -> BlobUploadUnknown:
    return BlobUploadUnknown(
        f"{name!r} has no upload {session[:64]!r}",
        "begin the upload again; sessions that are finished, cancelled or left for a day are gone",
        detail={"name": name, "session": session[:64]},
    )
