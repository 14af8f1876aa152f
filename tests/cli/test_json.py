"""What commands say to programs: one convention, held over the whole tree of commands."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import cli.configuration
from cli.main import main
from tests.cli.test_commands import ONE_FORM, run
from tests.cli.test_options import CONFIGURED, LEAVES, NEEDED
from tests.images import OCI_MANIFEST, digest_of, manifest
from tests.server.test_logins import write_users
from tests.servers import Server, running_server

SPEAKING = [words for words in LEAVES if words not in ONE_FORM]
# What the commands are called with here, where that is not what they need at least; `…` is found out before.
CALLED: dict[tuple[str, ...], list[str]] = {
    ("apikey", "create"): ["--user", "alice", "--label", "l"],
    ("apikey", "revoke"): ["…"],
    ("auth", "explain"): ["a", "--action", "pull", "--user", "alice"],
    ("image", "show"): ["a", "--limit", "1"],
    ("job", "show"): ["…"],
    ("tag", "delete"): ["a", "v2", "--yes"],
}
SIZES = {"size", "unique", "stored", "saved", "freed", "frees", "total"}
TIMES = {"pushed", "pulled", "started", "ended", "createdAt", "expirationDate", "lastUsed"}
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration with a user, a sub-path, and a store where there is something to list and to remove."""
    directory = tmp_path_factory.mktemp("json")
    with running_server(directory) as server:
        for tag, layer in (("v1", b"old"), ("v1", b"new"), ("v2", b"other")):
            push(server, tag, layer)
        root = server.root
    write_users(directory / "htpasswd", alice="secret")
    storage = {
        "rootDirectory": str(root),
        "gcDelay": "0s",
        "retention": {"delay": "0s", "policies": [{"keepTags": [{"patterns": ["v1"]}]}]},
    }
    http = {
        "port": 0,
        "auth": {"htpasswd": {"path": str(directory / "htpasswd")}, "apikey": True},
        "accessControl": {"repositories": {"**": {"policies": [{"users": ["alice"], "actions": ["read"]}]}}},
    }
    file = directory / "whole.json"
    file.write_text(json.dumps({"storage": storage, "http": http}))
    return file


def push(server: Server, tag: str, layer: bytes) -> None:
    """Push an image."""
    for blob in (b"{}", layer):
        assert server.request("POST", f"/v2/a/blobs/uploads/?digest={digest_of(blob)}", blob)[0] == 201
    body = manifest(layers=(layer,))
    assert server.request("PUT", f"/v2/a/manifests/{tag}", body, {"Content-Type": OCI_MANIFEST})[0] == 201


def asked(words: tuple[str, ...], config: Path) -> subprocess.CompletedProcess[str]:
    """Run a command for a program."""
    more = list(CALLED.get(words, NEEDED[words]))
    if words == ("apikey", "revoke"):
        more = [json.loads(asked(("apikey", "create"), config).stdout)["id"]]
    if words == ("job", "show"):
        asked(("gc", "run"), config)
        more = [json.loads(asked(("job", "list"), config).stdout)["runs"][0]["id"]]
    given = ["-c", str(config)] if words in CONFIGURED else []
    return run(*given, *words, *more, "-o", "json")


