"""The fragments of zot's manual, each completed to a whole file: every one is valid, in JSON and in YAML."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from tests.certificates import Authority
from tests.documents import plain_file
from zot.config import Config, check, load

SEED = sorted((Path(__file__).parent / "seed").glob("*.json"))
NAMED = ["cacert.cert", "htpasswd", "auth.crt"]


@pytest.fixture(autouse=True)
def _named_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is started where the files that the manual names are."""
    (tmp_path / "test/data/certs").mkdir(parents=True)
    for name in NAMED:
        (tmp_path / "test/data" / name).write_text("")
    (tmp_path / "examples").mkdir()
    issued = Authority(tmp_path)
    shutil.copy(issued.cert, tmp_path / "test/data/server.cert")
    shutil.copy(issued.key, tmp_path / "test/data/server.key")
    logins = '{"registry1:5000": {"username": "user", "password": "pass"}}'
    (tmp_path / "examples/sync-auth-filepath.json").write_text(logins)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("file", SEED, ids=lambda file: file.stem)
def test_every_fragment_is_valid(file: Path, tmp_path: Path) -> None:
    """Each file has no error, and says the same when it is written as YAML."""
    checked = check(str(file))
    assert checked.config is not None, checked.problems
    (tmp_path / "same.yaml").write_text(yaml.safe_dump(plain_file(file)))
    assert load(str(tmp_path / "same.yaml")) == checked.config


def read(name: str) -> Config:
    """Return one of the files."""
    return load(str(Path(__file__).parent / "seed" / f"{name}.json"))


def test_what_the_fragments_say() -> None:
    """What the manual writes in its own way is what it means."""
    storage = read("storage").storage
    assert storage.gc_delay == timedelta(hours=2)
    assert [(path.dedupe, path.gc) for path in storage.sub_paths.values()] == [
        (True, True),
        (True, False),
        (False, False),
    ]
    first, _, last = read("retention").storage.retention.policies
    assert first.repositories == ("infra/*", "prod/*")
    assert [keep.patterns for keep in first.keep_tags] == [("v2.*", ".*-prod"), ("v3.*", ".*-prod")]
    assert last.keep_tags[0].most_recently_pushed_count == 10
    metrics = read("metrics").extensions.metrics
    assert metrics is not None
    assert metrics.enable is True
    control = read("access-control").http.access_control
    assert control is not None
    assert control.repositories["repos2/repo"].policies[0].groups == ("group1",)
    sync = read("sync").extensions.sync
    assert sync is not None
    assert [upstream.poll_interval for upstream in sync.registries] == [
        timedelta(hours=6), timedelta(hours=12), timedelta(0),
    ]  # fmt: skip
