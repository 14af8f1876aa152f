"""`zot apikey`, beside a running server and without one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.server.test_logins import basic, write_config, write_users
from tests.servers import environment, running_server, zot


def run(*arguments: str, status: int = 0) -> str:
    """Run a command; returns its output, or its errors if it is to fail."""
    done = subprocess.run(zot("apikey", *arguments), env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


def test_a_key_on_a_running_server(tmp_path: Path) -> None:
    """A key made beside the server is good at once on every worker, and worth nothing as soon as it is revoked."""
    write_users(tmp_path / "htpasswd", alice="secret")
    config = str(write_config(tmp_path, auth={"apikey": True}))
    before = run("create", "--user", "alice", "--label", "early", "-c", config).strip()
    with running_server(tmp_path, "--workers", "2", config=Path(config)) as server:
        secret = run(
            "create", "--user", "alice", "--label", "ci", "--scope", "a/*:read", "--expires", "90d", "-c", config
        ).strip()
        for key in (before, secret):
            assert {server.request("GET", "/v2/", headers=basic("alice", key))[0] for _ in range(8)} == {200}
        assert server.request("POST", "/v2/a/x/blobs/uploads/", headers=basic("alice", secret))[0] == 403
        listed = json.loads(run("list", "--output", "json", "-c", config))["apiKeys"]
        assert [(key["label"], key["scopes"]) for key in listed] == [("early", None), ("ci", ["a/*:read"])]
        run("revoke", listed[1]["uuid"], "-c", config)
        assert {server.request("GET", "/v2/", headers=basic("alice", secret))[0] for _ in range(8)} == {401}
        assert {server.request("GET", "/v2/", headers=basic("alice", before))[0] for _ in range(8)} == {200}
    table = run("list", "--user", "alice", "-c", config)
    assert "early" in table
    assert before not in table
    run("revoke", listed[0]["uuid"], "-c", config)


def test_what_goes_wrong(tmp_path: Path) -> None:
    """Unknown users, scopes, dates and identifiers are refused with a sentence, and the right exit status."""
    write_users(tmp_path / "htpasswd", alice="secret")
    config = str(write_config(tmp_path, auth={"apikey": True}))
    create = ("create", "--label", "x", "-c", config, "--user")
    assert "nobody knows a user 'eve' (htpasswd)" in run(*create, "eve", status=1)
    assert "'push' is none of" in run(*create, "alice", "--scope", "a:push", status=2)
    assert "is no date" in run(*create, "alice", "--expires", "soon", status=2)
    assert "is over" in run(*create, "alice", "--expires", "2020-01-01T00:00:00Z", status=2)
    assert "there is no API key x" in run("revoke", "x", "-c", config, status=1)
