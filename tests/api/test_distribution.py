"""The routes: parameters, statuses, headers and bodies."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.api.conftest import push_blob
from tests.images import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, descriptor, digest_of, index, manifest
from zot.app import create_app
from zot.config import Config

NOBODY = digest_of(b"nobody pushed this")


def put(client: FlaskClient, path: str, body: bytes, media_type: str = OCI_MANIFEST) -> int:
    """Push a manifest; returns the status."""
    return client.put(f"/v2/{path}", data=body, content_type=media_type).status_code


def code(answer: object) -> str:
    """Return the error code of an answer, which must have reason and remedy."""
    error = answer.get_json()["errors"][0]  # type: ignore[attr-defined]
    assert error["message"]
    assert error["detail"]["reason"]
    assert error["detail"]["remedy"]
    return str(error["code"])


def test_ping_and_health(client: FlaskClient) -> None:
    """The base says that this is a registry, and the probes say ok."""
    assert client.get("/v2/").headers["Docker-Distribution-Api-Version"] == "registry/2.0"
    for probe in ("livez", "readyz", "startupz"):
        assert (client.get(f"/{probe}").status_code, client.get(f"/{probe}").data) == (200, b"ok")
    assert b"zot_storage_copies_total" in client.get("/metrics").data


def test_a_blob_in_one_request(client: FlaskClient) -> None:
    """POST with a digest answers 201 with the blob's address, and HEAD and GET agree on it."""
    answer = client.post(f"/v2/a/b/blobs/uploads/?digest={digest_of(b'x' * 10)}", data=b"x" * 10)
    assert answer.status_code == 201
    location = answer.headers["Location"]
    head, got = client.head(location), client.get(location)
    assert (head.status_code, head.data, head.headers["Content-Length"]) == (200, b"", "10")
    assert (got.status_code, got.data) == (200, b"x" * 10)
    for name in ("Content-Length", "Content-Type", "Docker-Content-Digest", "ETag", "Accept-Ranges"):
        assert head.headers[name] == got.headers[name]


def test_a_session(client: FlaskClient) -> None:
    """POST, PATCH by chunks, status, PUT: each tells where the upload stands."""
    answer = client.post("/v2/a/blobs/uploads/")
    where = answer.headers["Location"]
    assert (answer.status_code, answer.headers["Range"]) == (202, "0-0")
    assert where.startswith("/v2/a/blobs/uploads/")
    chunk = client.patch(where, data=b"0123", headers={"Content-Range": "0-3"})
    assert (chunk.status_code, chunk.headers["Range"], chunk.headers["Location"]) == (202, "0-3", where)
    wrong = client.patch(where, data=b"zz", headers={"Content-Range": "7-8"})
    assert (wrong.status_code, wrong.headers["Range"], code(wrong)) == (416, "0-3", "BLOB_UPLOAD_INVALID")
    assert client.patch(where, data=b"45").headers["Range"] == "0-5"
    status = client.get(where)
    assert (status.status_code, status.headers["Range"]) == (204, "0-5")
    done = client.put(f"{where}?digest={digest_of(b'01234567')}", data=b"67", headers={"Content-Range": "6-7"})
    assert (done.status_code, done.headers["Location"]) == (201, f"/v2/a/blobs/{digest_of(b'01234567')}")
    assert client.get(where).status_code == 404


@pytest.mark.parametrize("header", ["3-1", "0-9", "x", "-", "0-", "bytes 0-99/100", "0-3, 4-5"])
def test_a_content_range_that_does_not_fit(client: FlaskClient, header: str) -> None:
    """A Content-Range that is malformed or of another length is 416, and the session goes on."""
    where = client.post("/v2/a/blobs/uploads/").headers["Location"]
    assert client.patch(where, data=b"0123", headers={"Content-Range": header}).status_code == 416
    assert client.patch(where, data=b"0123", headers={"Content-Range": "bytes 0-3/*"}).status_code == 202


def test_cancel(client: FlaskClient) -> None:
    """DELETE ends a session; a session of another repository is not there."""
    where = client.post("/v2/a/blobs/uploads/").headers["Location"]
    assert client.delete(where.replace("/a/", "/b/")).status_code == 404
    assert client.delete(where).status_code == 204
    assert code(client.delete(where)) == "BLOB_UPLOAD_UNKNOWN"


def test_mount(client: FlaskClient) -> None:
    """A mount answers 201 if the blob is there, with or without `from`, and else opens a session."""
    digest = push_blob(client, "a", b"shared")
    for query, status in (
        (f"mount={digest}&from=a", 201),
        (f"mount={digest}", 201),
        (f"mount={NOBODY}&from=a", 202),
        (f"mount={digest}&from=elsewhere", 202),
        ("from=a", 202),
        (f"mount={digest}&from=../a", 400),
        (f"mount={digest}&mount={digest}", 400),
        ("mount=sha256:bad", 400),
    ):
        assert client.post(f"/v2/b/blobs/uploads/?{query}").status_code == status, query
    assert client.get(f"/v2/b/blobs/{digest}").data == b"shared"


