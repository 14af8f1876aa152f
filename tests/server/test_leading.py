"""The leader process, where it can't be started."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.servers import PATIENCE, environment
from zot.config import default_config
from zot.errors import StartupError
from zot.server import leading


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose log is a file."""
    file = tmp_path / "c.json"
    log = {"output": str(tmp_path / "log")}
    file.write_text(json.dumps({"storage": {"rootDirectory": str(tmp_path / "r")}, "http": {"port": 0}, "log": log}))
    return file


def test_a_python_that_the_user_may_not_run(config: Path) -> None:
    """A server whose user may not run its Python says so in one line before it listens."""
    lost = "import sys; sys.executable = '/nowhere/python'; from cli.main import main; main()"
    command = [sys.executable, "-c", lost, "serve", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "zot: this user may not run /nowhere/python, which a process of the server's own needs; "
        "install Python and zot where the user that runs zot may run them\n"
    )


def test_no_python_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python that does not know where it is can't be run either."""
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(StartupError, match="may not run Python"):
        leading.require_python()


def test_no_room_for_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A leader that can't be started for now is told in the log and tried again later; the master goes on."""
    tried: list[bool] = []

    def full(*_arguments: object, **_settings: object) -> None:
        tried.append(True)
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    now = [100.0]
    monkeypatch.setattr(subprocess, "Popen", full)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    leaders = leading.Leaders(default_config(str(tmp_path), port=0), str(tmp_path))
    for seconds, count in ((0, 1), (0.5, 1), (0.5, 2), (1, 2), (1, 3)):
        now[0] += seconds
        leaders.look_after()
        assert len(tried) == count
    assert "can't be started, it is tried again later: Resource temporarily unavailable" in caplog.text
    leaders.stop()
