"""Bodies that are sent as manifests and are none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.hostile.wire import BLOB, Answer, Wire, ask, is_refusal, push_image, raw
from tests.images import CONFIG, LAYER, OCI_INDEX, OCI_MANIFEST, descriptor, digest_of, index, manifest
from tests.servers import Server

LIMIT = 4 * 1024 * 1024
HERE = descriptor(b"{}", CONFIG)
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
LAYER_HERE = descriptor(b"layer", LAYER)
BAD_DESCRIPTORS: dict[str, dict[str, Any]] = {
    "negative size": {**LAYER_HERE, "size": -1},
    "huge size": {**LAYER_HERE, "size": 2**64},
    "float size": {**LAYER_HERE, "size": 5.0},
    "size in text": {**LAYER_HERE, "size": "5"},
    "size true": {**LAYER_HERE, "size": True},
    "no size": {key: value for key, value in LAYER_HERE.items() if key != "size"},
    "no digest": {key: value for key, value in LAYER_HERE.items() if key != "digest"},
    "digest a number": {**LAYER_HERE, "digest": 5},
    "digest climbs": {**LAYER_HERE, "digest": "sha256:../../../../etc/passwd"},
    "short digest": {**LAYER_HERE, "digest": "sha256:abc"},
    "mediaType a list": {**LAYER_HERE, "mediaType": []},
}
BAD_BODIES: dict[str, bytes] = {
    "empty": b"",
    "blank": b"   ",
    "a number": b"5",
    "null": b"null",
    "a list": b"[]",
    "text": b'"manifest"',
    "deep list": b"[" * 100_000,
    "deep object": b'{"a":' * 100_000,
    "deep but closed": b'{"schemaVersion":2,"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "huge number": manifest().replace(b'"schemaVersion": 2', b'"schemaVersion": ' + b"2" * 100_000),
    "huge number aside": manifest()[:-1] + b', "x": ' + b"9" * 100_000 + b"}",
    "huge exponent": manifest().replace(b'"schemaVersion": 2', b'"schemaVersion": 2e999999999'),
    "NaN": manifest().replace(b'"schemaVersion": 2', b'"schemaVersion": NaN'),
    "byte order mark": b"\xef\xbb\xbf" + manifest(),
    "UTF-16": manifest().decode().encode("utf-16"),
    "not UTF-8": manifest().replace(b"layer.v1", b"layer\xff\xfe"),
    "lone surrogate": manifest(annotations={"a": "X"}).replace(b'"X"', rb'"\ud800"'),
    "cut off": manifest()[:-1],
    "something after": manifest() + b"x",
    "twice": manifest() * 2,
    "a comment": manifest() + b"// fine",
    "single quotes": manifest().replace(b'"', b"'"),
    "schemaVersion 1": manifest(schemaVersion=1),
    "no schemaVersion": json.dumps({"mediaType": OCI_MANIFEST, "config": HERE, "layers": []}).encode(),
    "config null": manifest(config=b"{}").replace(json.dumps(HERE).encode(), b"null"),
    "config a list": manifest().replace(json.dumps(HERE).encode(), b"[]"),
    "layers an object": manifest(layers=()).replace(b'"layers": []', b'"layers": {}'),
    "layers of null": manifest(layers=()).replace(b'"layers": []', b'"layers": [null]'),
    "layers and manifests": manifest(manifests=[]),
    "another mediaType": manifest(mediaType=OCI_INDEX),
    "mediaType a number": manifest(mediaType=5),
    "annotations of numbers": manifest(annotations={"a": 5}),
    "annotations a list": manifest(annotations=["a"]),
    "subject a text": manifest(subject=digest_of(BLOB)),
    **{f"layer with {name}": manifest(layers=()).replace(b"[]", f"[{json.dumps(bad)}]".encode())
       for name, bad in BAD_DESCRIPTORS.items()},
    **{f"subject with {name}": manifest(subject=bad) for name, bad in BAD_DESCRIPTORS.items()},
}  # fmt: skip


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
def test_a_bad_body_is_refused(besieged: Server, body: bytes) -> None:
    """What is no manifest is MANIFEST_INVALID, by tag and by digest, and leaves nothing."""
    for reference in ("bad", digest_of(body)):
        headers = {"Content-Type": OCI_MANIFEST, "Content-Length": str(len(body))}
        answer = ask(besieged, "PUT", f"/v2/good/manifests/{reference}", headers, body)
        is_refusal(answer, 400, "MANIFEST_INVALID")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/vnd.docker.distribution.manifest.v1+json", manifest()),
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", manifest()),
        ("application/json", manifest()),
        ("text/plain", manifest()),
        ("application/vnd.oci.image.config.v1+json", b"{}"),
        ("x" * 2000, manifest()),
        ("\xff", manifest()),
        (", " + OCI_MANIFEST, manifest()),
    ],
)
def test_an_unknown_type_is_415(besieged: Server, content_type: str, body: bytes) -> None:
    """A type that the registry does not take is 415 and says which it takes."""
    answer = ask(besieged, "PUT", "/v2/good/manifests/bad", {"Content-Type": content_type}, body)
    is_refusal(answer, 415, "MANIFEST_INVALID")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [(OCI_INDEX, manifest()), (OCI_MANIFEST, index()), (DOCKER, manifest()), (OCI_INDEX, index(layers=[]))],
    ids=["manifest as index", "index as manifest", "OCI as docker", "index with layers"],
)
def test_a_body_of_another_type_is_refused(besieged: Server, content_type: str, body: bytes) -> None:
    """What is sent as one type and is another is MANIFEST_INVALID, however right it is by itself."""
    answer = ask(besieged, "PUT", "/v2/good/manifests/bad", {"Content-Type": content_type}, body)
    is_refusal(answer, 400, "MANIFEST_INVALID")


def test_missing_blobs_are_named(besieged: Server) -> None:
    """A manifest whose blobs are not here is MANIFEST_BLOB_UNKNOWN, with each missing digest."""
    body = manifest(b"no config", (b"layer", b"no layer"))
    answer = ask(besieged, "PUT", "/v2/good/manifests/bad", {"Content-Type": OCI_MANIFEST}, body)
    is_refusal(answer, 400, "MANIFEST_BLOB_UNKNOWN")
    missing = json.loads(answer.body)["errors"][0]["detail"]["digests"]
    assert sorted(missing) == sorted([digest_of(b"no config"), digest_of(b"no layer")])


def test_exactly_4_mib_is_taken(shared_server: Server) -> None:
    """A manifest of 4 MiB is stored and served as it came, and one byte more is 413; so it is in chunks."""
    push_image(shared_server, "long")
    body = manifest() + b" " * (LIMIT - len(manifest()))
    headers = {"Content-Type": OCI_MANIFEST}
    assert shared_server.request("PUT", "/v2/long/manifests/whole", body, headers)[0] == 201
    assert shared_server.request("GET", "/v2/long/manifests/whole")[2] == body
    is_refusal(ask_to_the_end(shared_server, raw("PUT", "/v2/long/manifests/more", headers, body + b" ")), 413)
    for length, status in ((LIMIT, 201), (LIMIT + 1, 413)):
        chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (length, manifest() + b" " * (length - len(manifest())))
        request = raw("PUT", "/v2/long/manifests/chunks", {**headers, "Transfer-Encoding": "chunked"}, chunked)
        assert ask_to_the_end(shared_server, request).status == status


def ask_to_the_end(server: Server, request: bytes) -> Answer:
    """Send a request whose answer may come, and whose connection may end, before all of it is sent."""
    with Wire(server) as wire:
        wire.send(request)
        answer = wire.answer()
    assert answer is not None
    return answer


@pytest.mark.parametrize("constant", [b"NaN", b"Infinity", b"-Infinity"])
def test_constants_that_are_no_json(besieged: Server, constant: bytes) -> None:
    """NaN and its like are no JSON (RFC 8259), even in a field that nobody reads."""
    body = manifest(layers=(b"not here",))[:-1] + b', "x": ' + constant + b"}"
    answer = ask(besieged, "PUT", "/v2/good/manifests/bad", {"Content-Type": OCI_MANIFEST}, body)
    is_refusal(answer, 400, "MANIFEST_INVALID")


def test_schema_version_is_an_integer(besieged: Server) -> None:
    """The number 2.0 is no schemaVersion: clients that read an integer refuse the manifest."""
    body = manifest(schemaVersion=2.0, layers=(b"not here",))
    answer = ask(besieged, "PUT", "/v2/good/manifests/bad", {"Content-Type": OCI_MANIFEST}, body)
    is_refusal(answer, 400, "MANIFEST_INVALID")


def test_what_referrers_answers_is_json(shared_server: Server) -> None:
    """Whatever an older client's fallback index holds, the referrers route answers JSON that all clients can read."""
    push_image(shared_server, "fallback")
    subject = digest_of(b"subject")
    entry = json.dumps({**descriptor(manifest(), OCI_MANIFEST), "x": "X"}).replace('"X"', "NaN")
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": ["X"]}).replace('"X"', entry)
    path = f"/v2/fallback/manifests/{subject.replace(':', '-')}"
    ask(shared_server, "PUT", path, {"Content-Type": OCI_INDEX}, body.encode())
    listed = ask(shared_server, "GET", f"/v2/fallback/referrers/{subject}")
    assert listed.status == 200
    assert b"NaN" not in listed.body


def test_a_doubled_key_counts_as_it_does_for_clients(besieged: Server) -> None:
    """Of a key that is there twice the last counts, as it does for Go's decoder: what it names must be here."""
    body = manifest()[:-1] + b', "layers": ' + json.dumps([descriptor(b"not here", LAYER)]).encode() + b"}"
    answer = ask(besieged, "PUT", "/v2/good/manifests/bad", {"Content-Type": OCI_MANIFEST}, body)
    is_refusal(answer, 400, "MANIFEST_BLOB_UNKNOWN")
