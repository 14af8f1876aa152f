"""Digests: `algorithm:hex`, as the image specification's descriptor section defines them."""

from __future__ import annotations

import hashlib
import re
from typing import BinaryIO, NamedTuple, Protocol

from zot.errors import DigestInvalid

ALGORITHMS = ("sha256", "sha384", "sha512")
# Quicker than to look them up by name.
_HASHES = {"sha256": hashlib.sha256, "sha384": hashlib.sha384, "sha512": hashlib.sha512}

_GRAMMAR = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}|sha384:[0-9a-f]{96}")
_PIECE = 1024 * 1024


class Hasher(Protocol):
    """A running hash, as `hashlib` makes them."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take in more bytes."""

    def hexdigest(self) -> str:
        """Return the digest of all bytes so far, in hexadecimal."""


class Digest(NamedTuple):
    """A checked digest."""

    algorithm: str
    hex: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"

    @property
    def filename(self) -> str:
        """The digest as one path component, `algorithm-hex`; the tag of the referrers fallback scheme is the same."""
        return f"{self.algorithm}-{self.hex}"


def parse(text: str) -> Digest:
    """Read a digest from its text.

    Raises `DigestInvalid` for a malformed digest and for an algorithm that this registry does not know.
    """
    if _GRAMMAR.fullmatch(text) is None:
        raise DigestInvalid(
            f"{text[:160]!r} is not a digest",
            "write it as sha256:, sha384: or sha512: followed by 64, 96 or 128 lower-case hexadecimal digits",
            detail={"digest": text[:160]},
        )
    algorithm, _, hexadecimal = text.partition(":")
    return Digest(algorithm, hexadecimal)


def from_filename(name: str) -> Digest:
    """Read a digest back from `Digest.filename`."""
    return parse(name.replace("-", ":", 1))


def hasher(algorithm: str) -> Hasher:
    """Return a fresh running hash of the algorithm."""
    return _HASHES[algorithm]()


def of(content: bytes, algorithm: str = "sha256") -> Digest:
    """Compute the digest of some bytes."""
    return Digest(algorithm, _HASHES[algorithm](content).hexdigest())


def of_file(file: BinaryIO, algorithm: str) -> Digest:
    """Compute the digest of what an open file holds from where it stands."""
    running = hasher(algorithm)
    while piece := file.read(_PIECE):
        running.update(piece)
    return Digest(algorithm, running.hexdigest())
