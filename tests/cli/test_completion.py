"""The scripts that `zot completion` prints, run by the shells that they are for."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers import environment, zot

BASH = """
source {script}
COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMPREPLY=()
_zot_completion zot
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
# What shows the candidates in a shell that nobody types in is replaced by what prints them.
ZSH = """
compdef() {{ : }}
_describe() {{ print -l -- ${{(P)3}} }}
compadd() {{ print -l -- ${{(P)5}} }}
source {script}
words=({words}); CURRENT=$#words
_zot_completion
"""
FISH = "source {script}; complete -C {line}"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with `zot` to call, and a configuration whose store has some repositories, one on a sub-path."""
    program = tmp_path / "bin/zot"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.join(zot())} "$@"\n')
    program.chmod(0o755)
    names = "_zot-blobs/repositories"
    for name in (f"root/{names}/team.1app", f"root/{names}/tea", f"fast/{names}/team-x.1a"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    below = {"/team-x": {"rootDirectory": f"{tmp_path}/fast"}, "/new": {"rootDirectory": f"{tmp_path}/new"}}
    config = {"storage": {"rootDirectory": f"{tmp_path}/root", "subPaths": below}}
    (tmp_path / "c.json").write_text(json.dumps(config))
    return tmp_path


def completed(directory: Path, shell: str, program: str, line: str) -> set[str]:
    """Return what a shell offers for the last word of a line."""
    variables = environment() | {"PATH": f"{directory}/bin:/usr/bin:/bin", "HOME": str(directory)}
    script = directory / "script"
    script.write_bytes(subprocess.run(zot("completion", shell), env=variables, capture_output=True, check=True).stdout)
    words = " ".join(word or "''" for word in line.split(" "))
    text = {"bash": BASH, "zsh": ZSH, "fish": FISH}[shell].format(script=script, words=words, line=shlex.quote(line))
    done = subprocess.run(
        [program, "-c", text], env=variables, cwd=directory, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    # zsh and fish have the meaning beside it.
    return {found.split("\t")[0].split(":")[0] for found in done.stdout.splitlines()}


@pytest.mark.parametrize(
    "shell", ["bash", pytest.param("zsh", marks=pytest.mark.e2e), pytest.param("fish", marks=pytest.mark.e2e)]
)
def test_a_shell_completes(directory: Path, shell: str, need: Callable[..., str]) -> None:
    """Commands, options, keys of a configuration and repositories of all stores are offered; no store is made."""
    program = need(shell)
    before = sorted(path.name for path in directory.iterdir())
    for line, offered in {
        "zot gc ": {"run", "status"},
        "zot serve --gr": {"--graceful-timeout"},
        "zot config explain storage.gcD": {"storage.gcDelay"},
        "zot config explain s": {"storage", "scheduler"},
        "zot config explain lo": {"log", "log.audit", "log.level", "log.output"},
        "zot config explain log.": {"log.audit", "log.level", "log.output"},
        "zot -c c.json tag list te": {"tea", "team/app", "team-x/a"},
        "zot -c c.json image show team": {"team/app", "team-x/a"},
        "zot gc run -c c.json --repo team/": {"team/app"},
        "zot du -c missing.json --repo te": set[str](),
    }.items():
        assert completed(directory, shell, program, line) - {""} == offered, line
    assert sorted({path.name for path in directory.iterdir()} - {"script", ".config", ".local", ".cache"}) == before