@pytest.mark.parametrize(
    ("header", "status", "body", "content_range"),
    [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
        ("bytes=0-1,2-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=5-2", 416, None, "bytes */10"),
        ("bytes=-0", 416, None, "bytes */10"),
        ("bytes=", 416, None, "bytes */10"),
        ("bytes=a-b", 416, None, "bytes */10"),
        ("bytes=" + ",".join(["0-0"] * 17), 416, None, "bytes */10"),
        ("lines=0-1", 200, b"0123456789", None),
    ],
)
def test_ranges(client: FlaskClient, header: str, status: int, body: bytes | None, content_range: str | None) -> None:
    """One range is 206 with where it lies, none that can be had is 416, and another unit is the whole."""
    digest = push_blob(client, "a", b"0123456789")
    answer = client.get(f"/v2/a/blobs/{digest}", headers={"Range": header})
    assert (answer.status_code, answer.headers.get("Content-Range")) == (status, content_range)
    if body is not None:
        assert answer.data == body
        assert answer.headers["Content-Length"] == str(len(body))


def test_several_ranges(client: FlaskClient) -> None:
    """Ranges that lie apart come as parts, in order, with the exact length of all."""
    digest = push_blob(client, "a", b"0123456789")
    answer = client.get(f"/v2/a/blobs/{digest}", headers={"Range": "bytes=8-9, 0-1,-1"})
    kind = re.fullmatch(r"multipart/byteranges; boundary=(\w+)", answer.headers["Content-Type"])
    assert answer.status_code == 206
    assert kind
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    parts = answer.data.split(b"--" + kind[1].encode())
    assert [part.strip().split(b"\r\n\r\n")[-1] for part in parts] == [b"", b"01", b"89", b"--"]
    assert b"Content-Range: bytes 8-9/10" in parts[2]


def test_if_range_and_if_none_match(client: FlaskClient) -> None:
    """A client that has the content gets 304; a range of other content than the client has is the whole."""
    path = f"/v2/a/blobs/{push_blob(client, 'a', b'0123456789')}"
    tag = client.head(path).headers["ETag"]
    for value in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        answer = client.get(path, headers={"If-None-Match": value})
        assert (answer.status_code, answer.data) == (304, b"")
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    assert client.get(path, headers={"Range": "bytes=0-1", "If-Range": tag}).status_code == 206
    assert client.get(path, headers={"Range": "bytes=0-1", "If-Range": '"other"'}).status_code == 200
    assert client.get(f"/v2/a/blobs/{NOBODY}", headers={"If-None-Match": "*"}).status_code == 404


def test_a_manifest(client: FlaskClient, image: bytes) -> None:
    """A push answers with the address by digest; HEAD and GET agree, whatever is accepted; 304 for who has it."""
    answer = client.put("/v2/a/manifests/v1", data=image, content_type=OCI_MANIFEST)
    digest = digest_of(image)
    assert (answer.status_code, answer.headers["Location"]) == (201, f"/v2/a/manifests/{digest}")
    assert "OCI-Subject" not in answer.headers
    for reference in ("v1", digest):
        got = client.get(f"/v2/a/manifests/{reference}", headers={"Accept": "text/plain"})
        head = client.head(f"/v2/a/manifests/{reference}")
        assert (got.status_code, got.data, got.headers["Content-Type"]) == (200, image, OCI_MANIFEST)
        for name in ("Content-Length", "Content-Type", "Docker-Content-Digest", "ETag"):
            assert head.headers[name] == got.headers[name]
        seen = client.get(f"/v2/a/manifests/{reference}", headers={"If-None-Match": head.headers["ETag"]})
        assert seen.status_code == 304


def test_subject_and_tags_are_answered(client: FlaskClient, image: bytes) -> None:
    """A push with a subject says so; a push by digest with tags names each."""
    body = manifest(subject=descriptor(b"missing", OCI_MANIFEST))
    answer = client.put(
        f"/v2/a/manifests/{digest_of(body)}?tag=one&tag=two&tag=one", data=body, content_type=OCI_MANIFEST
    )
    assert answer.headers["OCI-Subject"] == digest_of(b"missing")
    assert answer.headers.getlist("OCI-Tag") == ["one", "two"]
    assert client.get("/v2/a/tags/list").get_json() == {"name": "a", "tags": ["one", "two"]}
    listing = client.get(f"/v2/a/referrers/{digest_of(b'missing')}?artifactType=nothing")
    assert (listing.get_json()["manifests"], listing.headers["OCI-Filters-Applied"]) == ([], "artifactType")
    assert listing.headers["Content-Type"] == OCI_INDEX
    many = "&".join(f"tag=t{number}" for number in range(47))
    for query, status in ((many, 414), ("tag=", 400), ("tag=-bad", 400)):
        assert put(client, f"a/manifests/{digest_of(body)}?{query}", body) == status
    assert put(client, "a/manifests/v1?tag=v2", body) == 400


