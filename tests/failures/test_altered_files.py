"""Files that another program changed behind the server's back: they are noticed, set aside, and never served."""

from __future__ import annotations

import http.client
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.failures.conftest import detail, pulls, push_blob, push_image
from tests.images import digest_of
from tests.servers import Server, running_server

LAYER = b"layer" * 20_000


@pytest.fixture
def server(shared_server: Server) -> Server:
    """A server with an image in two repositories, which share the layer, and nothing set aside."""
    push_image(shared_server, "a", "v1")
    push_image(shared_server, "b", "v1")
    for path in (shared_server.root / "_zot-blobs").glob("damaged/*"):
        path.unlink()
    return shared_server


def stored(server: Server, content: bytes) -> Path:
    """Return the file of a blob in repository `a`."""
    return server.root / "a/blobs" / digest_of(content).replace(":", "/")


def truncate(path: Path) -> None:
    """Let the file lose its end."""
    os.truncate(path, 1000)


def lengthen(path: Path) -> None:
    """Let the file grow."""
    with path.open("ab") as file:
        file.write(b"more")


def flip(path: Path) -> None:
    """Change one byte of the file."""
    with path.open("r+b") as file:
        file.write(b"L")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("harm", [truncate, lengthen, flip])
def test_an_altered_blob(server: Server, harm: Callable[[Path], None], method: str) -> None:
    """It is a 404 before any header says otherwise, the copy is set aside, and pushing it again mends all."""
    harm(stored(server, LAYER))
    status, _, body = server.request(method, f"/v2/a/blobs/{digest_of(LAYER)}")
    assert status == 404
    if method == "GET":
        assert "was damaged" in detail(body)["reason"]
    assert not stored(server, LAYER).exists()
    assert [path.name.partition("-")[2] for path in (server.root / "_zot-blobs/damaged").iterdir()] == [
        stored(server, LAYER).name
    ]
    assert not pulls(server, "b", "v1")
    for name in ("a", "b"):
        assert push_blob(server, name, LAYER) == 201
        assert pulls(server, name, "v1")


def test_a_blob_that_was_only_touched(server: Server) -> None:
    """A file whose time changed and whose content did not is served, and is not hashed a second time."""
    path = stored(server, LAYER)
    os.utime(path, (1, 1))
    for _ in range(2):
        assert server.request("GET", f"/v2/a/blobs/{digest_of(LAYER)}")[2] == LAYER
    assert os.getxattr(path, "user.zot.stamp").split()[:2] == [b"%d" % len(LAYER), b"1000000000"]


@pytest.mark.parametrize("note", [b"", b"nonsense", b"1 2", b"1 2 x", b"\xff 2 3 4"])
def test_a_note_that_nobody_understands(server: Server, note: bytes) -> None:
    """A blob with a spoilt note is hashed and served, gets a new note, and can be asked for by HEAD and in a push."""
    path = stored(server, LAYER)
    os.setxattr(path, "user.zot.stamp", note)
    assert server.request("HEAD", f"/v2/a/blobs/{digest_of(LAYER)}")[0] == 200
    assert server.request("GET", f"/v2/a/blobs/{digest_of(LAYER)}")[2] == LAYER
    assert os.getxattr(path, "user.zot.stamp").split()[0] == b"%d" % len(LAYER)
    os.setxattr(path, "user.zot.stamp", note)
    assert push_blob(server, "a", LAYER) == 201


def test_an_altered_manifest(server: Server) -> None:
    """A manifest that was changed is served as it was pushed, or not at all, by every worker; a push mends it."""
    body = server.request("GET", "/v2/a/manifests/v1")[2]
    path = stored(server, body)
    path.write_bytes(body.replace(b"note", b"NOTE"))
    answers = [server.request("GET", f"/v2/a/manifests/{reference}") for reference in ("v1", digest_of(body)) * 5]
    assert {(status, answer if status == 200 else b"") for status, _, answer in answers} <= {(200, body), (404, b"")}
    push_image(server, "a", "v1")
    assert path.read_bytes() == body
    assert all(pulls(server, "a", "v1") for _ in range(5))


@pytest.fixture(scope="module", params=["plain", "TLS"])
def sender(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose blobs go out by sendfile, or, over TLS, in pieces."""
    directory = tmp_path_factory.mktemp("sender")
    if request.param == "plain":
        with running_server(directory) as running:
            yield running
        return
    authority = Authority(directory)
    settings = {"http": {"port": 0, "tls": authority.tls}}
    with running_server(directory, settings=settings, authority=authority.file) as running:
        yield running


@pytest.mark.parametrize("asked", ["", "bytes=10-", "bytes=1-50000000,60000000-60000009"], ids=["all", "one", "two"])
def test_a_blob_that_shrinks_while_it_is_sent(sender: Server, asked: str) -> None:
    """A file that loses its end during a download ends the connection: the client does not take it for whole."""
    large = os.urandom(1 << 20) * 64
    assert push_blob(sender, "a", large) == 201
    with closing(sender.connect()) as connection:
        headers = {"Range": asked} if asked else {}
        connection.request("GET", f"/v2/a/blobs/{digest_of(large)}", headers=headers)
        answer = connection.getresponse()
        assert answer.status == (206 if asked else 200)
        answer.read(1 << 20)
        os.truncate(stored(sender, large), 2 << 20)
        with pytest.raises((http.client.IncompleteRead, OSError)):
            answer.read()
    assert sender.request("GET", f"/v2/a/blobs/{digest_of(large)}")[0] == 404
