"""A client that pushes and pulls small images and knows what each answer means."""

from __future__ import annotations

import hashlib
import http.client
import json
from collections.abc import Mapping
from typing import NamedTuple

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = b"{}"


class Answer(NamedTuple):
    """Status, headers in lower case, body."""

    status: int
    headers: dict[str, str]
    body: bytes


class UnexpectedAnswer(Exception):
    """A status that no state of a correct registry explains."""


class Refused(UnexpectedAnswer):
    """The registry can't do it now (503): it has not been done, or it can't tell."""


class Lost(Exception):
    """The connection broke before the answer came: what was asked for may have happened, or may still, or never."""


def digest_of(content: bytes) -> str:
    """Return the sha256 digest."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def manifest(*layers: bytes, note: str = "") -> bytes:
    """Return a manifest of the common config and these layers; `note` makes it differ."""

    def descriptor(content: bytes, kind: str) -> dict[str, object]:
        media_type = f"application/vnd.oci.image.{kind}"
        return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}

    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, "config.v1+json"),
        "layers": [descriptor(layer, "layer.v1.tar") for layer in layers],
        "annotations": {"note": note},
    }
    return json.dumps(document).encode()


class Client:
    """One keep-alive connection."""

    def __init__(self, host: str) -> None:
        self._connection = http.client.HTTPConnection(host, timeout=60)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request and read its answer. Raises `Lost`; the next request is sent on a new connection then."""
        try:
            self._connection.request(method, path, body, dict(headers or {}))
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Lost(f"{method} {path}: {error!r}") from error
        return Answer(answer.status, {key.lower(): value for key, value in answer.getheaders()}, content)

    def expect(self, answer: Answer, *statuses: int) -> Answer:
        """Return the answer if it has one of the statuses; raises `UnexpectedAnswer`."""
        if answer.status not in statuses:
            kind = Refused if answer.status == 503 else UnexpectedAnswer
            raise kind(f"{answer.status} instead of {statuses}: {answer.body[:500]!r}")
        return answer

    def push_blob(self, name: str, content: bytes) -> str:
        """Push a blob; returns its digest."""
        digest = digest_of(content)
        where = self.expect(self.request("POST", f"/v2/{name}/blobs/uploads/"), 202).headers["location"]
        separator = "&" if "?" in where else "?"
        self.expect(self.request("PUT", f"{where}{separator}digest={digest}", content), 201)
        return digest

    def put_manifest(self, name: str, reference: str, body: bytes) -> Answer:
        """Push a manifest."""
        return self.request("PUT", f"/v2/{name}/manifests/{reference}", body, {"Content-Type": MANIFEST})

    def has_tag(self, name: str, tag: str) -> bool:
        """Tell whether the list of tags has this one."""
        answer = self.expect(self.request("GET", f"/v2/{name}/tags/list"), 200)
        return tag in (json.loads(answer.body)["tags"] or [])

    def tags(self, name: str) -> set[str]:
        """Return all tags, page by page."""
        found: list[str] = []
        while True:
            path = f"/v2/{name}/tags/list?n=1000" + (f"&last={found[-1]}" if found else "")
            page = json.loads(self.expect(self.request("GET", path), 200).body)["tags"] or []
            found += page
            if len(page) < 1000:
                return set(found)

    def missing_blobs(self, name: str, body: bytes) -> list[str]:
        """Return the digests that a manifest names and that its repository does not have."""
        document = json.loads(body)
        named = [one["digest"] for one in (document["config"], *document["layers"])]
        return [one for one in named if self.request("HEAD", f"/v2/{name}/blobs/{one}").status != 200]

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
