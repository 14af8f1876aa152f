"""The application on a temporary root, without a server."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.images import digest_of, manifest
from zot.app import create_app
from zot.config import Config


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    """The application, with every route that can be configured."""
    settings = {"storage": {"rootDirectory": str(tmp_path / "root")}, "extensions": {"metrics": {}}}
    return create_app(Config.model_validate(settings))


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client of it."""
    return app.test_client()


def push_blob(client: FlaskClient, name: str, content: bytes) -> str:
    """Push a blob in one request; returns its digest."""
    digest = digest_of(content)
    assert client.post(f"/v2/{name}/blobs/uploads/?digest={digest}", data=content).status_code == 201
    return digest


@pytest.fixture
def image(client: FlaskClient) -> bytes:
    """A manifest whose blobs are in repository `a`; it is not pushed itself."""
    push_blob(client, "a", b"{}")
    push_blob(client, "a", b"layer")
    return manifest()
