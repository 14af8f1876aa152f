"""Names, references, digests and queries that are not what they should be, and odd ones that are."""

from __future__ import annotations

import json

import pytest

from tests.hostile.wire import BLOB, ask, is_refusal, push_image
from tests.images import OCI_MANIFEST, digest_of, manifest
from tests.servers import Server

HEX = digest_of(BLOB).removeprefix("sha256:")
ROUTES = [
    ("GET", "tags/list"),
    ("HEAD", "manifests/v1"),
    ("GET", "manifests/v1"),
    ("PUT", "manifests/v1"),
    ("DELETE", "manifests/v1"),
    ("GET", f"blobs/sha256:{HEX}"),
    ("DELETE", f"blobs/sha256:{HEX}"),
    ("POST", "blobs/uploads/"),
    ("PATCH", "blobs/uploads/00000000-0000-0000-0000-000000000000"),
    ("GET", f"referrers/sha256:{HEX}"),
]
BAD_NAMES = {
    "parent": "../good",
    "parent inside": "good/../good",
    "encoded parent": "%2e%2e/good",
    "encoded slash": "good%2Fgood",
    "backslash": "good%5Cgood",
    "NUL": "good%00",
    "newline": "good%0A",
    "upper case": "Good",
    "unicode": "caf%C3%A9",
    "full width": "%EF%BD%81",
    "not UTF-8": "%FF%FE",
    "empty component": "good//good",
    "dot": "good/./x",
    "leading dash": "-good",
    "trailing dot": "good.",
    "two dots": "go..od",
    "three underscores": "go___od",
    "256 bytes": "a" * 256,
    "encoded too long": "a/" * 127 + "a",
    "storage": "_zot-blobs",
    "layout's blobs": "good/blobs",
    "layout's index": "good/index.json",
    "layout's marker": "good/oci-layout/x",
    "space": "go%20od",
    "percent": "go%25od",
}
GOOD_NAMES = [
    "a" * 255,
    "a/" * 64 + "a",
    "blobs",
    "index.json",
    "oci-layout",
    "manifests",
    "tags/list",
    "tags/list/tags/list",
    "a/manifests/b",
    "a/manifests/manifests",
    "blobs/uploads",
    "uploads",
    "referrers/x",
    "zot-blobs",
    "a__b/c--d",
    "v2",
]


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES)
def test_a_bad_name_is_refused_on_every_route(besieged: Server, name: str) -> None:
    """No route does anything for a name that is none; each says that it is the name, or that nothing is there."""
    for method, rest in ROUTES:
        body = b"x" if method in ("PUT", "PATCH") else b""
        answer = ask(besieged, method, f"/v2/{name}/{rest}", {}, body)
        assert answer.status in (400, 404), (method, answer)
        is_refusal(answer, answer.status, "NAME_INVALID" if answer.status == 400 else None, method)


@pytest.mark.parametrize("path", ["/v2/../etc/passwd", "/../../etc/passwd", "/v2/good/manifests/../../../x", "/v2/.."])
@pytest.mark.parametrize("dots", ["..", "%2e%2e", ".%2E"])
def test_traversal_leads_nowhere(besieged: Server, path: str, dots: str) -> None:
    """A path that climbs is refused, written plainly or encoded."""
    answer = ask(besieged, "GET", path.replace("..", dots))
    assert answer.status in (400, 404)
    is_refusal(answer, answer.status)


def test_odd_names_are_names(shared_server: Server) -> None:
    """Words of the API and of the layout are names where the rules allow it, and none is mistaken for another."""
    for place, name in enumerate(GOOD_NAMES):
        push_image(shared_server, name, f"v{place}")
    for place, name in enumerate(GOOD_NAMES):
        answer = ask(shared_server, "GET", f"/v2/{name}/tags/list")
        assert json.loads(answer.body) == {"name": name, "tags": [f"v{place}"]}
        assert ask(shared_server, "GET", f"/v2/{name}/manifests/v{place}").body == manifest()
        assert ask(shared_server, "GET", f"/v2/{name}/blobs/{digest_of(BLOB)}").body == BLOB
    listed = json.loads(ask(shared_server, "GET", "/v2/_catalog").body)["repositories"]
    assert listed == sorted(GOOD_NAMES)


def test_a_tag_has_128_characters_at_most(shared_server: Server) -> None:
    """A tag of 128 characters is pushed, listed and pulled; one of 129 is refused."""
    push_image(shared_server, "long/tags", "t" * 128)
    assert ask(shared_server, "GET", f"/v2/long/tags/manifests/{'t' * 128}").status == 200
    assert json.loads(ask(shared_server, "GET", "/v2/long/tags/tags/list").body)["tags"] == ["t" * 128]
    path = f"/v2/long/tags/manifests/{'t' * 129}"
    is_refusal(ask(shared_server, "PUT", path, {"Content-Type": OCI_MANIFEST}, manifest()), 400, "MANIFEST_INVALID")


