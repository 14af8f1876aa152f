"""The requests that the driver makes, one method each; what the bucket answers, and nothing above that."""

from __future__ import annotations

import os
import random
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from zot.storage.protocol import NotFound, Unavailable
from zot.storage.s3.client import Collision, Conflict, TranslatedErrors, connect
from zot.storage.s3.settings import Settings

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from types_boto3_s3.client import S3Client

ABSENT = ""
Body = bytes | bytearray
# The metadata by which a writer knows its own object again.
_WRITE = "zot-write"
_COLLISIONS = 8
_READS = 4

_random = random.SystemRandom()


def pauses(times: int, *, first: float = 0.01, longest: float = 1.0) -> Iterator[float]:
    """Yield how long to wait before each further try, in seconds: longer each time, and never the same for two."""
    for number in range(times):
        yield _random.uniform(0, min(longest, first * 2.0 ** min(number, 30)))


class Described(NamedTuple):
    """An object: its size in bytes, and its times in seconds since 1970 by the server's own clock."""

    size: int
    etag: str
    metadata: Mapping[str, str]
    modified: float
    now: float

    @property
    def age(self) -> float:
        """How many seconds ago it was written."""
        return self.now - self.modified


class Opened(NamedTuple):
    """An object whose body is still to be read, by the end of which the connection is free again."""

    about: Described
    body: StreamingBody


class Listed(NamedTuple):
    """Names below a prefix, those that are prefixes themselves among them with a slash; when each object was written.

    Times are in seconds since 1970 by the server's clock, `now` too; `last` says that no page follows.
    """

    names: list[str]
    modified: dict[str, float]
    now: float
    last: bool

    def ages(self) -> dict[str, float]:
        """Return how many seconds ago each object was written."""
        return {name: self.now - modified for name, modified in self.modified.items()}


class Walked(NamedTuple):
    """An object of a listing: its size in bytes; its time in seconds since 1970."""

    key: str
    size: int
    modified: float
    etag: str


