"""Trying a bucket before it is used: whether it is there, and whether conditions on writes are kept.

All that two servers on one bucket may rely on is that a write with a condition is done only if that holds. Some S3
servers accept such a write and pass over the condition; with them a push could undo another without anybody noticing.
"""

from __future__ import annotations

import uuid
from contextlib import suppress

from zot.errors import StartupError
from zot.storage.protocol import StorageError
from zot.storage.s3.bucket import ABSENT, Bucket
from zot.storage.s3.client import Conflict
from zot.storage.s3.settings import Settings

_REMEDY = (
    "use one that supports conditional writes (Amazon S3, MinIO, SeaweedFS, Ceph, Cloudflare R2 and others of today do)"
)


def probe(bucket: Bucket, settings: Settings, prefix: str) -> None:
    """Write, read and remove one object. Raises `StartupError` if the bucket can't be used."""
    key = f"{prefix}/{uuid.uuid4()}"
    where = f"the bucket {settings.bucket!r} of {settings.url or 'Amazon S3'}"
    try:
        etag = bucket.put(key, b"written to see whether conditions are kept", only_if=ABSENT)
        try:
            _check_conditions(bucket, key, etag, where)
            next(bucket.list(f"{prefix}/"))
        finally:
            bucket.delete(key)
    except StorageError as error:
        raise StartupError(f"{where} can't be used: {error}", _remedy(str(error), settings.key)) from error


def _check_conditions(bucket: Bucket, key: str, etag: str, where: str) -> None:
    if not _is_refused(bucket, key, ABSENT):
        raise StartupError(f"{where} ignores If-None-Match on writes", _REMEDY)
    for quotes in (True, False):
        bucket.quotes = quotes
        if not _is_refused(bucket, key, f'"{uuid.uuid4().hex}"'):
            raise StartupError(f"{where} ignores If-Match on writes", _REMEDY)
        with suppress(Conflict):
            bucket.put(key, b"written again", only_if=etag)
            return
    raise StartupError(f"{where} refuses If-Match with the right ETag too", _REMEDY)


def _is_refused(bucket: Bucket, key: str, only_if: str) -> bool:
    try:
        bucket.put(key, b"must not be written", only_if=only_if)
    except Conflict:
        return True
    return False


def _remedy(problem: str, key: str) -> str:
    if "NoSuchBucket" in problem:
        return f"make the bucket, or correct {key}.bucket"
    if any(code in problem for code in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "credentials")):
        return f"correct accesskey and secretkey of {key}, or what they may do in this bucket"
    if "RequestTimeTooSkewed" in problem:
        return "set the clock of this machine"
    return f"correct {key}, or wait until the S3 server answers"