@pytest.mark.parametrize("tag", ["-x", ".x", "a%0A", "%00", "a%20b", "a+b", "caf%C3%A9", "..", "a@b", "t" * 129])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_a_bad_tag_is_refused(besieged: Server, method: str, tag: str) -> None:
    """What can't be a tag is neither looked for nor written."""
    body = manifest() if method == "PUT" else b""
    answer = ask(besieged, method, f"/v2/good/manifests/{tag}", {"Content-Type": OCI_MANIFEST}, body)
    is_refusal(answer, 400, "MANIFEST_INVALID", method)


@pytest.mark.parametrize(
    "digest",
    ["sha256:", f"sha256:{HEX[1:]}", f"sha256:{HEX}0", f"sha256:{HEX.upper()}", f"SHA256:{HEX}", f"sha512:{HEX}",
     "md5:781e5e245d69b566979b86e28d23f2c7", f"sha256:{HEX[:-1]}g", f"sha256:{HEX}%0A", f"sha256:{HEX}:{HEX}",
     f"sha256+b64:{HEX}", f":{HEX}", f"sha256:%00{HEX[1:]}", f"sha256:..%5C{HEX[3:]}"],
)  # fmt: skip
def test_a_bad_digest_is_refused(besieged: Server, digest: str) -> None:
    """A digest of wrong length, case, letters or algorithm is refused wherever one goes."""
    for method, path in [
        ("GET", f"blobs/{digest}"),
        ("HEAD", f"blobs/{digest}"),
        ("DELETE", f"blobs/{digest}"),
        ("GET", f"manifests/{digest}"),
        ("PUT", f"manifests/{digest}"),
        ("DELETE", f"manifests/{digest}"),
        ("GET", f"referrers/{digest}"),
        ("POST", f"blobs/uploads/?digest={digest.replace('+', '%2B')}"),
        ("POST", f"blobs/uploads/?mount={digest.replace('+', '%2B')}&from=good"),
    ]:
        body = manifest() if method == "PUT" else b""
        answer = ask(besieged, method, f"/v2/good/{path}", {"Content-Type": OCI_MANIFEST}, body)
        is_refusal(answer, 400, "DIGEST_INVALID", method)


@pytest.mark.parametrize("n", ["-1", "1e3", "0x10", "", "%201", "1.0", "NaN", "%D9%A3", "1_000", "one"])
@pytest.mark.parametrize("path", ["good/tags/list", "_catalog"])
def test_a_page_length_that_is_no_number_is_refused(besieged: Server, path: str, n: str) -> None:
    """Lists refuse an `n` that is not a number of entries."""
    is_refusal(ask(besieged, "GET", f"/v2/{path}?n={n}"), 400, "PAGINATION_NUMBER_INVALID")


@pytest.mark.parametrize("query", [f"n={'9' * 3000}", "n=1&n=2", "last=%00", "last=%FF%FE", f"last={'%2F' * 500}", "x"])
@pytest.mark.parametrize("path", ["good/tags/list", "_catalog", f"good/referrers/sha256:{HEX}"])
def test_odd_queries_are_answered(besieged: Server, path: str, query: str) -> None:
    """A huge `n` is bounded, and `last` may be anything."""
    assert ask(besieged, "GET", f"/v2/{path}?{query}").status == 200


@pytest.mark.parametrize(
    "value",
    ["bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-2", "bytes=10-", "bytes=-0", "bytes=0-1-2", "bytes=+1-2",
     "bytes=" + "9" * 400 + "-", "bytes=" + ",".join(["0-0"] * 17), "bytes=\xb2-\xb3", "bytes=0-0;1-1"],
)  # fmt: skip
def test_ranges_that_make_no_sense(besieged: Server, value: str) -> None:
    """A Range that is malformed or holds nothing is 416 with the blob's size, or does not count; never a wrong part."""
    answer = ask(besieged, "GET", f"/v2/good/blobs/{digest_of(BLOB)}", {"Range": value})
    if answer.status == 200:
        assert answer.body == BLOB
    else:
        is_refusal(answer, 416)
        assert answer.headers["content-range"] == "bytes */10"


@pytest.mark.parametrize("value", ["", '"', "*,", 'W/"', '"sha256:bad"', "\xff", ", ," * 100, "sha256:" + HEX])
def test_if_none_match_that_matches_nothing(besieged: Server, value: str) -> None:
    """An If-None-Match that names nothing gives the content."""
    for path in (f"blobs/{digest_of(BLOB)}", "manifests/v1"):
        assert ask(besieged, "GET", f"/v2/good/{path}", {"If-None-Match": value}).status == 200
