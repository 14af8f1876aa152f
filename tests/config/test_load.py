"""Reading configurations: what is right gives a `Config`, what is wrong gives every problem with its place."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zot.config import Config, ConfigError, load


def read(tmp_path: Path, text: str | bytes, name: str = "c.json") -> Config:
    """Load a text as a file."""
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(str(file))


def test_defaults(tmp_path: Path) -> None:
    """A file needs the root only; the rest has defaults."""
    config = read(tmp_path, '{"storage": {"rootDirectory": "/r"}}')
    assert (config.storage.dedupe, config.storage.commit) == (True, True)
    assert (config.http.address, config.http.port, config.http.compat) == ("127.0.0.1", 8080, None)
    assert (config.log.level, config.log.output) == ("info", "")


def test_zot_reads_so(tmp_path: Path) -> None:
    """Keys are known in any case, and quoted numbers and truth values are what they say, in JSON and in YAML."""
    text = '{"STORAGE": {"RootDirectory": "/r", "dedupe": "false"},\n\t"Http": {"PORT": "5000", "compat": "docker2s2"}}'
    config = read(tmp_path, text)
    assert (config.storage.dedupe, config.http.port, config.http.compat) == (False, 5000, ("docker2s2",))
    yaml = read(tmp_path, "Storage:\n  rootdirectory: /r\nhttp: {port: 5000}\nlog: {level: WARN}\n", "c.yaml")
    assert (yaml.http.port, yaml.log.level) == (5000, "warning")


WRONG = [
    ("", "1:1", "it is empty"),
    ("null", "1:1", "it is empty"),
    ("{}", "1:1", "write its keys"),
    ('{"storage": {}}', "1:2: storage.rootDirectory", "it is missing; add it"),
    ('{"storage": {"rootDirectory": ""}}', "1:14: storage.rootDirectory", "it is empty; add it"),
    ('{"storage": {"rootDirectory": "/r",\n "dedup": 1}}', "2:2: storage.dedup", "did you mean storage.dedupe"),
    (
        '{"storage": {"rootDirectory": "/r"}, "dedupe": true}',
        "1:38: dedupe",
        "it belongs under storage; move it to storage.dedupe",
    ),
    ('{"storage": {"rootDirectory": "/r"}, "zzz": true}', "1:38: zzz", "leave it out"),
    ('{"storage": {"rootDirectory": "/r", "commit": "perhaps"}}', "storage.commit", "use true or false"),
    ('{"storage": {"rootDirectory": "/r"}, "http": {"port": 70000}}', "http.port", "use 65535 or less"),
    ('{"storage": {"rootDirectory": "/r"}, "http": {"port": -1}}', "http.port", "use 0 or more"),
    ('{"storage": {"rootDirectory": "/r"}, "http": {"port": "x"}}', "http.port", "use a whole number"),
    ('{"storage": {"rootDirectory": "/r"}, "http": {"compat": ["docker1"]}}', "http.compat[0]", "docker2s2"),
    ('{"storage": {"rootDirectory": "/r"}, "log": {"level": "loud"}}', "log.level", "use one of trace, debug"),
    ('{"storage": {"rootDirectory": "/r"}, "log": 3}', "1:38: log", "use a section with keys of its own"),
    ('{"storage": {"rootDirectory": "/r"},\n"storage": {"rootDirectory": "/s"}}', "2:1: storage", "it is given twice"),
    ('{"storage": ', "1:13", "add what is missing"),
    ('{"storage": {"rootDirectory": "/r"}} x', "1:38", "mend the braces before it"),
    ("[" * 5000, "1:", "; "),
    (b"\xff\xfe{", "1:1", "save it in UTF-8"),
    (b" " * (1024 * 1024 + 1), "1:1", "longer than"),
]


@pytest.mark.parametrize(("text", "where", "remedy"), WRONG)
def test_what_is_wrong_is_said_with_place_and_remedy(
    tmp_path: Path, text: str | bytes, where: str, remedy: str
) -> None:
    """Each wrong file is refused with its place, its key and what to do."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert f"c.json:{where}" in str(caught.value) or f": {where}: " in str(caught.value)
    assert remedy in str(caught.value)


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    """A file with several faults reports each of them, in the order of the file."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, "storage:\n  dedupe: x\nhttp:\n  prt: 1\nlog:\n  level: q\n", "c.yaml")
    assert [problem.key for problem in caught.value.problems] == [
        "storage.rootDirectory", "storage.dedupe", "http.prt", "log.level",
    ]  # fmt: skip


def test_a_yaml_bomb_is_refused(tmp_path: Path) -> None:
    """Aliases that stand for more than memory holds are an error, soon."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    with pytest.raises(ConfigError, match="more than 100000 values"):
        read(tmp_path, "\n".join(lines), "c.yaml")


@pytest.mark.parametrize(("path", "said"), [("missing.json", "there is no such file; check"), (".", "can't be read")])
def test_a_file_that_can_not_be_read_is_said(tmp_path: Path, path: str, said: str) -> None:
    """A missing file and a directory are refused by name."""
    with pytest.raises(ConfigError, match=said):
        load(str(tmp_path / path))


HOSTILE = {
    "many unknown keys.json": "{" + ",".join(f'"k{n}": {{"a": {n}}}' for n in range(50_000)) + "}",
    "many wrong values.json": '{"storage": {"rootDirectory": "/r"}, "http": {"compat": [' + "1," * 90_000 + "1]}}",
    "many merges.yaml": "a: &a {"
    + ", ".join(f"k{n}: 1" for n in range(9_000))
    + "}\nb: {<<: ["
    + "*a, " * 9_000
    + "*a]}",
    "deep.yaml": "[" * 500_000,
    "deeper.yaml": "\n".join(" " * n + "a:" for n in range(1_000)),
    "deep.json": '{"a":' * 150_000,
    "one long text.json": '{"storage": {"rootDirectory": "' + "r" * 1_000_000 + '"}, "x": 1}',
    "no end.json": '"' + "\\" * 1_000_000,
    "comments.json": "#" * 1_000_000,
    "anchors.yaml": "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" if n else "a0: &a0 x\n" for n in range(60)),
    "itself.yaml": "a: &a [*a]",
    "half a character.json": '{"storage": {"rootDirectory": "\\ud83d"}}',
    "nothing but zeros.json": "\0" * 100_000,
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.timeout(60)
def test_hostile_files_are_refused_soon(tmp_path: Path, name: str) -> None:
    """Files made to take time or memory are refused with at most a hundred problems."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, HOSTILE[name], name)
    assert 1 <= len(caught.value.problems) <= 200
    assert all(len(str(problem)) < 2_000 for problem in caught.value.problems)


def test_a_very_long_file_is_not_read(tmp_path: Path) -> None:
    """Of a file of 100 GB no more is read than a configuration can have."""
    file = tmp_path / "c.json"
    with file.open("wb") as opened:
        opened.truncate(100 * 1024**3)
    with pytest.raises(ConfigError, match="longer than"):
        load(str(file))


@settings(max_examples=300)
@given(
    content=st.binary(max_size=200) | st.text(max_size=200).map(str.encode), name=st.sampled_from(["c.json", "c.yaml"])
)
def test_no_file_does_anything_else(tmp_path: Path, content: bytes, name: str) -> None:
    """Whatever a file holds, it is a configuration or a `ConfigError`."""
    with suppress(ConfigError):
        assert read(tmp_path, content, name).storage.root_directory
