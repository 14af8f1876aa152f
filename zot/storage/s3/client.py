"""boto3's client, set up for this driver; and its errors as those of the storage protocol."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from urllib3.exceptions import HTTPError

from zot.storage.protocol import Full, NotFound, StorageError, Unavailable
from zot.storage.s3.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

# One call takes at most about 70 seconds: that is what the locks reckon with.
_CONNECT_SECONDS = 5
_READ_SECONDS = 15
_ATTEMPTS = 4
# A pool makes connections as they are needed; it has to have room for as many as there are threads.
_MOST_CONNECTIONS = 1024

_NO_ROOM = frozenset({"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage"})
_NOT_THERE = frozenset({"NoSuchKey", "404", "NotFound"})
_NOT_AS_EXPECTED = frozenset({"PreconditionFailed", "412"})


class Conflict(StorageError):
    """An object is not what a conditional request expects; nothing was changed."""


class Collision(StorageError):
    """The store could not tell which of two writers comes first; the request may be sent again."""


class NoUpload(StorageError):
    """There is no such multipart upload: it was completed or aborted, or its parts are not those that were named."""


def connect(settings: Settings) -> S3Client:
    """Make a client, which threads share. It connects when it is used."""
    in_path = settings.path_style if settings.path_style is not None else settings.endpoint is not None
    config = Config(
        signature_version="s3v4",
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        # boto3 repeats what failed by the network or the server's doing, with pauses that grow and vary.
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        max_pool_connections=_MOST_CONNECTIONS,
        tcp_keepalive=True,
        # Every S3 server checks the SHA-256 of a signed body. The newer checksums are unknown to some.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={
            "addressing_style": "path" if in_path else "auto",
            "payload_signing_enabled": True,
            "use_accelerate_endpoint": settings.accelerate,
        },
        use_dualstack_endpoint=settings.dual_stack,
        use_fips_endpoint=settings.fips,
        user_agent_extra=settings.user_agent or "",
    )
    session = boto3.session.Session(
        aws_access_key_id=settings.access_key,
        aws_secret_access_key=settings.secret_key,
        aws_session_token=settings.session_token,
        region_name=settings.region,
    )
    return session.client(
        "s3",
        endpoint_url=settings.url,
        # A server of one's own has no regions, and a request can't be signed without one.
        region_name=session.region_name or "us-east-1",
        use_ssl=settings.secure,
        verify=False if settings.skip_verify else None,
        config=config,
    )


class TranslatedErrors:
    """A context that turns boto3's errors into those of the storage protocol."""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Raise the protocol's error."""
        if isinstance(error, ClientError):
            raise translate(error) from error
        if isinstance(error, BotoCoreError | HTTPClientError | HTTPError | OSError):
            raise Unavailable(f"the S3 server can't be reached, or broke off: {error}") from error


def translate(error: ClientError) -> StorageError:
    """Return the protocol's error for an answer of the S3 server."""
    code, message = error_code(error), error.response.get("Error", {}).get("Message", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _NOT_THERE:
        return NotFound("there is no such object")
    if code in _NOT_AS_EXPECTED or status == 412:
        return Conflict("the object is not what it was")
    if code == "ConditionalRequestConflict":
        return Collision("another request changes the object")
    if code in {"NoSuchUpload", "InvalidPart", "InvalidPartOrder"}:
        return NoUpload(f"the S3 server has no such parts: {code}")
    if code in _NO_ROOM or status == 507:
        return Full(f"the S3 server has no room left: {code}: {message}")
    return Unavailable(f"the S3 server answered {error.operation_name} with {status} {code}: {message}")


def error_code(error: ClientError) -> str:
    """Return the code of an answer, which is its status for a HEAD."""
    described: Any = error.response.get("Error", {})
    return str(described.get("Code", ""))