class Bucket:
    """A bucket, or what is in it below the root. Keys are relative to that. Shared by threads."""

    def __init__(self, settings: Settings) -> None:
        self.name = settings.bucket
        self._client = connect(settings)
        self._process = os.getpid()
        self._guard = threading.Lock()
        # Ceph compares an ETag with what it is given, quotes and all; the probe at start finds out.
        self.quotes = True
        self._prefix = settings.prefix
        self._errors = TranslatedErrors()
        self._encryption = _encryption(settings)
        self._storage_class: dict[str, Any] = {"StorageClass": settings.storage_class} if settings.storage_class else {}

    @property
    def client(self) -> S3Client:
        """The client, with connections of this process alone: those that a fork left it are another's too."""
        if self._process != os.getpid():
            with self._guard:
                if self._process != os.getpid():
                    self._client.close()
                    self._process = os.getpid()
        return self._client

    def close(self) -> None:
        """Let go of all connections; they are made anew when they are needed."""
        self._client.close()

    def head(self, key: str) -> Described:
        """Describe an object. Raises `NotFound`."""
        with self._errors:
            return _describe(self.client.head_object(Bucket=self.name, Key=self._prefix + key))

    def open(self, key: str, start: int = 0, etag: str | None = None) -> Opened:
        """Ask for an object, from byte `start`. Raises `NotFound`, and `Conflict` if it has another ETag."""
        conditions: dict[str, Any] = {"Range": f"bytes={start}-"} if start else {}
        if etag is not None:
            conditions["IfMatch"] = self._spelled(etag)
        with self._errors:
            answer = self.client.get_object(Bucket=self.name, Key=self._prefix + key, **conditions)
        return Opened(_describe(answer), answer["Body"])

    def read(self, key: str) -> tuple[bytes, Described]:
        """Return an object whole, and what it is, asking again if its body breaks off. Raises `NotFound`."""
        failed: Unavailable | None = None
        for pause in pauses(_READS, first=0.1):
            opened = self.open(key)
            try:
                with self._errors:
                    return opened.body.read(), opened.about
            except Unavailable as error:
                failed = error
                time.sleep(pause)
            finally:
                opened.body.close()
        raise Unavailable(f"{key} can't be read: {failed}")

    def put(
        self,
        key: str,
        body: Body,
        *,
        only_if: str | None = None,
        metadata: Mapping[str, str] | None = None,
        large: bool = False,
    ) -> str:
        """Write an object and return its ETag.

        With `only_if`, an ETag or `ABSENT`, only if that is there now; raises `Conflict` if not, which it also does if
        the server got this very request twice and did it the first time: see `swap`.
        """
        condition: dict[str, Any] = {}
        if only_if == ABSENT:
            condition["IfNoneMatch"] = "*"
        elif only_if is not None:
            condition["IfMatch"] = self._spelled(only_if)
        more = self._encryption | (self._storage_class if large else {})
        for pause in pauses(_COLLISIONS):
            try:
                with self._errors:
                    answer = self.client.put_object(
                        Bucket=self.name,
                        Key=self._prefix + key,
                        Body=cast(bytes, body),
                        Metadata=dict(metadata or {}),
                        **condition,
                        **more,
                    )
                return answer["ETag"]
            except NotFound:
                raise Conflict("the object is gone") from None
            except Collision:
                time.sleep(pause)
        raise Unavailable(f"{key} is written by too many at once")

    def swap(self, key: str, body: bytes, *, only_if: str, metadata: Mapping[str, str] | None = None) -> str:
        """Write as `put` does, and tell a conflict with somebody else from one with a repetition of this request."""
        write = uuid.uuid4().hex
        try:
            return self.put(key, body, only_if=only_if, metadata={**(metadata or {}), _WRITE: write})
        except Conflict:
            try:
                found = self.head(key)
            except NotFound:
                raise Conflict("the object is gone") from None
            if found.metadata.get(_WRITE) == write:
                return found.etag
            raise

    def copy(self, key: str, to: str) -> None:
        """Copy an object inside the store; to its own key, that renews its time. Raises `NotFound`."""
        about = self.head(key)
        with self._errors:
            self.client.copy_object(
                Bucket=self.name,
                Key=self._prefix + to,
                CopySource={"Bucket": self.name, "Key": self._prefix + key},
                Metadata=dict(about.metadata),
                MetadataDirective="REPLACE",
                **self._encryption,
                **self._storage_class,
            )

    def delete(self, key: str) -> None:
        """Remove an object, if it is there."""
        with self._errors:
            self.client.delete_object(Bucket=self.name, Key=self._prefix + key)

    def list(self, prefix: str, after: str = "", *, most: int = 1000) -> Iterator[Listed]:
        """Yield what is directly below `prefix`, which ends in a slash, after a name, page by page.

        A server sorts as it likes, but leaves nothing out from one page to the next.
        """
        whole = self._prefix + prefix
        going_on: dict[str, Any] = {"StartAfter": whole + after} if after else {}
        while True:
            with self._errors:
                answer = self.client.list_objects_v2(
                    Bucket=self.name, Prefix=whole, Delimiter="/", MaxKeys=most, **going_on
                )
            found = {one["Key"][len(whole) :]: one["LastModified"].timestamp() for one in answer.get("Contents", ())}
            # SeaweedFS shows the prefix itself too, where something was below it.
            modified = {name: when for name, when in found.items() if name}
            below = [one["Prefix"][len(whole) :] for one in answer.get("CommonPrefixes", ())]
            last = not answer["IsTruncated"]
            yield Listed([*modified, *below], modified, _date(answer), last)
            if last:
                return
            going_on = {"ContinuationToken": answer["NextContinuationToken"]}

    def walk(self, prefix: str) -> Iterator[Walked]:
        """Yield all objects whose keys begin with `prefix`."""
        going_on: dict[str, Any] = {}
        while True:
            with self._errors:
                answer = self.client.list_objects_v2(Bucket=self.name, Prefix=self._prefix + prefix, **going_on)
            for one in answer.get("Contents", ()):
                key, modified = one["Key"][len(self._prefix) :], one["LastModified"].timestamp()
                if not key.endswith("/"):
                    yield Walked(key, one["Size"], modified, one["ETag"])
            if not answer["IsTruncated"]:
                return
            going_on = {"ContinuationToken": answer["NextContinuationToken"]}

    def unfinished(self, prefix: str) -> Iterator[tuple[str, str, float]]:
        """Yield the multipart uploads to keys that begin with `prefix`: key, identifier, and when each was begun."""
        going_on: dict[str, Any] = {}
        while True:
            with self._errors:
                answer = self.client.list_multipart_uploads(Bucket=self.name, Prefix=self._prefix + prefix, **going_on)
            for one in answer.get("Uploads", ()):
                yield one["Key"][len(self._prefix) :], one["UploadId"], one["Initiated"].timestamp()
            if not answer.get("IsTruncated"):
                return
            going_on = {"KeyMarker": answer["NextKeyMarker"], "UploadIdMarker": answer["NextUploadIdMarker"]}

    def begin(self, key: str) -> str:
        """Begin a multipart upload; returns its identifier."""
        with self._errors:
            answer = self.client.create_multipart_upload(
                Bucket=self.name, Key=self._prefix + key, **self._encryption, **self._storage_class
            )
        return answer["UploadId"]

    def part(self, key: str, upload: str, number: int, body: Body) -> str:
        """Send a part, the first of which has the number 1; returns its ETag. Raises `NoUpload`."""
        with self._errors:
            answer = self.client.upload_part(
                Bucket=self.name, Key=self._prefix + key, UploadId=upload, PartNumber=number, Body=cast(bytes, body)
            )
        return answer["ETag"]

    def complete(self, key: str, upload: str, etags: Sequence[str]) -> None:
        """Make an object of all parts. Raises `NoUpload`."""
        parts: Any = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
        with self._errors:
            self.client.complete_multipart_upload(
                Bucket=self.name, Key=self._prefix + key, UploadId=upload, MultipartUpload={"Parts": parts}
            )

    def abort(self, key: str, upload: str) -> None:
        """Forget a multipart upload and its parts. Raises `NoUpload`."""
        with self._errors:
            self.client.abort_multipart_upload(Bucket=self.name, Key=self._prefix + key, UploadId=upload)

    def _spelled(self, etag: str) -> str:
        return etag if self.quotes else etag.strip('"')


def _describe(answer: Any) -> Described:
    """Describe the object of a GET or HEAD; of a range, the whole of which it is one."""
    content_range = answer.get("ContentRange")
    size = int(content_range.rpartition("/")[2]) if content_range else answer["ContentLength"]
    modified: datetime = answer["LastModified"]
    return Described(size, answer["ETag"], answer.get("Metadata", {}), modified.timestamp(), _date(answer))


def _date(answer: Any) -> float:
    """Return what the server's clock says, in seconds since 1970; it differs from ours."""
    date: str | None = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return time.time() if date is None else parsedate_to_datetime(date).timestamp()


def _encryption(settings: Settings) -> dict[str, Any]:
    if settings.key_id:
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": settings.key_id}
    return {"ServerSideEncryption": "AES256"} if settings.encrypt else {}