def broken(**fields: object) -> bytes:
    """Return a manifest with other fields."""
    return json.dumps(json.loads(manifest()) | fields).encode()


BAD_MANIFESTS = [
    ("v1", b"", OCI_MANIFEST, 400, "MANIFEST_INVALID"),
    ("v1", b"{", OCI_MANIFEST, 400, "MANIFEST_INVALID"),
    ("v1", b"[" * 100_000, OCI_MANIFEST, 400, "MANIFEST_INVALID"),
    ("v1", b"\xff", OCI_MANIFEST, 400, "MANIFEST_INVALID"),
    ("v1", manifest(schemaVersion=1), OCI_MANIFEST, 400, "MANIFEST_INVALID"),
    ("v1", broken(config=None), OCI_MANIFEST, 400, "MANIFEST_INVALID"),
    ("v1", broken(layers=[{"digest": NOBODY}]), OCI_MANIFEST, 400, "MANIFEST_INVALID"),
    ("v1", manifest(manifests=[]), OCI_MANIFEST, 400, "MANIFEST_INVALID"),
    ("v1", index(layers=[]), OCI_INDEX, 400, "MANIFEST_INVALID"),
    ("v1", manifest(), OCI_INDEX, 400, "MANIFEST_INVALID"),
    ("v1", manifest(), DOCKER_MANIFEST, 400, "MANIFEST_INVALID"),
    ("v1", manifest(mediaType=None), DOCKER_MANIFEST, 400, "MANIFEST_INVALID"),
    (
        "v1",
        manifest(subject={"mediaType": "x", "digest": "sha256:bad", "size": 1}),
        OCI_MANIFEST,
        400,
        "MANIFEST_INVALID",
    ),
    ("v1", manifest(), "application/json", 415, "MANIFEST_INVALID"),
    ("v1", manifest(), "application/vnd.docker.distribution.manifest.v1+prettyjws", 415, "MANIFEST_INVALID"),
    ("v1", b" " * (4 * 1024 * 1024 + 1), OCI_MANIFEST, 413, "MANIFEST_INVALID"),
    ("v1", manifest(b"missing"), OCI_MANIFEST, 400, "MANIFEST_BLOB_UNKNOWN"),
    (NOBODY, manifest(), OCI_MANIFEST, 400, "DIGEST_INVALID"),
    ("sha256:bad", manifest(), OCI_MANIFEST, 400, "DIGEST_INVALID"),
    ("md5:" + "0" * 32, manifest(), OCI_MANIFEST, 400, "DIGEST_INVALID"),
    ("-bad", manifest(), OCI_MANIFEST, 400, "MANIFEST_INVALID"),
    ("x" * 129, manifest(), OCI_MANIFEST, 400, "MANIFEST_INVALID"),
]


@pytest.mark.parametrize(("reference", "body", "media_type", "status", "expected"), BAD_MANIFESTS)
def test_a_bad_manifest_is_refused(
    client: FlaskClient, image: bytes, reference: str, body: bytes, media_type: str, status: int, expected: str
) -> None:
    """Each kind of bad manifest has its status, its code, a reason and a remedy, and leaves no tag."""
    answer = client.put(f"/v2/a/manifests/{reference}", data=body, content_type=media_type)
    assert (answer.status_code, code(answer)) == (status, expected)
    assert client.get("/v2/a/tags/list").get_json()["tags"] == []


def test_a_manifest_without_a_type(client: FlaskClient, image: bytes) -> None:
    """Without a Content-Type a manifest is what it says itself; parameters of the type do not matter."""
    assert client.put("/v2/a/manifests/v1", data=image).status_code == 201
    assert client.put("/v2/a/manifests/v2", data=manifest(mediaType=None)).status_code == 415
    assert put(client, "a/manifests/v3", image, f"{OCI_MANIFEST}; charset=utf-8") == 201


