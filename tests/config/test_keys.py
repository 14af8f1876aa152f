"""The table of keys: every key of zot's manual is in it, and says what it means."""

from __future__ import annotations

import ast
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from zot.config import Config
from zot.config.keys import all_keys
from zot.config.values import read_duration, write_duration

REPOSITORY = Path(__file__).parents[2]
KEYS = {key.path: key for key in all_keys(Config)}


def test_every_key_says_what_it_means_and_has_a_default_of_its_type() -> None:
    """Each key has a sentence; each that is needed says so by having no default."""
    for key in KEYS.values():
        assert key.setting.sentence.endswith((".", "…")), key.path
    needed = [path for path, key in KEYS.items() if key.setting.field.is_required()]
    assert "http.auth.htpasswd.path" in needed
    assert "http.port" not in needed


@pytest.mark.parametrize(
    "path",
    (Path(__file__).parent / "manual-keys.txt").read_text().split(),
)
def test_every_key_of_the_manual_is_known(path: str) -> None:
    """Each key that zot's manual shows is in the table, spelled as there."""
    assert path in KEYS


def test_what_is_acted_on_is_read_somewhere() -> None:
    """A key that is said to be acted on is read by some module outside the configuration."""
    read = {
        node.attr
        for folder in ("zot", "cli")
        for file in (REPOSITORY / folder).rglob("*.py")
        if "config" not in file.parent.parts
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute)
    }
    for_the_reader = {"distSpecVersion", "goVersion", "commit", "releaseTag", "binaryType"}
    for path, key in KEYS.items():
        if key.acted_on and path not in for_the_reader:
            names = {name for name, field in _fields().items() if field is key.setting.field}
            assert {name.partition(" ")[2] for name in names} & read, f"nothing reads {path}"


def _fields() -> dict[str, object]:
    """Return the fields of all sections by class and attribute."""
    sections = {Config} | {key.setting.shape.section for key in KEYS.values() if key.setting.shape.section}
    return {f"{section.__name__} {name}": field for section in sections for name, field in section.model_fields.items()}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1h30m", 5400), ("24h", 86400), ("500ms", 0.5), ("1.5h", 5400), ("0", 0), (".5s", 0.5), ("-3m", -180),
     (90_000_000_000, 90), ("90000000000", 90), ("2us", 2e-6), ("2µs", 2e-6), ("1h0m0s", 3600), ("3000ns", 3e-6)],
)  # fmt: skip
def test_durations_are_those_of_go(text: object, seconds: float) -> None:
    """What Go reads as a duration is one; a whole number is nanoseconds."""
    duration = read_duration(text)
    assert isinstance(duration, timedelta)
    assert duration == timedelta(seconds=seconds)
    assert read_duration(write_duration(duration)) == duration


@pytest.mark.parametrize("text", ["", "h", "5", "1d", "1h 2m", "1,5h", True, None, 1.5, "9" * 25, "1e3s", "∞"])
def test_what_is_no_duration_is_refused(text: object) -> None:
    """Anything else is refused; a bare number in quotes is nanoseconds, as it is without quotes."""
    if text == "5":
        assert read_duration(text) == timedelta(0)
    else:
        with pytest.raises(ValueError, match=r"is no duration; write |too long"):
            read_duration(text)


def test_secrets_are_in_the_servers_own_json_only() -> None:
    """A secret is in no repr and no dump, but in what the server hands its own processes, which reads back equal."""
    driver = {"name": "s3", "bucket": "b", "secretkey": "CANARY"}
    config = Config.model_validate({"storage": {"rootDirectory": "/r", "storageDriver": driver}})
    assert config.storage.storage_driver is not None
    assert config.storage.storage_driver.secretkey == SecretStr("CANARY")
    for shown in (
        repr(config),
        str(config),
        config.model_dump_json(by_alias=True),
        str(config.model_dump(mode="json")),
    ):
        assert "CANARY" not in shown
    assert "CANARY" in config.to_json()
    assert Config.from_json(config.to_json()) == config


def test_a_configuration_is_never_changed() -> None:
    """Sections are frozen, and what is in them can't be appended to."""
    config = Config.model_validate({"storage": {"rootDirectory": "/r"}, "http": {"compat": "sparse"}})
    with pytest.raises(ValidationError):
        config.http.port = 1  # type: ignore[misc]
    assert isinstance(config.http.compat, tuple)
