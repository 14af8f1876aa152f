"""What can go wrong, one class per error code of the OCI distribution specification.

A registry function raises; `zot.api.rendering` turns what was raised into the one error document. Every error carries a
reason (what is wrong with this request) and a remedy (what the caller can do about it).

    RegistryError
      BlobUnknown  BlobUploadInvalid  BlobUploadUnknown  DigestInvalid  Denied  ManifestBlobUnknown  ManifestInvalid
      ManifestUnknown  NameInvalid  NameUnknown  RangeUnsatisfiable  RequestInvalid  SizeInvalid  TooManyRequests
      Unauthorized  Unavailable  Unsupported
    StartupError
"""

from __future__ import annotations

from collections.abc import Mapping


class StartupError(Exception):
    """The server can't start; `problem` says why and `remedy` how to mend it, each without a full stop."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.problem = problem
        self.remedy = remedy


class RegistryError(Exception):
    """An answer of 4xx or 5xx, as the specification's section "Error Codes" has it.

    `detail` holds further facts for programs (digests, limits); `headers` are sent with the answer.
    """

    code = "UNSUPPORTED"
    status = 400
    message = "the operation is unsupported"

    def __init__(
        self,
        reason: str,
        remedy: str,
        *,
        status: int | None = None,
        detail: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy
        self.status = status or type(self).status
        self.detail = dict(detail or {})
        self.headers = dict(headers or {})

    def document(self) -> dict[str, object]:
        """Return the error document, ready for JSON.

        The message begins as zot's does, and says the reason too: docker, podman and skopeo show no detail.
        """
        detail = {"reason": self.reason, "remedy": self.remedy, **self.detail}
        return {"errors": [{"code": self.code, "message": f"{self.message}: {self.reason}", "detail": detail}]}


class BlobUnknown(RegistryError):
    """The blob is not in this repository."""

    code = "BLOB_UNKNOWN"
    status = 404
    message = "blob unknown to registry"


class BlobUploadInvalid(RegistryError):
    """The upload can't go on as asked: wrong offset, malformed range, or another request is writing to it."""

    code = "BLOB_UPLOAD_INVALID"
    status = 400
    message = "blob upload invalid"


class BlobUploadUnknown(RegistryError):
    """No such upload session in this repository."""

    code = "BLOB_UPLOAD_UNKNOWN"
    status = 404
    message = "blob upload unknown to registry"


class DigestInvalid(RegistryError):
    """The digest is malformed, of an unknown algorithm, or not that of the content."""

    code = "DIGEST_INVALID"
    status = 400
    message = "provided digest did not match uploaded content"


class Denied(RegistryError):
    """The caller is known and may not do this, or the state of the registry forbids it."""

    code = "DENIED"
    status = 403
    message = "requested access to the resource is denied"


class ManifestBlobUnknown(RegistryError):
    """A manifest names blobs that are not in its repository."""

    code = "MANIFEST_BLOB_UNKNOWN"
    status = 400
    message = "manifest references a manifest or blob unknown to registry"


class ManifestInvalid(RegistryError):
    """The manifest is not what its media type promises, or its reference is malformed."""

    code = "MANIFEST_INVALID"
    status = 400
    message = "manifest invalid"


class ManifestUnknown(RegistryError):
    """No manifest of that tag or digest in this repository."""

    code = "MANIFEST_UNKNOWN"
    status = 404
    message = "manifest unknown"


class NameInvalid(RegistryError):
    """The repository name is not one the specification allows, or collides with the storage layout."""

    code = "NAME_INVALID"
    status = 400
    message = "invalid repository name"


class NameUnknown(RegistryError):
    """No such repository."""

    code = "NAME_UNKNOWN"
    status = 404
    message = "repository name not known to registry"


class RangeUnsatisfiable(RegistryError):
    """No byte of the blob is in the requested range (RFC 9110, section 15.5.17)."""

    code = "UNSUPPORTED"
    status = 416
    message = "requested range not satisfiable"


class RequestInvalid(RegistryError):
    """The body or a parameter of a request to zot's own API is not as it has to be; the specification has no code."""

    code = "REQUEST_INVALID"
    status = 400
    message = "the request is not as it has to be"


class SizeInvalid(RegistryError):
    """The body is not as long as it says, or longer than is allowed."""

    code = "SIZE_INVALID"
    status = 400
    message = "provided length did not match content length"


class TooManyRequests(RegistryError):
    """The caller asks too often, or too much at once."""

    code = "TOOMANYREQUESTS"
    status = 429
    message = "too many requests"


class Unauthorized(RegistryError):
    """The caller must say who they are. `because` is why, for the log only: the answer may not tell it to strangers."""

    code = "UNAUTHORIZED"
    status = 401
    message = "authentication required"
    because = ""


class Unavailable(RegistryError):
    """The store can't do this now (full, failing, busy); nothing was changed."""

    code = "UNAVAILABLE"
    status = 503
    message = "the registry cannot do this now"


class Unsupported(RegistryError):
    """The registry does not do this."""

    code = "UNSUPPORTED"
    status = 405
    message = "the operation is unsupported"
