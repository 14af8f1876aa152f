"""Names, digests and ranges, for any text."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zot.api import ranges
from zot.errors import DigestInvalid, ManifestInvalid, NameInvalid, RangeUnsatisfiable
from zot.oci import digest as digests
from zot.oci import names
from zot.oci import reference as references

NAMES = st.from_regex(r"[a-z0-9]+((\.|_|__|-+|/)[a-z0-9]+){0,6}", fullmatch=True)


@given(name=NAMES)
def test_encoding_is_reversible_and_flat(name: str) -> None:
    """A name comes back from its encoding, which is one component."""
    assert names.decode(names.encode(name)) == name
    assert "/" not in names.encode(name)


@given(one=NAMES, other=NAMES)
def test_encoding_keeps_the_order(one: str, other: str) -> None:
    """Encoded names sort as the names do, by bytes, and are different if the names are."""
    assert (one < other) == (names.encode(one) < names.encode(other))


@given(text=st.text(max_size=300))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    """Any text is a good name, or refused with an error of its own; what is good can't leave its directory."""
    try:
        name = names.check_repository(text)
    except NameInvalid as error:
        assert error.remedy
    else:
        assert ".." not in name.split("/")
        assert not name.startswith(("/", "_", "."))
        assert len(names.encode(name)) <= names.MAX_BYTES


def test_the_longest_names() -> None:
    """255 bytes are a name and 256 are not; a name whose encoding is longer is refused too."""
    assert names.check_repository("a" * 255)
    for name in ("a" * 256, "a." * 127 + "a"):
        with pytest.raises(NameInvalid):
            names.check_repository(name)
    assert names.check_tag("a" * 128)
    with pytest.raises(ManifestInvalid):
        names.check_tag("a" * 129)


@given(content=st.binary(), algorithm=st.sampled_from(["sha256", "sha384", "sha512"]))
def test_a_digest_is_read_back(content: bytes, algorithm: str) -> None:
    """A digest survives its text and its file name."""
    digest = digests.of(content, algorithm)
    assert digests.parse(str(digest)) == digests.from_filename(digest.filename) == digest
    assert references.parse(str(digest)) == digest


@pytest.mark.parametrize(
    "text",
    ["", "sha256", "sha256:", "sha256:abc", "md5:" + "0" * 32, "sha256:" + "A" * 64, "sha256:" + "0" * 64 + "\n"],
)
def test_what_is_no_digest(text: str) -> None:
    """Malformed digests and unknown algorithms are refused."""
    with pytest.raises(DigestInvalid):
        digests.parse(text)


@given(
    size=st.integers(0, 50), specs=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=5)
)
def test_ranges_hold_what_was_asked(size: int, specs: list[tuple[int, int]]) -> None:
    """The ranges found hold exactly the bytes asked for that are there, sorted and apart; or there are none."""
    asked = [(min(pair), max(pair)) for pair in specs]
    wanted = {byte for first, last in asked for byte in range(first, min(last + 1, size))}
    header = "bytes=" + ",".join(f"{first}-{last}" for first, last in asked)
    try:
        found = ranges.parse(header, size) or []
    except RangeUnsatisfiable:
        found = []
    assert {byte for one in found for byte in range(one.start, one.stop)} == wanted
    assert all(one.stop < other.start for one, other in pairwise(found))


@given(header=st.text(max_size=40), size=st.integers(0, 2**63))
def test_any_range_is_answered(header: str, size: int) -> None:
    """Whatever a header holds, it gives ranges within the blob, the whole, or a 416."""
    try:
        found = ranges.parse(f"bytes={header}", size)
    except RangeUnsatisfiable as error:
        assert error.headers["Content-Range"] == f"bytes */{size}"
    else:
        assert all(0 <= one.start < one.stop <= size for one in found or [])
