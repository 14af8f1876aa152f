"""Secrets: from the environment and from files, and never shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import cli
from zot.config import Config, ConfigError, check
from zot.config.keys import Key, all_keys

SECRETS = [key for key in all_keys(Config) if key.setting.secret]
# What the sections above a secret need, beside it, to be valid.
COMPANIONS: dict[str, dict[str, object]] = {
    "storageDriver": {"name": "s3", "bucket": "b", "region": "r"},
    "cacheDriver": {"name": "redis"},
    "sessionDriver": {"name": "redis"},
    "sinks": {"type": "http", "address": "https://e"},
    "cluster": {"members": ["a"]},
}


def whole(value: object, *keys: Key) -> dict[str, Any]:
    """Return a configuration with a value for each key."""
    document: dict[str, Any] = {"storage": {"rootDirectory": "/r"}}
    for key in keys:
        at: Any = document
        *above, last = key.path.replace("<name>", "oidc").split(".")
        for name in above:
            below = at.setdefault(name.removesuffix("[]"), [{}] if name.endswith("[]") else {})
            at = below[0] if name.endswith("[]") else below
            at.update(COMPANIONS.get(name.removesuffix("[]"), {}))
        at[last] = {"Authorization": value} if last == "headers" else value
    return document


def write(tmp_path: Path, document: object) -> str:
    """Write a configuration, all of it on one line, as shown lines may then hold everything."""
    file = tmp_path / "c.json"
    file.write_text(json.dumps(document))
    return str(file)


def test_there_are_secrets() -> None:
    """The keys that hold secrets are known to be such, and none with such a name is not."""
    paths = {key.path for key in SECRETS}
    assert {"storage.storageDriver.secretkey", "http.auth.ldap.bindPassword"} < paths
    for key in all_keys(Config):
        name = key.setting.name.lower()
        if ("password" in name or "secret" in name) and key.setting.shape.section is None:
            assert key.setting.secret or name in ("secretname", "clientsecretfile"), key.path


@pytest.mark.parametrize("key", SECRETS, ids=lambda key: key.path)
def test_a_secret_is_never_shown(tmp_path: Path, key: Key) -> None:
    """A canary in a secret key is in nothing that show, verify or an error print, whatever else is wrong."""
    file = write(tmp_path, whole("CANARY-7f3a", key))
    broken = whole("CANARY-7f3a", key) | {"prot": 1, "metrics": {}, "log": {"level": "loud"}, "scheduler": 7}
    for arguments in (
        ["config", "show", file],
        ["config", "show", file, "--output", "json"],
        ["verify", file],
        ["verify", file, "--output", "json"],
        ["verify", write(tmp_path, broken)],
        ["config", "show", write(tmp_path, broken)],
    ):
        done = CliRunner().invoke(cli, arguments)
        assert "CANARY" not in done.output, arguments
        assert done.exception is None or isinstance(done.exception, SystemExit)


@pytest.mark.parametrize("key", SECRETS, ids=lambda key: key.path)
def test_a_secret_is_masked(tmp_path: Path, key: Key) -> None:
    """Where a configuration is shown a secret is six stars, however long it is."""
    config = Config.model_validate(whole("CANARY-7f3a", key))
    assert "******" in config.model_dump_json(by_alias=True)
    assert "CANARY" not in repr(config) + config.model_dump_json()
    assert Config.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    "text",
    [
        '{"storage": {"storageDriver": {"secretkey": "CANARY", "bucket" "b"}}}',
        '{"storage": {"storageDriver": {"secretkey": "CANARY}}}',
        '{"http": {"auth": {"ldap": {"bindPassword":\n"CANARY",, }}}}',
        '{"storage": {"storageDriver": {"secretkeyy": "CANARY"}}}',
        '{"storage": {"storageDriver": {"secretkey": ["CANARY"]}}}',
        '{"storage": {"storageDriver": {"secretkey": {"CANARY": 1}}}}',
        '{"secretkey": "CANARY"}',
        '{"storage": "CANARY"}',
        '{"paswordd": "CANARY"}',
        '{"storag": [{"storageDriver": {"secretkey": "CANARY"}}]}',
        '{"storag": {"a": [["CANARY"]]}}',
        '{"cache": "redis://user:CANARY@host"}',
        '{"headers": {"CANARY": 1}}',
        '{"credentials": "CANARY"}',
    ],
)
def test_a_secret_in_a_broken_file_is_not_shown(tmp_path: Path, text: str) -> None:
    """Where the document is broken, or a secret is in the wrong place or of the wrong type, its value is hidden too."""
    (tmp_path / "c.json").write_text(text)
    done = CliRunner().invoke(cli, ["verify", str(tmp_path / "c.json")])
    assert done.exit_code == 1
    assert "CANARY" not in done.output, done.output


@pytest.mark.parametrize("text", ['"gcDelay": "1h"', '"port": 8080', '"apikey": true', '"http": {"users": ["alice"]}'])
def test_what_is_no_secret_is_shown(tmp_path: Path, text: str) -> None:
    """The line of a key in the wrong section is shown as it is, unless the key holds a secret elsewhere."""
    (tmp_path / "c.json").write_text(f"{{{text}}}")
    assert f"    {{{text}}}\n" in CliRunner().invoke(cli, ["verify", str(tmp_path / "c.json")]).output


def test_from_the_environment_and_from_a_file(tmp_path: Path) -> None:
    """A secret may name a variable or a file; any other key keeps what it says; what is not there is named."""
    (tmp_path / "key").write_text("from-file\n")
    driver = {"name": "s3", "bucket": "${HOME}", "region": "r", "accesskey": "${KEY}"}
    driver["secretkey"] = f"${{file:{tmp_path}/key}}"
    file = write(tmp_path, {"storage": {"storageDriver": driver}})
    config = check(file, {"KEY": "from-environment"}).config
    assert config is not None
    assert config.storage.storage_driver is not None
    assert config.storage.storage_driver.bucket == "${HOME}"
    assert config.storage.storage_driver.accesskey.get_secret_value() == "from-environment"
    assert config.storage.storage_driver.secretkey.get_secret_value() == "from-file"
    (problem,) = check(file, {}).problems
    assert "environment variable KEY is not set" in problem.what


def test_an_error_has_no_secret(tmp_path: Path) -> None:
    """The exception of a file that can't be used has none either."""
    driver = {"name": "s3", "secretkey": "CANARY"}
    file = write(tmp_path, {"storage": {"storageDriver": driver}})
    checked = check(file)
    assert checked.config is None
    error = ConfigError(checked.problems)
    assert "CANARY" not in f"{error} {error!r} {checked!r}"
