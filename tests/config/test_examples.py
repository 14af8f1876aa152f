"""The examples: each is valid, is in the table, and is served where nothing else is needed for that."""

from __future__ import annotations

import http.client
import re
import ssl
import subprocess
from base64 import b64encode
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from scripts.reference import INTRODUCTION
from tests.servers import PATIENCE, running_server
from zot.config import check

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(EXAMPLES.glob("config-*"))
FIXED = "/tmp/zot-examples"
NEED_OTHERS = {"config-s3.json", "config-secrets.yaml", "config-ldap.json", "config-openid.json", "config-sync.json"}
VARIABLES = {"ZOT_ACCESS_KEY": "key", "ZOT_CLIENT_SECRET": "secret"}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, need: Callable[..., str]) -> Path:
    """What `examples/prepare` makes."""
    need("openssl", "install openssl")
    directory = tmp_path_factory.mktemp("examples")
    done = subprocess.run([EXAMPLES / "prepare", directory], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return directory


def placed(file: Path, prepared: Path, to: Path) -> Path:
    """Copy an example, naming the files of this test."""
    copy = to / file.name
    copy.write_text(file.read_text().replace(FIXED, str(prepared)).replace("/tmp/zot", str(to / "zot")))
    return copy


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_example_is_valid(file: Path, prepared: Path, tmp_path: Path) -> None:
    """Each example has no error; what it is doubtful about is only what this version does not do yet."""
    checked = check(str(placed(file, prepared, tmp_path)), VARIABLES)
    assert checked.config is not None, checked.problems
    for problem in checked.problems:
        # The file of users that stands here has not the users of the examples.
        expected = ("not act on it yet", "changes nothing", "nobody can log in as")
        assert any(one in problem.what for one in expected), problem


def test_the_table_has_every_example_and_no_other() -> None:
    """The table names each file, says what it shows, and how to try it."""
    table = (EXAMPLES / "README.md").read_text()
    rows = dict(re.findall(r"^\| \[(config-[^\]]+)\]\(\1\) \|([^|]+\|[^|]+)\|$", table, re.MULTILINE))
    assert sorted(rows) == [file.name for file in FILES]
    assert all(f"zot serve examples/{name}" in row for name, row in rows.items())


@pytest.mark.e2e
@pytest.mark.parametrize("file", [file for file in FILES if file.name not in NEED_OTHERS], ids=lambda file: file.name)
def test_every_example_is_served(file: Path, prepared: Path, tmp_path: Path) -> None:
    """Each example that needs nobody else is served: its base path is there, or asks who wants to know."""
    with running_server(tmp_path, "--port", "0", "--workers", "1", config=placed(file, prepared, tmp_path)) as server:
        if server.url.startswith("https"):
            context = ssl.create_default_context(cafile=str(prepared / "ca.crt"))
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                "localhost", server.port, context=context, timeout=PATIENCE
            )
        else:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        with closing(connection):
            connection.request("GET", "/v2/")
            assert connection.getresponse().status in (200, 401)


@pytest.mark.e2e
def test_the_team_s_registry(prepared: Path, tmp_path: Path) -> None:
    """TLS, users and access control together: alice pushes, bob reads, and nobody in particular sees what is public."""
    config = placed(EXAMPLES / "config-team.json", prepared, tmp_path)
    config.write_text(config.read_text().replace('"port": 8443', '"port": 0'))
    with running_server(tmp_path, "--workers", "1", config=config, authority=prepared / "ca.crt") as server:

        def begin(repository: str, login: str) -> int:
            return server.request("POST", f"/v2/{repository}/blobs/uploads/", headers=basic(login))[0]

        assert [begin("team/app", one) for one in ("alice:wonderland", "bob:builder", "alice:wrong")] == [202, 403, 401]
        assert [begin("public/app", one) for one in ("bob:builder", "mallory:mallory-secret")] == [202, 403]
        assert begin("elsewhere", "admin:admin-secret") == 202
        assert server.request("GET", "/v2/public/app/tags/list")[0] == 404
        assert server.request("GET", "/v2/team/app/tags/list")[0] == 401


def basic(login: str) -> dict[str, str]:
    """Return the header that sends a login."""
    return {"Authorization": f"Basic {b64encode(login.encode()).decode()}"}


def test_the_example_of_the_reference_is_valid(tmp_path: Path) -> None:
    """The example in docs/configuration.md is valid, with nothing to be warned of."""
    text = INTRODUCTION.partition("```yaml\n")[2].partition("```")[0]
    (tmp_path / "htpasswd").write_text("alice:x\nci:x\n")
    (tmp_path / "c.yaml").write_text(text.replace("/etc/zot/htpasswd", str(tmp_path / "htpasswd")))
    assert check(str(tmp_path / "c.yaml"), {}).problems == []