def test_docker_is_accepted_unless_refused(client: FlaskClient, image: bytes, tmp_path: Path) -> None:
    """Docker's manifests are taken by default; an empty `http.compat` refuses them with a remedy."""
    body = manifest(mediaType=DOCKER_MANIFEST)
    assert put(client, "a/manifests/v1", body, DOCKER_MANIFEST) == 201
    config = {"storage": {"rootDirectory": str(tmp_path / "root")}, "http": {"compat": []}}
    strict = create_app(Config.model_validate(config)).test_client()
    answer = strict.put("/v2/a/manifests/v1", data=body, content_type=DOCKER_MANIFEST)
    assert answer.status_code == 415
    assert "http.compat" in answer.get_json()["errors"][0]["detail"]["remedy"]


def test_deletes(client: FlaskClient, image: bytes) -> None:
    """A delete answers 202, a second one 404, and a blob that is needed 405."""
    put(client, "a/manifests/v1", image)
    layer = f"/v2/a/blobs/{digest_of(b'layer')}"
    assert (client.delete(layer).status_code, code(client.delete(layer))) == (405, "DENIED")
    for path in ("/v2/a/manifests/v1", f"/v2/a/manifests/{digest_of(image)}", layer):
        assert client.delete(path).status_code == 202
        assert client.delete(path).status_code == 404
    assert client.delete("/v2/nowhere/manifests/v1").status_code == 404


def test_lists_come_in_pages(client: FlaskClient, image: bytes) -> None:
    """Tags and repositories come in byte order with a link to what follows, from after any name."""
    for tag in ("b", "B", "a.1", "a", "_x", "10", "9"):
        put(client, f"a/manifests/{tag}", image)
    path: str | None = "/v2/a/tags/list?n=3"
    pages = []
    while path is not None:
        answer = client.get(path)
        pages.append(answer.get_json()["tags"])
        link = answer.headers.get("Link")
        path = link and link.partition(">")[0].lstrip("<")
    assert pages == [["10", "9", "B"], ["_x", "a", "a.1"], ["b"]]
    assert client.get("/v2/a/tags/list?last=a.0").get_json()["tags"] == ["a.1", "b"]
    assert client.get("/v2/a/tags/list?n=0").get_json()["tags"] == []
    assert len(client.get("/v2/a/tags/list?n=0000000000002").get_json()["tags"]) == 2
    assert client.get("/v2/a/tags/list?n=99999999999999999999").status_code == 200
    for bad in ("-1", "x", "1.5", "", "²"):
        assert code(client.get(f"/v2/a/tags/list?n={bad}")) == "PAGINATION_NUMBER_INVALID"
    assert code(client.get("/v2/b/tags/list")) == "NAME_UNKNOWN"
    for name in ("b/c", "b", "b-c"):
        push_blob(client, name, b"x")
    answer = client.get("/v2/_catalog?n=2")
    assert answer.get_json() == {"repositories": ["a", "b"]}
    assert answer.headers["Link"] == '</v2/_catalog?n=2&last=b>; rel="next"'
    assert client.get("/v2/_catalog?last=b").get_json() == {"repositories": ["b-c", "b/c"]}


@pytest.mark.parametrize(
    "name",
    ["A", "a//b", "../a", "a/../b", "a/", "-a", "a..b", "é", "a%00", "a" * 256, "a/blobs", "a/index.json/b",
     "a/oci-layout",
     "_zot-blobs", ".", "a b", "a%0Ab"],
)  # fmt: skip
def test_a_bad_name_is_refused(client: FlaskClient, name: str) -> None:
    """What can't name a repository is refused with 400 and NAME_INVALID on every route, and never reaches the disk."""
    for path in (f"/v2/{name}/tags/list", f"/v2/{name}/manifests/v1", f"/v2/{name}/blobs/{NOBODY}"):
        answer = client.get(path)
        assert (answer.status_code, code(answer)) == (400, "NAME_INVALID"), path
    assert code(client.post(f"/v2/{name}/blobs/uploads/")) == "NAME_INVALID"


def test_words_of_the_api_are_names(client: FlaskClient) -> None:
    """Components such as manifests, tags and uploads are legal in names."""
    for name in ("manifests", "tags/list", "a/manifests/b", "a/tags", "uploads/a", "blobs", "v2/v2"):
        digest = push_blob(client, name, b"x")
        assert client.get(f"/v2/{name}/blobs/{digest}").status_code == 200
        assert client.get(f"/v2/{name}/tags/list").get_json() == {"name": name, "tags": []}


def test_what_is_not_there(client: FlaskClient) -> None:
    """Unknown addresses and methods are 404 and 405, with what is possible."""
    assert code(client.get("/nothing")) == "UNSUPPORTED"
    answer = client.put("/v2/_catalog")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert client.get(f"/v2/a/blobs/{NOBODY}").status_code == 404
    assert code(client.get("/v2/a/blobs/sha256:bad")) == "DIGEST_INVALID"
    assert client.get(f"/v2/a/referrers/{NOBODY}").get_json()["manifests"] == []
