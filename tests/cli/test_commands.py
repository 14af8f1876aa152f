"""The commands, as a user types them."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli.main import cli
from tests.servers import PATIENCE, environment, wait_until, zot


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        zot(*arguments), capture_output=True, text=True, env=environment() | variables, timeout=PATIENCE, check=False
    )


def commands(group: click.Group, *above: str) -> Iterator[tuple[str, ...]]:
    """Return what to type for each command and each group."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        yield (*above, name)
        if isinstance(command, click.Group):
            yield from commands(command, *above, name)


@pytest.mark.parametrize("arguments", list(commands(cli)), ids=" ".join)
def test_every_command_has_an_example(arguments: tuple[str, ...]) -> None:
    """The help of each command shows what to type, in one process."""
    done = CliRunner().invoke(cli, [*arguments, "--help"])
    assert done.exit_code == 0
    assert "Example" in done.output


# What they print is for another program and has one form, or is the server's log.
ONE_FORM = {("serve",), ("completion",), ("config", "schema")}


@pytest.mark.parametrize("arguments", [one for one in commands(cli) if one not in ONE_FORM], ids=" ".join)
def test_every_command_speaks_json_and_can_be_quiet(arguments: tuple[str, ...]) -> None:
    """Each command that is no group has --output and --quiet."""
    found: click.Command = cli
    for name in arguments:
        assert isinstance(found, click.Group)
        below = found.get_command(click.Context(found), name)
        assert below is not None
        found = below
    if not isinstance(found, click.Group):
        options = {option for parameter in found.params for option in parameter.opts}
        assert {"--output", "-o", "--quiet", "-q"} <= options


@pytest.mark.parametrize("group", [(), *(one for one in commands(cli) if len(one) == 1)], ids=" ".join)
def test_what_commands_do_is_told_whole(group: tuple[str, ...]) -> None:
    """In the list of commands of zot, and of each group, no sentence is cut."""
    assert re.search(r"[\w,]\.\.\.", CliRunner().invoke(cli, [*group, "--help"]).output) is None


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("repos",), "No such command 'repos'; did you mean repo? see zot --help"),
        (("repo", "lst"), "No such command 'lst'; did you mean list? see zot repo --help"),
        (("repo", "list", "--limt", "3"), "No such option '--limt'; did you mean --limit? see zot repo list --help"),
        (("xyz",), "No such command 'xyz'; see zot --help"),
    ],
)
def test_the_nearest_name_is_proposed(typed: tuple[str, ...], said: str) -> None:
    """A slip in the name of a command or option, at the top too, is told with the name that may have been meant."""
    done = run(*typed)
    assert (done.returncode, done.stderr) == (2, f"zot: {said}\n")


def test_help_is_for_who_never_saw_a_registry() -> None:
    """Help is there under both names, says what a registry is for, and lists every command."""
    done = run("-h")
    assert done.returncode == 0
    assert done.stdout == run("--help").stdout
    assert "docker push" in done.stdout
    for (name,) in (one for one in commands(cli) if len(one) == 1):
        assert f"  {name} " in done.stdout


def test_version() -> None:
    """The version is one line."""
    assert run("--version").stdout.startswith("zot, version 0.")


def test_wrong_use_is_2() -> None:
    """A command that does not exist, and a missing argument, leave with 2."""
    assert run("nope").returncode == run("tag", "list").returncode == 2
    assert run("serve", "--tmp", "c.json").returncode == 2


def test_verify(tmp_path: Path) -> None:
    """Verify says of each file whether it is valid, with every problem, and leaves with 1 if one is not."""
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text('{"storage": {"rootDirectory": "/r"}}')
    bad.write_text('{"storage": {"rootDirectry": "/r"}}')
    assert run("verify", str(good)).returncode == 0
    done = run("verify", str(good), str(bad))
    assert done.returncode == 1
    assert f"{good}: valid" in done.stdout
    assert f"{bad}:1:14: storage.rootDirectry: there is no such key; did you mean storage.rootDirectory" in done.stderr
    assert "Traceback" not in done.stderr


def refused(tmp_path: Path, storage: str, http: str = "{}", log: str = "{}") -> str:
    """Serve a configuration that can't work; return the one line that says so."""
    config = tmp_path / "c.json"
    config.write_text(f'{{"storage": {storage}, "http": {http}, "log": {log}}}')
    done = run("serve", str(config))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("zot: ")
    return done.stderr


