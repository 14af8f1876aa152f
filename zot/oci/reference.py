"""References: the last part of a manifest's address, a tag or a digest."""

from __future__ import annotations

from zot.oci import digest as digests
from zot.oci import names
from zot.oci.digest import Digest


def parse(text: str) -> Digest | str:
    """Read a reference; a tag stays a string. Raises `DigestInvalid` or `ManifestInvalid`."""
    if ":" in text:
        return digests.parse(text)
    return names.check_tag(text)
