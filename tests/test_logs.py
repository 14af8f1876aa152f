"""Log files: lines in one piece, whatever happens to the file."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import wait_until
from zot import logs
from zot.errors import StartupError
from zot.logs import File, Lines


@pytest.fixture
def _restored() -> Iterator[None]:
    """Put the root logger back afterwards."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = before, level
    for own in ("zot", "cli"):
        logging.getLogger(own).setLevel(logging.NOTSET)
    logs.audit.handlers.clear()
    logs.audit.disabled = True


def later(file: File) -> None:
    """Let so much time pass that the file looks again where its name leads to."""
    file._looked -= 1.0


def test_a_renamed_file_is_left(tmp_path: Path) -> None:
    """When the file is renamed, with or without another in its place, lines go to the new one before long."""
    path = tmp_path / "log"
    file = File(str(path), "log.output")
    for number, creates in enumerate((False, True)):
        file.write("before\n")
        path.rename(tmp_path / f"log.{number}")
        if creates:
            path.touch(0o640)
        file.write("still before\n")
        later(file)
        file.write("after\n")
        assert (tmp_path / f"log.{number}").read_text().endswith("before\nstill before\n")
        assert path.read_text() == "after\n"
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_truncated_file_begins_anew(tmp_path: Path) -> None:
    """After a truncation the next line is the first, without a hole before it."""
    path = tmp_path / "log"
    file = File(str(path), "log.output")
    file.write("before\n")
    os.truncate(path, 0)
    file.write("after\n")
    assert path.read_bytes() == b"after\n"


def test_what_cant_be_written_stops_nothing(tmp_path: Path) -> None:
    """When the directory of a log is gone its lines are lost, until it is there again."""
    directory = tmp_path / "logs"
    directory.mkdir()
    file = File(str(directory / "log"), "log.output")
    (directory / "log").unlink()
    directory.rmdir()
    later(file)
    file.write("lost\n")
    directory.mkdir()
    later(file)
    file.write("there\n")
    assert (directory / "log").read_text() == "there\n"


def test_a_file_that_cant_be_opened_is_an_error_at_start(tmp_path: Path) -> None:
    """The error names the key, the file and the remedy."""
    with pytest.raises(StartupError, match=r"log.audit .*none/log can't be opened: No such file or directory; name a"):
        File(str(tmp_path / "none/log"), "log.audit")


def test_gathered_lines_are_written_soon_and_in_order(tmp_path: Path) -> None:
    """Lines below a warning wait for a moment, a warning takes those before it along; order stays."""
    path = tmp_path / "log"
    handler = Lines(File(str(path), "log.output"))
    logger = logging.getLogger("test.gathered")
    logger.propagate, logger.level = False, logging.INFO
    logger.addHandler(handler)
    handler.gather()
    made: list[int] = []
    logger.info("one", extra={"number": 1})
    handler.add(lambda: made.append(2) or logs.line(0, "info", "test", "two"))  # type: ignore[func-returns-value]
    assert made == []
    logger.warning("three")
    messages = [json.loads(line)["message"] for line in path.read_text().splitlines()]
    assert messages == ["one", "two", "three"]
    logger.info("four")
    wait_until(lambda: path.read_text().count("\n") == 4, "the line is written")
    assert json.loads(path.read_text().splitlines()[-1])["message"] == "four"
    logger.removeHandler(handler)


@pytest.mark.usefixtures("_restored")
def test_the_audit_log_is_a_file_of_its_own(tmp_path: Path) -> None:
    """What is audited goes to its own file at once, whatever the level; without one it goes nowhere."""
    output, audit = tmp_path / "log", tmp_path / "audit"
    logs.configure("error", str(output), str(audit))
    logs.audit.info("HTTP API Audit", extra={"subject": "alice\n"})
    assert json.loads(audit.read_text())["subject"] == "alice\n"
    logs.configure("error", str(output))
    logs.audit.info("HTTP API Audit")
    assert output.read_text() == ""
    assert audit.read_text().count("\n") == 1


@pytest.mark.usefixtures("_restored")
def test_libraries_tell_nothing_below_info(tmp_path: Path) -> None:
    """At the level `debug` our own lines are there; those of libraries, which may hold secrets, begin with `info`."""
    logs.configure("debug", str(tmp_path / "log"))
    for name in ("zot.gc", "cli.gc", "botocore.auth"):
        logging.getLogger(name).debug("detail")
        logging.getLogger(name).info("news")
    written = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [(line["logger"], line["message"]) for line in written] == [
        ("zot.gc", "detail"), ("zot.gc", "news"), ("cli.gc", "detail"), ("cli.gc", "news"), ("botocore.auth", "news"),
    ]  # fmt: skip
