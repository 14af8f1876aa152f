"""What a client is told when the store fails."""

from __future__ import annotations

import errno
import os

import pytest
from flask.testing import FlaskClient

from tests.images import digest_of
from zot.storage.filesystem import Filesystem


def test_a_full_disk(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A push onto a full disk is 507 with a remedy, leaves nothing, and what is there can be pulled and deleted."""
    path = f"/v2/a/blobs/{digest_of(b'there')}"
    client.post(f"/v2/a/blobs/uploads/?digest={digest_of(b'there')}", data=b"there")
    real = os.write

    def no_space(fd: int, data: bytes) -> int:
        if bytes(data) == b"new":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data)

    monkeypatch.setattr(os, "write", no_space)
    answer = client.post(f"/v2/a/blobs/uploads/?digest={digest_of(b'new')}", data=b"new")
    assert answer.status_code == 507
    detail = answer.get_json()["errors"][0]["detail"]
    assert "No space left" in detail["reason"]
    assert "free some space" in detail["remedy"]
    assert client.get(path).data == b"there"
    assert client.delete(path).status_code == 202


def test_a_failing_disk(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that fails is 503 with Retry-After."""

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    answer = client.post(f"/v2/a/blobs/uploads/?digest={digest_of(b'new')}", data=b"new")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert answer.get_json()["errors"][0]["code"] == "UNAVAILABLE"


def test_an_error_of_our_own(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong inside is an error document, says nothing of the inside, and is logged."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret inside")

    monkeypatch.setattr(Filesystem, "read", broken)
    answer = client.get("/v2/a/manifests/v1")
    assert answer.status_code == 500
    assert b"secret inside" not in answer.data
    assert answer.get_json()["errors"][0]["detail"]["remedy"]
