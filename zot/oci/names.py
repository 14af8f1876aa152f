"""Names of repositories and tags, as the distribution specification's section "Pulling manifests" defines them.

The storage layout adds two rules, said in the error: a name is at most 255 bytes, as given and as encoded for one file
name, and its later components may not be those that an OCI image layout uses for itself.
"""

from __future__ import annotations

import re
from functools import lru_cache

from zot.errors import ManifestInvalid, NameInvalid

MAX_BYTES = 255
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_LAYOUT_OWN = frozenset({"blobs", "index.json", "oci-layout"})


@lru_cache(maxsize=16384)
def check_repository(name: str) -> str:
    """Return the repository name if it is a good one; raises `NameInvalid` otherwise."""
    if len(name) > MAX_BYTES:
        raise _invalid(name, f"it is longer than {MAX_BYTES} bytes", "choose a shorter name")
    if _REPOSITORY.fullmatch(name) is None:
        raise _invalid(
            name,
            "it does not follow the grammar of the distribution specification",
            "use lower-case letters and digits, joined by one of . _ __ - and components joined by /",
        )
    if len(encode(name)) > MAX_BYTES:
        raise _invalid(name, f"with its dots and slashes encoded it exceeds {MAX_BYTES} bytes", "choose a shorter name")
    reserved = _LAYOUT_OWN.intersection(name.split("/")[1:])
    if reserved:
        raise _invalid(
            name,
            f"the component {min(reserved)!r} would collide with the image layout on disk",
            "rename that component",
        )
    return name


def is_repository(name: str) -> bool:
    """Tell whether this is a good name of a repository."""
    try:
        check_repository(name)
    except NameInvalid:
        return False
    return True


def is_tag(text: object) -> bool:
    """Tell whether this is a good tag."""
    return isinstance(text, str) and _TAG.fullmatch(text) is not None


def check_tag(tag: str) -> str:
    """Return the tag if it is a good one; raises `ManifestInvalid` otherwise."""
    if not is_tag(tag):
        raise ManifestInvalid(
            f"{tag[:160]!r} is not a tag",
            "use 1 to 128 letters, digits and . _ - and don't begin with . or -",
            detail={"reference": tag[:160]},
        )
    return tag


def encode(name: str) -> str:
    """Return the repository name as one path component: flat, reversible, and in the same byte order."""
    return name.replace(".", ".0").replace("/", ".1")


def decode(encoded: str) -> str:
    """Undo `encode`."""
    return encoded.replace(".1", "/").replace(".0", ".")


def _invalid(name: str, why: str, remedy: str) -> NameInvalid:
    shown = name[:300]
    return NameInvalid(f"{shown!r} can't name a repository: {why}", remedy, detail={"name": shown})
