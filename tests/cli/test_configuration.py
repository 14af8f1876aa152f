"""Which configuration a command takes, and the commands that show what a configuration may say."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator

import cli.configuration
from cli.main import cli as zot
from tests.documents import plain_file
from tests.servers import environment
from tests.servers import zot as command

REPOSITORY = Path(__file__).parents[2]
VALID = '{"storage": {"rootDirectory": "%s"}}'


@pytest.fixture(autouse=True)
def nothing_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration is anywhere but where a test puts it."""
    monkeypatch.setattr(cli.configuration, "SYSTEM_FILES", (tmp_path / "etc.json", tmp_path / "etc.yaml"))
    monkeypatch.delenv("ZOT_CONFIG", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def run(*arguments: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(zot, arguments)


def root_of(result: Result) -> str:
    """Return the root that the configuration shown has."""
    assert result.exit_code == 0, result.output
    return str(yaml.safe_load(result.stdout)["storage"]["rootDirectory"])


def test_the_file_is_found_by_one_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The defaults give way to /etc, that to $ZOT_CONFIG, that to a name, and each time it is said what was taken."""
    shown = run("config", "show")
    assert root_of(shown) == f"{tmp_path}/data/zot/registry"
    assert "no configuration file is given, so data is kept in" in shown.stderr
    (tmp_path / "etc.yaml").write_text("storage: {rootDirectory: /of-etc}")
    shown = run("config", "show")
    assert root_of(shown) == "/of-etc"
    assert f"using {tmp_path}/etc.yaml" in shown.stderr
    (tmp_path / "variable.json").write_text(VALID % "/of-variable")
    monkeypatch.setenv("ZOT_CONFIG", str(tmp_path / "variable.json"))
    shown = run("config", "show")
    assert root_of(shown) == "/of-variable"
    assert "which $ZOT_CONFIG names" in shown.stderr
    (tmp_path / "named.json").write_text(VALID % "/of-name")
    for arguments in ([str(tmp_path / "named.json")], ["--config", str(tmp_path / "named.json")]):
        shown = run("config", "show", *arguments)
        assert root_of(shown) == "/of-name"
    assert run("config", "show", "a.json", "--config", "b.json").exit_code == 2


def test_statuses(tmp_path: Path) -> None:
    """A file that is not there is wrong use, an invalid one a failure; verify tells both of several files."""
    (tmp_path / "bad.json").write_text('{"storage": {}}')
    (tmp_path / "good.json").write_text(VALID % "/r")
    for name, status in (("missing.json", 2), ("bad.json", 1), ("good.json", 0)):
        assert run("config", "show", str(tmp_path / name)).exit_code == status
        assert run("verify", str(tmp_path / name)).exit_code == status
    assert run("verify", str(tmp_path / "good.json"), str(tmp_path / "bad.json")).exit_code == 1
    assert run("verify", str(tmp_path / "bad.json"), str(tmp_path / "missing.json")).exit_code == 2


def test_verify_for_programs(tmp_path: Path) -> None:
    """With --output json each file's problems are one document, warnings told apart; quiet leaves errors only."""
    file = tmp_path / "c.yaml"
    file.write_text("storage: {rootDirectory: /r, cacheDriver: {name: redis}, gcc: 1}")
    done = run("verify", "--output", "json", str(file))
    (document,) = json.loads(done.stdout)["files"]
    assert (done.exit_code, done.stderr, document["valid"]) == (1, "", False)
    assert [(one["severity"], one["key"]) for one in document["problems"]] == [
        ("warning", "storage.cacheDriver"), ("error", "storage.gcc"),
    ]  # fmt: skip
    assert "warning" not in run("verify", "--quiet", str(file)).output


def test_a_problem_is_shown_with_its_line_and_a_caret(tmp_path: Path) -> None:
    """What is wrong comes with the line it is in, and a caret below it; of a long line with the part around it."""
    file = tmp_path / "c.json"
    file.write_text('{\n  "storage": {"rootDirectory": "/r",\n    "dedup": true}\n}')
    line, shown, caret = run("verify", str(file)).stderr.splitlines()
    assert line.startswith(f"{file}:3:5: storage.dedup: there is no such key; did you mean storage.dedupe?")
    assert shown[caret.index("^") :] == '"dedup": true}'
    file.write_text('{"storage": {"rootDirectory": "/%s", "dedup": true}}' % ("r" * 5000))
    _, shown, caret = run("verify", str(file)).stderr.splitlines()
    assert shown[caret.index("^") :].startswith('"dedup"')
    assert len(shown) < 120


def test_nothing_in_a_file_reaches_the_terminal_raw(tmp_path: Path) -> None:
    """Control characters of a file, or of its keys, are not printed as they are."""
    file = tmp_path / "c.json"
    file.write_text('{"\\u001b[31m": 1, "b\x1b[2J": 2}')
    done = run("verify", str(file))
    assert done.exit_code == 1
    assert "\x1b" not in done.output


def test_no_colour_where_no_person_looks(tmp_path: Path) -> None:
    """What is piped, and what NO_COLOR asks for, has no escape sequences; a terminal has them."""
    file = tmp_path / "c.json"
    file.write_text("{}")
    assert b"\x1b" not in on_terminal(file, NO_COLOR="1")
    assert b"\x1b" in on_terminal(file)
    assert "\x1b" not in run("verify", str(file)).output


def on_terminal(file: Path, **variables: str) -> bytes:
    """Verify a file with a pseudo terminal; return what was printed on it."""
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb", buffering=0) as shown:
        subprocess.run(
            command("verify", str(file)), stdout=theirs, stderr=theirs, env=environment() | variables, check=False
        )
        os.close(theirs)
        return shown.read(65536)


def test_explain() -> None:
    """A key is explained in any case, whole or by its end; a section and what is in it, one level or with --all."""
    one = run("config", "explain", "STORAGE.gcdelay")
    assert one.stdout.splitlines()[0] == "storage.gcDelay"
    assert "Default: 1h" in one.stdout
    assert "http.tls.cacert" in run("config", "explain", "http.tls").stdout
    assert "storage.subPaths.<name>.gcDelay" in run("config", "explain", "gcDelay").stdout
    assert "policies[].repositories" in run("config", "explain", "repoNames").stdout
    assert "Also named `repoNames`" in run("config", "explain", "storage.retention.policies.repoNames").stdout
    every = json.loads(run("config", "explain", "--all", "--output", "json").stdout)["keys"]
    assert len(every) > 250
    sections = [one["key"] for one in json.loads(run("config", "explain", "--output", "json").stdout)["keys"]]
    assert {"http", "storage", "log", "extensions"} < set(sections)
    assert not any("." in name for name in sections)
    shown = json.loads(run("config", "explain", "storage.subPaths", "--output", "json").stdout)
    below = [one["key"] for one in shown["keys"]]
    assert below[:2] == ["storage.subPaths", "storage.subPaths.<name>.rootDirectory"]
    assert not any(name.startswith("storage.subPaths.<name>.retention.") for name in below)
    assert run("config", "explain", "storage.subPaths./fast.gc").stdout.startswith("storage.subPaths.<name>.gc\n")
    for whole, short in (("storage.subPaths", "subpaths"), ("http.accessControl", "accessControl")):
        assert run("config", "explain", short).stdout == run("config", "explain", whole).stdout
        assert run("config", "explain", "--all", short).stdout == run("config", "explain", "--all", whole).stdout
    unknown = run("config", "explain", "storage.gcDelai")
    assert (unknown.exit_code, "did you mean storage.gcDelay?" in unknown.stderr) == (1, True)
    assert "Required" in run("config", "explain", "htpasswd.path").stdout


def test_the_schema_accepts_the_examples_and_refuses_what_is_unknown() -> None:
    """The schema is valid, takes every example in JSON or YAML, and does not take a key that is not known."""
    schema = json.loads(run("config", "schema").stdout)
    Draft202012Validator.check_schema(schema)
    validator: Any = Draft202012Validator(schema)
    for file in (REPOSITORY / "examples").glob("config-*"):
        validator.validate(plain_file(file))
    assert not validator.is_valid({"storage": {"rootDirectory": "/r", "dedup": True}})
    assert validator.is_valid({"storage": {"rootDirectory": "/r", "gcDelay": "1h30m", "dedupe": "true"}})
    assert not validator.is_valid({"storage": {"rootDirectory": "/r", "gcDelay": "soon"}})


def test_version_and_completion() -> None:
    """The version is there for programs too; each shell gets a script; keys are completed."""
    assert json.loads(run("version", "--output", "json").stdout)["distSpecVersion"] == "1.1.1"
    for shell in ("bash", "zsh", "fish"):
        assert "_ZOT_COMPLETE" in run("completion", shell).stdout
    words = {
        "COMP_WORDS": "zot config explain http.auth.ldap.bind",
        "COMP_CWORD": "3",
        "_ZOT_COMPLETE": "bash_complete",
    }
    done = subprocess.run(command(), capture_output=True, text=True, env=environment() | words, check=False)
    assert done.stdout.split() == ["plain,http.auth.ldap.bindDN", "plain,http.auth.ldap.bindPassword"]


def test_explain_knows_names_of_yours() -> None:
    """A name in a map explains what stands there; one that is like no key is no reason for a proposal."""
    for asked in ("storage.subPaths.fast", "storage.subPaths./fast", "http.accessControl.repositories.a/**"):
        assert asked.rpartition(".")[0] in run("config", "explain", asked).stdout.splitlines()[1]
    assert "did you mean" not in run("config", "explain", "storage.fast").stderr


def test_what_show_prints_is_not_warned_of(tmp_path: Path) -> None:
    """Defaults that nobody wrote are in what `zot config show` prints, and verify says nothing of them."""
    (tmp_path / "users").write_text("")
    policies = [{"users": ["alice"], "actions": ["read"]}]
    values = {
        "storage": {"rootDirectory": "/r", "gc": False, "subPaths": {"/x": {"rootDirectory": "/s", "gc": False}}},
        "http": {
            "auth": {"ldap": {"address": "l", "port": 636, "baseDN": "d", "userAttribute": "u"}},
            "accessControl": {"repositories": {"**": {"policies": policies}}},
        },
    }
    written, shown = tmp_path / "written.json", tmp_path / "shown.yaml"
    written.write_text(json.dumps(values))
    assert run("verify", str(written)).stderr == ""
    shown.write_text(run("config", "show", str(written), "--quiet").stdout)
    assert run("verify", str(shown)).stderr == ""