def fields(value: Any, path: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield all keys of a document with their paths and values."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield key, path, part
            yield from fields(part, f"{path}.{key}")
    if isinstance(value, list):
        for part in value:
            yield from fields(part, path)


@pytest.mark.parametrize("words", SPEAKING, ids=" ".join)
def test_a_result_is_an_object_by_the_convention(words: tuple[str, ...], config: Path) -> None:
    """It is an object with keys in camelCase; sizes are numbers, times RFC 3339 or null; what is beside it is JSON."""
    done = asked(words, config)
    assert done.returncode == 0, done
    document = json.loads(done.stdout)
    assert isinstance(document, dict)
    assert all(isinstance(json.loads(line), dict) for line in done.stderr.splitlines())
    assert "0001-01-01" not in done.stdout
    if words == ("config", "show"):
        return  # its keys are those of the configuration
    for key, path, value in fields(document):
        if "rights" not in path and "annotations" not in path:
            assert re.fullmatch("[a-z][a-zA-Z]*", key), (path, key)
        if key in SIZES:
            assert isinstance(value, int), (path, key)
        if key in TIMES:
            assert value is None or RFC_3339.fullmatch(value), (path, key, value)


def left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, list[dict[str, Any]]]:
    """Run the program in this process; return its status and the documents on standard error."""
    monkeypatch.setattr(sys, "argv", ["zot", *arguments])
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with pytest.raises(SystemExit) as leaving:
        main()
    printed = capsys.readouterr()
    assert printed.out == ""
    return int(str(leaving.value.code)), [json.loads(line) for line in printed.err.splitlines()]


@pytest.mark.parametrize("words", [one for one in CONFIGURED if one not in ONE_FORM], ids=" ".join)
def test_an_error_is_one_object(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown option, and a configuration that is not there, are told as one document with remedy and status."""
    status, (told,) = left(monkeypatch, capsys, *words, "--no-such-option", "--output=json")
    assert (status, told["exitCode"], told["remedy"]) == (2, 2, f"see zot {' '.join(words)} --help")
    assert told["error"].startswith("No such option")
    if words == ("verify",):
        return  # what is wrong with the file is its result
    missing = tmp_path / "missing.json"
    status, (told,) = left(monkeypatch, capsys, "-c", str(missing), *words, *NEEDED[words], "-qo", "json")
    assert (status, told["exitCode"], told["remedy"]) == (2, 2, "check the path")
    assert told["error"] == f"{missing}:1:1: there is no such file"
    assert told["problems"][0]["what"] == "there is no such file"


@pytest.mark.parametrize(
    ("arguments", "error", "remedy"),
    [
        (("tag", "list", "b"), "there is no repository 'b'", "check"),
        (("tag", "delete", "a", "v9", "--yes"), "a has no tag 'v9', so nothing is deleted", "see zot tag list a"),
        (("job", "show", "x"), "there is no run 'x'", "zot job list shows the last ones"),
        (("apikey", "revoke", "x"), "there is no API key x", "zot apikey list shows them all"),
        (("gc", "run", "b"), "there is no repository 'b'", "check its name"),
        (("retention", "run", "--plan", "x"), "there is no plan 'x'", "make one with zot retention plan"),
        (("apikey", "create", "--user", "eve", "--label", "l"), "nobody knows a user 'eve' (htpasswd)", "add them"),
    ],
)
def test_a_failure_is_one_object(config: Path, arguments: tuple[str, ...], error: str, remedy: str) -> None:
    """What fails is told with what to do, and the status that it leaves with."""
    done = run(*arguments, "-o", "json", "-c", str(config))
    told = json.loads(done.stderr)
    assert (done.returncode, told["exitCode"], told["error"], done.stdout) == (1, 1, error, "")
    assert told["remedy"].startswith(remedy)


def test_what_is_said_beside_a_result_is_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which configuration was taken is a note of its own line, before the error."""
    monkeypatch.setattr(cli.configuration, "SYSTEM_FILES", ())
    monkeypatch.delenv("ZOT_CONFIG", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    status, (note, told) = left(monkeypatch, capsys, "repo", "list", "-o", "json")
    assert note["note"].startswith("no configuration file is given")
    assert (status, told["exitCode"]) == (1, 1)
    assert told["error"].startswith("there is no store at")


def test_an_interrupted_command_writes_one_document(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After Ctrl-C standard error holds an object, and no empty line before it."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(click.Group, "invoke", interrupted)
    monkeypatch.setattr(sys, "argv", ["zot", "repo", "list", "--output", "json"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 130
    told = capsys.readouterr().err
    assert (told[0], json.loads(told)["error"]) == ("{", "stopped")
