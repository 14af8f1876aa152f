"""How commands are told their configuration and their repository: a rule for all of them, held over the whole tree."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

import cli.configuration
from cli.main import cli as zot
from tests.cli.test_commands import commands

# What each command can't do without. A new command must say it here, or the tests below fail.
NEEDED: dict[tuple[str, ...], list[str]] = {
    ("serve",): [],
    ("verify",): [],
    ("config", "show"): [],
    ("config", "schema"): [],
    ("config", "explain"): [],
    ("doctor",): [],
    ("apikey", "create"): ["--user", "u", "--label", "l"],
    ("apikey", "list"): [],
    ("apikey", "revoke"): ["46a45ce7-5d92-498a-a9cb-9654b1da3da1"],
    ("auth", "explain"): ["--repo", "a", "--action", "pull"],
    ("auth", "check"): [],
    ("repo", "list"): [],
    ("tag", "list"): ["--repo", "a"],
    ("tag", "delete"): ["a", "v1", "--yes"],
    ("image", "show"): ["a:v1"],
    ("du",): [],
    ("layout", "sync"): [],
    ("gc", "run"): [],
    ("gc", "status"): [],
    ("retention", "plan"): [],
    ("retention", "run"): [],
    ("retention", "explain"): ["a:v1"],
    ("scrub", "run"): [],
    ("job", "list"): [],
    ("job", "show"): ["1"],
    ("version",): [],
    ("completion",): ["bash"],
}
# They speak of the program, not of a registry.
WITHOUT_CONFIGURATION = {("config", "schema"), ("config", "explain"), ("version",), ("completion",)}


def command_of(words: tuple[str, ...]) -> click.Command:
    """Return the command that these words call."""
    found: click.Command = zot
    for word in words:
        assert isinstance(found, click.Group)
        below = found.get_command(click.Context(found), word)
        assert below is not None
        found = below
    return found


LEAVES = [words for words in commands(zot) if not isinstance(command_of(words), click.Group)]
CONFIGURED = [words for words in LEAVES if words not in WITHOUT_CONFIGURATION]
WITH_FILE = [
    words
    for words in LEAVES
    if any(
        "FILE" in str(p.metavar) or "CONFIG" in str(p.metavar)
        for p in command_of(words).params
        if isinstance(p, click.Argument)
    )
]
WITH_REPOSITORY = [words for words in LEAVES if "--repo" in {o for p in command_of(words).params for o in p.opts}]


@pytest.fixture(autouse=True)
def nothing_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration is anywhere but where a test puts it, and nobody is made to handle signals."""
    monkeypatch.setattr(cli.configuration, "SYSTEM_FILES", (tmp_path / "etc.json", tmp_path / "etc.yaml"))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.delenv("ZOT_CONFIG", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def run(*arguments: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(zot, arguments)


def placed(words: tuple[str, ...], option: list[str]) -> list[list[str]]:
    """Return the ways to type an option: before the command's name at each place, and behind it."""
    return [[*words[:place], *option, *words[place:], *NEEDED[words]] for place in range(len(words) + 1)]


def test_every_command_is_known_here() -> None:
    """The table above has every command, so the tests below leave none out."""
    assert set(NEEDED) == set(LEAVES)


@pytest.mark.parametrize("option", ["--config", "-c"])
@pytest.mark.parametrize("words", CONFIGURED, ids=" ".join)
def test_every_command_takes_its_configuration_anywhere(words: tuple[str, ...], option: str, tmp_path: Path) -> None:
    """At the top, at the group and behind its name the file is the one that is read: a missing one is told by name."""
    missing = str(tmp_path / "missing.json")
    for arguments in placed(words, [option, missing]):
        done = run(*arguments)
        assert (done.exit_code, f"{missing}:1:1: there is no such file" in done.stderr) == (2, True), done.output


@pytest.mark.parametrize("words", CONFIGURED, ids=" ".join)
def test_every_command_finds_it_by_the_variable(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a name the file is that of $ZOT_CONFIG, and that is said."""
    monkeypatch.setenv("ZOT_CONFIG", "/nowhere/c.json")
    done = run(*words, *NEEDED[words])
    assert done.exit_code == 2
    assert done.stderr.startswith("using /nowhere/c.json, which $ZOT_CONFIG names\n"), done.output


@pytest.mark.parametrize("words", CONFIGURED, ids=" ".join)
def test_two_configurations_are_wrong_use(words: tuple[str, ...]) -> None:
    """Two names that differ are refused, wherever they stand."""
    for arguments in placed(words, ["--config", "a.json"])[:-1]:
        done = run(*arguments, "--config", "b.json")
        assert (done.exit_code, "two configurations are named, a.json and b.json; name one" in done.stderr) == (2, True)


@pytest.mark.parametrize("words", WITH_FILE, ids=" ".join)
def test_a_file_is_an_argument_or_an_option(words: tuple[str, ...], tmp_path: Path) -> None:
    """Where a file is an argument it may be an option too; both are well if they are the same file."""
    missing = str(tmp_path / "missing.json")
    for arguments in ([missing], [missing, "-c", f"{tmp_path}/./missing.json"]):
        assert "/missing.json:1:1: there is no such file" in run(*words, *arguments).stderr
    done = run("-c", "other.json", *words, missing)
    assert (done.exit_code, "two configurations are named" in done.stderr) == (2, True)


def test_files_are_arguments_where_the_issue_has_them() -> None:
    """The commands that take a file by itself are these."""
    assert {("serve",), ("verify",), ("config", "show"), ("auth", "check"), ("doctor",)} <= set(WITH_FILE)


@pytest.mark.parametrize("words", WITH_REPOSITORY, ids=" ".join)
def test_a_repository_is_an_argument_or_an_option(words: tuple[str, ...], tmp_path: Path) -> None:
    """`REPO` and `--repo REPO` are the same; both that differ are wrong use."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"storage": {"rootDirectory": str(tmp_path / "root")}}))
    others = [one for one in NEEDED[words] if one not in ("--repo", "a")]
    by_option, by_argument = (run(*words, *given, *others, "-c", str(config)) for given in (["--repo", "a"], ["a"]))
    assert (by_option.exit_code, by_option.output) == (by_argument.exit_code, by_argument.output)
    assert by_option.exit_code != 2
    done = run(*words, "a", "--repo", "b", *others, "-c", str(config))
    assert (done.exit_code, "two repositories are named, a and b; name one" in done.stderr) == (2, True)


def test_verify_without_a_file_checks_what_others_would_take(tmp_path: Path) -> None:
    """The defaults are valid, and it is said that they are meant; a file of the system counts before them."""
    done = run("verify")
    assert (done.exit_code, done.stdout) == (0, "the defaults: valid\n")
    assert "no configuration file is given" in done.stderr
    (tmp_path / "etc.json").write_text("{}")
    done = run("verify")
    assert (done.exit_code, f"using {tmp_path}/etc.json" in done.stderr) == (1, True)
