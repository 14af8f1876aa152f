"""`zot apikey`, beside a running server and without one."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import datetime
from pathlib import Path

from tests.api.test_apikey import FIELDS
from tests.server.test_logins import basic, write_config, write_users
from tests.servers import environment, running_server, zot


def both(*arguments: str, status: int = 0) -> tuple[str, str]:
    """Run a command; returns what it printed, and what it said beside that."""
    done = subprocess.run(zot("apikey", *arguments), env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    return done.stdout, done.stderr


def run(*arguments: str, status: int = 0) -> str:
    """Run a command; returns its output, or its errors if it is to fail."""
    return both(*arguments, status=status)[0 if status == 0 else 1]


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
        run("revoke", listed[1]["id"], "-c", config)
        assert {server.request("GET", "/v2/", headers=basic("alice", secret))[0] for _ in range(8)} == {401}
        assert {server.request("GET", "/v2/", headers=basic("alice", before))[0] for _ in range(8)} == {200}
    table = run("list", "--user", "alice", "-c", config)
    assert "early" in table
    assert before not in table
    run("revoke", listed[0]["id"], "-c", config)


def test_what_goes_wrong(tmp_path: Path) -> None:
    """Unknown users, scopes, dates and identifiers are refused with a sentence, and the right exit status."""
    write_users(tmp_path / "htpasswd", alice="secret")
    config = str(write_config(tmp_path, auth={"apikey": True}))
    create = ("create", "--label", "x", "-c", config, "--user")
    assert "nobody knows a user 'eve' (htpasswd)" in run(*create, "eve", status=1)
    without = tmp_path / "without.json"
    without.write_text(json.dumps({"storage": {"rootDirectory": str(tmp_path / "root")}}))
    first = "add htpasswd, ldap or openid to http.auth first"
    assert first in run("create", "--label", "x", "-c", str(without), "--user", "alice", status=1)
    assert "'push' is none of" in run(*create, "alice", "--scope", "a:push", status=2)
    for wrong in ("soon", "", "2027-02-30", "90", "2027-08-28T17:10:05"):
        assert "write 90d (or m, h, w), a last day as 2027-08-28, or a time" in run(
            *create, "alice", "--expires", wrong, status=2
        )
    assert "is over" in run(*create, "alice", "--expires", "2020-01-01", status=2)
    assert "is over" in run(*create, "alice", "--expires", "2020-01-01T00:00:00Z", status=2)
    assert "'nobody' has no API keys" in both("list", "--user", "nobody", "-c", config)[1]
    assert "there is no API key x" in run("revoke", "x", "-c", config, status=1)


def test_a_key_of_a_password_that_was_changed(tmp_path: Path) -> None:
    """A key made without a server has the stamp of the file: good there, and shown as over once the password is new."""
    write_users(tmp_path / "htpasswd", alice="secret", bob="x")
    config = str(write_config(tmp_path, auth={"apikey": True}))
    old, theirs = (run("create", "--user", user, "--label", "x", "-c", config).strip() for user in ("alice", "bob"))
    with running_server(tmp_path, "--workers", "2", config=Path(config)) as server:
        assert server.request("GET", "/v2/", headers=basic("alice", old))[0] == 200
        others = (tmp_path / "htpasswd").read_text().splitlines(keepends=True)[1]
        write_users(tmp_path / "htpasswd", alice="new")
        (tmp_path / "htpasswd").write_text((tmp_path / "htpasswd").read_text() + others)
        assert {server.request("GET", "/v2/", headers=basic("alice", old))[0] for _ in range(8)} == {401}
        assert {server.request("GET", "/v2/", headers=basic("bob", theirs))[0] for _ in range(8)} == {200}
        new = run("create", "--user", "alice", "--label", "x", "-c", config).strip()
        assert {server.request("GET", "/v2/", headers=basic("alice", new))[0] for _ in range(8)} == {200}
    listed = json.loads(run("list", "-o", "json", "-c", config))["apiKeys"]
    changed = "the login of 'alice' has changed since it was made"
    assert [(key["user"], key["state"]) for key in listed] == [("alice", changed), ("alice", "good"), ("bob", "good")]
    assert [key["isExpired"] for key in listed] == [True, False, False]
    assert changed in run("list", "-c", config)
    write_users(tmp_path / "htpasswd", bob="x")
    assert "there is no user 'alice' any more" in run("list", "--user", "alice", "-c", config)


def test_what_a_user_must_not_miss(tmp_path: Path) -> None:
    """Scopes that narrow nothing, and keys that no server takes, are warned of, quiet too, and marked in the list."""
    write_users(tmp_path / "htpasswd", alice="secret")
    config = str(write_config(tmp_path, auth={"apikey": True}))
    create = ("create", "--user", "alice", "--label", "x", "-q", "-c", config)
    secret, said = both(*create, "--scope", "team/app")
    assert secret.startswith("zak_")
    assert "team/app narrows nothing, so the key may do all that alice may; write GLOB:ACTION" in said
    said = both(*create, "--scope", "team/app", "--scope", "a/*:read")[1]
    assert "team/app narrows nothing; write" in said
    assert both(*create, "--scope", "a/*:read")[1] == ""
    assert "team/app (narrows nothing) a/*:read" in run("list", "-c", config)
    config = str(write_config(tmp_path))
    said = both("create", "--user", "alice", "--label", "x", "-c", config)[1]
    assert "API keys are not turned on, so no server takes this one; set http.auth.apikey to true" in said


def test_what_is_printed_as_json(tmp_path: Path) -> None:
    """Names are those of the API but for `id`, times those of commands; a day as the end is a whole one; revoke too."""
    write_users(tmp_path / "htpasswd", alice="secret")
    config = str(write_config(tmp_path, auth={"apikey": True}))
    create = ("create", "--user", "alice", "--label", "x", "-o", "json", "-c", config)
    made = json.loads(run(*create, "--expires", "2087-08-28"))
    assert datetime.fromisoformat(made["expirationDate"]) == datetime(2087, 8, 29).astimezone()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made["createdAt"])
    assert f"  {made['expirationDate']}  " in run("list", "-c", config)
    assert made["apiKey"].startswith("zak_")
    assert made["lastUsed"] is None
    assert json.loads(run(*create))["expirationDate"] is None
    listed, endless = json.loads(run("list", "-o", "json", "-c", config))["apiKeys"]
    run("revoke", endless["id"], "-c", config)
    assert listed == {name: value for name, value in made.items() if name != "apiKey"}
    assert list(listed) == ["id", *(name for name in FIELDS if name != "uuid"), "user", "origin", "state"]
    assert (listed["user"], listed["origin"], listed["state"]) == ("alice", "htpasswd", "good")
    revoked = json.loads(run("revoke", listed["id"], "-o", "json", "-c", config))
    assert revoked == {"id": listed["id"], "isRevoked": True}
    assert json.loads(run("list", "-o", "json", "-c", config)) == {"apiKeys": []}
