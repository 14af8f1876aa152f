"""How commands speak: for people or as JSON, quiet if asked, with colour and progress on a terminal only.

A command takes `@output_options` and gets an `Output`. Results go to standard output, everything else to standard
error. Exit statuses are the same everywhere: 0 good, 1 the thing failed, 2 wrong use.

For programs there is one convention. A result is one object; what it lists has a name in it (`{"repositories": […]}`),
so that more can be said beside it, as `next` of a page. Keys are in camelCase. Sizes are numbers of bytes, times are
texts as RFC 3339 has them, and null is what there is not: never, nobody, nothing. Each line of standard error is an
object too: `{"error", "remedy", "exitCode"}`, `{"warning"}` or `{"note"}`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import click


@dataclass(frozen=True)
class Output:
    """Where a command's results go to, and how: a document if `json`, else text; nothing more than that if `quiet`."""

    json: bool = False
    quiet: bool = False

    def document(self, value: dict[str, Any]) -> None:
        """Print a result as JSON."""
        click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))

    def line(self, text: str = "", **style: Any) -> None:
        """Print a line of a result for people, in click's `style`."""
        click.echo(styled(text, sys.stdout, **style))

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Print a table for people: wrapped to the width of a terminal; elsewhere each row is one line."""
        cells = [[str(cell) for cell in row] for row in rows]
        if not sys.stdout.isatty():
            widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
            for row in [headings, *cells]:
                padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
                click.echo("  ".join(padded).rstrip())
            return
        from rich.table import Column, Table
        from rich.text import Text

        # A long word is broken, lest its end be lost.
        columns = (Column(heading, overflow="fold") for heading in headings)
        table = Table(*columns, box=None, pad_edge=False, header_style="bold")
        for row in cells:
            table.add_row(*map(Text, row))
        _console(sys.stdout).print(table)

    def note(self, text: str) -> None:
        """Tell on standard error what is no result; nothing if quiet."""
        if not self.quiet:
            self._tell(text, {"note": text})

    def warning(self, text: str) -> None:
        """Tell on standard error what must not be missed, quiet or not."""
        self._tell(f"{styled('warning:', sys.stderr, fg='yellow')} {text}", {"warning": text})

    def failure(self, error: str, remedy: str = "", *, status: int = 1, **facts: Any) -> None:
        """Tell on standard error what went wrong and what to do, quiet or not; `facts` are for programs."""
        text = f"{styled('zot:', sys.stderr, fg='red')} {error}{'; ' if remedy else ''}{remedy}"
        self._tell(text, {"error": error, "remedy": remedy or None, "exitCode": status, **facts})

    def _tell(self, text: str, document: dict[str, Any]) -> None:
        click.echo(json.dumps(document, ensure_ascii=False) if self.json else text, err=True)

    @contextmanager
    def progress(self, what: str, total: float | None = None) -> Iterator[Callable[[float], None]]:
        """Show how far something is, on a terminal only; call what is given with how much was done since."""
        if self.quiet or self.json or not sys.stderr.isatty():
            yield lambda _: None
            return
        from rich.progress import Progress

        with Progress(console=_console(sys.stderr), transient=True) as shown:
            task = shown.add_task(what, total=total)
            yield lambda done: shown.advance(task, done)


def counted(count: int, noun: str) -> str:
    """Return so many of something in words."""
    if count != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count} {noun}"


def camel(value: Any) -> Any:
    """Return plain values with the keys of all maps in camelCase, as every document has them."""
    if isinstance(value, dict):
        return {_camel(key): camel(part) for key, part in value.items()}
    return [camel(part) for part in value] if isinstance(value, list | tuple) else value


def _camel(name: str) -> str:
    first, *more = name.split("_")
    return first + "".join(map(str.capitalize, more))


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--output` and `--quiet`; it gets them as one `Output`, named `output`."""

    def collect(context: click.Context, _parameter: click.Parameter, quiet: bool) -> None:
        context.params["output"] = Output(context.params.pop("output", "text") == "json", quiet)

    command = click.option(
        "--quiet", "-q", is_flag=True, expose_value=False, callback=collect, help="Print results and errors only."
    )(command)
    return click.option(
        "--output",
        "-o",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        is_eager=True,
        help="How to print results.",
    )(command)


def styled(text: str, stream: IO[str], **style: Any) -> str:
    """Colour a text if a person sees it: on a terminal, and NO_COLOR is not set."""
    return click.style(text, **style) if stream.isatty() and not os.environ.get("NO_COLOR") else text


def _console(stream: IO[str]) -> Any:
    from rich.console import Console

    return Console(file=stream, highlight=False)
