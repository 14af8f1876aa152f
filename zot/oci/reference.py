"""References: the last part of a manifest's address, a tag or a digest."""

from __future__ import annotations

import re

from zot.oci import digest as digests
from zot.oci import names
from zot.oci.digest import Digest

_NAMES_A_DIGEST = re.compile(r"(sha256-[0-9a-f]{64}|sha384-[0-9a-f]{96}|sha512-[0-9a-f]{128})(\.(sig|att|sbom))?")


def parse(text: str) -> Digest | str:
    """Read a reference; a tag stays a string. Raises `DigestInvalid` or `ManifestInvalid`."""
    if ":" in text:
        return digests.parse(text)
    return names.check_tag(text)


def subject_of_tag(tag: str) -> Digest | None:
    """Return the manifest that a tag says it belongs to: cosign's signatures, attestations and bills of materials.

    The tag of the referrers fallback scheme is such a name too (distribution specification, "Referrers Tag Schema").
    """
    match = _NAMES_A_DIGEST.fullmatch(tag)
    return digests.from_filename(match.group(1)) if match is not None else None
