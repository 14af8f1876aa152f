"""`zot auth`: the user's example, explained and shown as a table."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.auth.policies import SEED
from tests.servers import environment, zot
from zot.config import check

# A login whose users nobody asks for here.
LDAP = {"ldap": {"address": "ldap.example.com", "port": 636, "userAttribute": "uid", "baseDN": "dc=example"}}


@pytest.fixture
def config(tmp_path: Path) -> str:
    """The configuration of the example."""
    path = tmp_path / "config.json"
    http = {"auth": LDAP, "accessControl": SEED}
    path.write_text(json.dumps({"storage": {"rootDirectory": str(tmp_path / "root")}, "http": http}))
    return str(path)


def run(*arguments: str, status: int = 0) -> str:
    """Run a command; returns its output."""
    done = subprocess.run(zot("auth", *arguments), env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    return done.stdout


def test_explain(config: str, tmp_path: Path) -> None:
    """The deciding rule is printed for each right that an action takes; 1 says that something is not allowed."""
    push = ("explain", "--repo", "infra/a", "--tag", "v1", "--action", "push", "-c", config)
    assert run(*push, "--user", "alice").splitlines() == [
        "alice may read infra/a:v1: pattern 'infra/*': policies[0]",
        "alice may create infra/a:v1: pattern 'infra/*': policies[0]",
        "alice may update infra/a:v1 (needed if the tag is there already): pattern 'infra/*': policies[0]",
    ]
    assert "mallory may not update infra/a:v1" in run(*push, "--user", "mallory", status=1)
    assert "adminPolicy, which overrides defaultPolicy" in run(*push, "--user", "admin")
    pull = ("explain", "--repo", "a", "--action", "pull", "-c", config)
    assert run(*pull) == "anonymous may read a: pattern '**': anonymousPolicy\n"
    group = run(
        "explain", "--repo", "repos2/repo", "--action", "create", "--user", "x", "--group", "group1", "-c", config
    )
    assert "policies[0]" in group
    document = json.loads(run(*pull, "--output", "json"))["decisions"]
    assert document == [{"action": "read", "allowed": True, "rule": "anonymousPolicy", "pattern": "**"}]
    assert not (tmp_path / "root").exists()


def test_what_does_not_count_is_said(config: str, tmp_path: Path) -> None:
    """Patterns that match too and don't decide are named, and so is a user whom nobody knows."""
    asked = ("--action", "pull", "-c", config)
    assert "the longest decides alone: 'infra/*'; nothing in '**' counts" in notes("infra/a", "alice", *asked)
    assert "no policy and no group of accessControl names 'alcie'" in notes("infra/a", "alcie", *asked)
    assert "names" not in notes("infra/a", "alice", *asked)
    document = json.loads(Path(config).read_text())
    (tmp_path / "htpasswd").write_text("alice:$2b$05$" + "." * 53)
    document["http"]["auth"] = {"htpasswd": {"path": str(tmp_path / "htpasswd")}}
    Path(config).write_text(json.dumps(document))
    assert "nobody can log in as 'bob'" in notes("infra/a", "bob", *asked)
    assert "log in" not in notes("infra/a", "alice", *asked)


def notes(repository: str, user: str, *more: str) -> str:
    """Explain, and return what is said beside the result."""
    command = zot("auth", "explain", "--repo", repository, "--user", user, *more)
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False).stderr


def test_check(config: str) -> None:
    """The table has a row for each pattern, in the order in which they are asked, and a column for each principal."""
    document = json.loads(run("check", config, "--output", "json"))
    table = {one["pattern"]: one["rights"] for one in document["patterns"]}
    assert list(table) == ["repos2/repo", "infra/*", "tmp/**", "**"]
    assert table["infra/*"]["bob"] == "rcud"
    assert table["infra/*"]["mallory"] == "rc"
    assert table["infra/*"]["(anonymous)"] == "-"
    assert table["**"]["(anybody else who logs in)"] == "rcd!"
    assert table["repos2/repo"]["group group1"] == "rc"
    assert table["tmp/**"]["admin"] == "rcud"
    assert "rcud" in run("check", config)


def test_patterns_that_never_decide(tmp_path: Path) -> None:
    """Patterns that a longer one shadows, and those that match no name, are warned of when a file is checked."""
    path = tmp_path / "config.json"
    patterns = {one: {"defaultPolicy": ["read"]} for one in ("infra/**", "infra/*", "/a/b", "Team/x", "**")}
    http = {"auth": LDAP, "accessControl": {"repositories": patterns}}
    path.write_text(json.dumps({"storage": {"rootDirectory": str(tmp_path / "root")}, "http": http}))
    found = check(str(path)).problems
    warned = {problem.key.removeprefix("http.accessControl.repositories."): problem.what for problem in found}
    assert set(warned) == {"infra/*", "/a/b", "Team/x"}
    assert "'infra/**' matches all that it does" in warned["infra/*"]
    assert "no repository matches it" in warned["Team/x"]