def test_a_port_in_use(tmp_path: Path) -> None:
    """A port that another program has is named, with what to do."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        line = refused(tmp_path, f'{{"rootDirectory": "{tmp_path}/r"}}', f'{{"port": {port}}}')
    assert f"port {port} of 127.0.0.1 is in use" in line
    assert "choose another http.port or --port" in line


def test_an_address_of_another_machine(tmp_path: Path) -> None:
    """An address that is not here is named."""
    line = refused(tmp_path, f'{{"rootDirectory": "{tmp_path}/r"}}', '{"address": "198.51.100.1", "port": 0}')
    assert "198.51.100.1 is not an address of this machine; change http.address" in line


def test_a_root_that_can_not_be(tmp_path: Path) -> None:
    """A root below a file is refused."""
    (tmp_path / "file").write_text("")
    line = refused(tmp_path, f'{{"rootDirectory": "{tmp_path}/file/r"}}', '{"port": 0}')
    assert f"storage.rootDirectory {tmp_path}/file/r can't be used: Not a directory" in line


def test_a_root_of_a_sub_path_that_can_not_be(tmp_path: Path) -> None:
    """What is wrong with the root of a sub-path names the key of the sub-path, at the start as with --online."""
    (tmp_path / "file").write_text("")
    key = "storage.subPaths./a.rootDirectory"
    below = f'"subPaths": {{"/a": {{"rootDirectory": "{tmp_path}/file/r", "gc": true}}}}'
    line = refused(tmp_path, f'{{"rootDirectory": "{tmp_path}/r", {below}}}', '{"port": 0}')
    assert f"zot: {key} {tmp_path}/file/r can't be used: Not a directory" in line
    assert f"name a directory in {key}" in run("verify", "--online", str(tmp_path / "c.json")).stderr
    assert f"name a directory in {key}" in run("doctor", str(tmp_path / "c.json")).stdout


def test_an_unwritable_root(tmp_path: Path, need: Callable[..., str]) -> None:
    """A root that the user may not write to is refused with what to do."""
    root = tmp_path / "root"
    root.mkdir(mode=0o555)
    config = tmp_path / "c.json"
    config.write_text(f'{{"storage": {{"rootDirectory": "{root}"}}, "http": {{"port": 0}}}}')
    # The superuser may write anywhere, unless that ability is taken away.
    drop = [need("setpriv", "install util-linux"), "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
    command = [*drop, *zot("serve", str(config))]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=PATIENCE, check=False)
    assert done.returncode == 1
    remedy = "let the user that runs zot own it, or name another directory"
    assert done.stderr == f"zot: storage.rootDirectory {root} is not writable; {remedy}\n"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root to mount a small file system")
def test_a_full_disk(tmp_path: Path) -> None:
    """A file system without space is refused with what to do."""
    mount = tmp_path / "full"
    mount.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", mount], check=False)
    if done.returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")
    try:
        (mount / "filler").write_bytes(b"x" * 16384)
        line = refused(tmp_path, f'{{"rootDirectory": "{mount}/r"}}', '{"port": 0}')
    finally:
        subprocess.run(["umount", mount], check=True)
    assert "the storage is full: No space left on device" in line
    assert "free some space" in line


def test_a_log_that_can_not_be_opened(tmp_path: Path) -> None:
    """A log file in a directory that is not there is refused."""
    line = refused(tmp_path, f'{{"rootDirectory": "{tmp_path}/r"}}', '{"port": 0}', f'{{"output": "{tmp_path}/no/l"}}')
    assert "log.output" in line


def test_without_a_file(tmp_path: Path) -> None:
    """Without a file the data is kept in the user's data directory, and the server says so."""
    with subprocess.Popen(
        zot("serve", "--port", "0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment() | {"XDG_DATA_HOME": str(tmp_path)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Listening on http://127.0.0.1:")
        process.terminate()
        _, errors = process.communicate(timeout=PATIENCE)
    assert f"data is kept in {tmp_path}/zot/registry" in errors
    assert (tmp_path / "zot/registry/_zot-blobs").is_dir()
    assert process.returncode == 0


def test_warnings_are_lines_of_the_log(tmp_path: Path) -> None:
    """What is doubtful about a configuration is logged when it is served, as JSON; other commands are silent."""
    config = tmp_path / "c.json"
    storage = {"rootDirectory": f"{tmp_path}/root", "fastRestart": True}
    config.write_text(json.dumps({"storage": storage, "http": {"port": 0}, "distSpecVersion": "1.0"}))
    with subprocess.Popen(
        zot("serve", str(config)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Listening on http://127.0.0.1:")
        process.terminate()
        _, errors = process.communicate(timeout=PATIENCE)
    lines = [json.loads(line) for line in errors.splitlines()]
    warned = [line["message"] for line in lines if line["logger"] == "cli.serve"]
    assert len(warned) == 2
    assert "storage.fastRestart: it changes nothing" in warned[0]
    assert run("config", "show", str(config)).stderr == ""


def test_a_log_in_a_file_leaves_nobody_in_the_dark(tmp_path: Path) -> None:
    """Where the log is a file, the terminal has warnings too and is told the file; the file says why a start failed."""
    config, log = tmp_path / "c.json", tmp_path / "log"
    storage = {"rootDirectory": f"{tmp_path}/root", "fastRestart": True}
    config.write_text(json.dumps({"storage": storage, "http": {"port": 0}, "log": {"output": str(log)}}))
    with subprocess.Popen(
        zot("serve", str(config)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout is not None
        begun = [process.stdout.readline() for _ in range(2)]
        process.terminate()
        _, errors = process.communicate(timeout=PATIENCE)
    assert begun[1].endswith(f"storage in {tmp_path}/root, log in {log}\n")
    assert re.fullmatch(r"warning: .*storage\.fastRestart: it changes nothing.*\n", errors)
    (tmp_path / "file").write_text("")
    line = refused(
        tmp_path, f'{{"rootDirectory": "{tmp_path}/file/r"}}', '{"port": 0}', json.dumps({"output": str(log)})
    )
    last = json.loads(log.read_text().splitlines()[-1])
    assert last["level"] == "error"
    assert last["message"] == f"the server can't start: {line.removeprefix('zot: ').strip()}"


def test_tmp_goes_away(tmp_path: Path) -> None:
    """With --tmp the root is a temporary one that is gone after SIGTERM, and the port a free one."""
    with subprocess.Popen(
        zot("serve", "--tmp"), stdout=subprocess.PIPE, text=True, env=environment() | {"TMPDIR": str(tmp_path)}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Listening on http://127.0.0.1:")
        wait_until(lambda: list(tmp_path.glob("zot-*/_zot-blobs")), "the root is there")
        process.terminate()
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []
