"""The commands that documents and help texts show are commands, with options that they have."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest

from cli.main import cli as zot
from tests.cli.test_commands import commands
from tests.cli.test_options import command_of

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = [REPOSITORY / "README.md", REPOSITORY / "examples/README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
# A command begins a line, a quoted text, or follows another; it ends with that, before a comment, or before wide space.
_BEFORE, _BEHIND = r"(?:^ *|`|&& |[A-Z_]+=… )(?:\.venv/bin/)?", r"(?=`|$| *\||;|  +| #| && | > )"
SHOWN = re.compile(rf"{_BEFORE}zot ([a-z][^`|]*?){_BEHIND}", re.MULTILINE)


def shown_in(text: str) -> Iterator[str]:
    """Yield the commands that a text shows, without `zot`."""
    for found in SHOWN.finditer(text):
        if "…" not in found[1]:
            yield found[1].strip()


def parse(line: str) -> None:
    """Read a line as the program does, up to what would be done. Raises `click.UsageError`."""
    context, words = click.Context(zot, info_name="zot"), shlex.split(line)
    command: click.Command = zot
    while isinstance(command, click.Group):
        context = command.make_context(command.name, words, parent=context)
        if not words and not context.args:
            return  # the group itself is spoken of
        name, below, words = command.resolve_command(context, [*context._protected_args, *context.args])
        assert below is not None
        command = below
        if not words and name:
            return  # the command itself is
    with suppress(click.exceptions.Exit):  # which --help ends with
        command.make_context(command.name, words, parent=context)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_show_commands_that_are_there(document: Path) -> None:
    """Each command of a document is one, with options that it has."""
    for line in shown_in(document.read_text()):
        try:
            parse(line)
        except click.UsageError as error:
            pytest.fail(f"{document.name}: zot {line}: {error.format_message()}")


@pytest.mark.parametrize("words", list(commands(zot)), ids=" ".join)
def test_examples_of_help_are_commands(words: tuple[str, ...]) -> None:
    """Each example of a help text can be typed."""
    for line in shown_in(command_of(words).help or ""):
        parse(line)


def test_what_is_no_command_is_found() -> None:
    """A command that is not there, and an option that it has not, fail."""
    for wrong in ("gc rum", "gc run --no-such-option", "tag lst a"):
        with pytest.raises(click.UsageError):
            parse(wrong)
