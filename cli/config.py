"""`zot config`: what a configuration may say, and what it does say."""

from __future__ import annotations

import json
from typing import Any

import click
import yaml
from click.shell_completion import CompletionItem

from cli.configuration import config_argument, read
from cli.output import Output, output_options
from zot.config import Config
from zot.config.describe import default, kind, known, remarks
from zot.config.keys import Key, all_keys


@click.group()
def config() -> None:
    """See what a configuration may say, and what it does say.

    \b
    Examples:
      zot config explain storage.gcDelay
      zot config show /etc/zot/config.json
    """


@config.command()
@config_argument
@output_options
def show(config: str | None, output: Output) -> None:
    """Print the configuration that a command would use, with all defaults, and with secrets masked.

    \b
    Examples:
      zot config show
      zot config show config.yaml --output json
    """
    values = json.loads(read(config, output).model_dump_json(by_alias=True, exclude_none=True))
    if output.json:
        output.document(values)
    else:
        output.line(yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100).rstrip())


@config.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors and other programs.

    \b
    Example:
      zot config schema > zot.schema.json
    """
    from zot.config.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def _complete(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    return [
        CompletionItem(key.path, help=key.setting.sentence)
        for key in all_keys(Config)
        if key.path.lower().startswith(begun.lower())
    ]


@config.command()
@click.argument("key", required=False, shell_complete=_complete)
@output_options
def explain(key: str | None, output: Output) -> None:
    """Say what a key means, its type and its default; or those of all keys of a section; or of all there are.

    A key may be given in any case, and without what is before its last dot.

    \b
    Examples:
      zot config explain
      zot config explain http.tls
      zot config explain gcDelay
    """
    found = _find(key.lower().strip(".") if key else "")
    if not found:
        output.failure(f"there is no key {key}; zot config explain lists all")
        raise click.exceptions.Exit(1)
    if output.json:
        output.document([known(one) for one in found])
    elif len(found) == 1:
        _describe(found[0], output)
    else:
        output.table(["KEY", "TYPE", "DEFAULT", "MEANING"], [_row(one) for one in found])


def _find(asked: str) -> list[Key]:
    """Return the keys that are meant: that one and those below it, or those with this end."""
    keys = all_keys(Config)
    plain = {key: key.path.lower().replace("[]", "") for key in keys}
    asked = asked.replace("[]", "")
    if not asked:
        return list(keys)
    exact = [key for key in keys if plain[key] == asked or plain[key].startswith(f"{asked}.")]
    return exact or [key for key in keys if plain[key].endswith(f".{asked}")]


def _row(key: Key) -> list[Any]:
    return [key.path, kind(key.setting), default(key.setting), " ".join([key.setting.sentence, *remarks(key)])]


def _describe(key: Key, output: Output) -> None:
    output.line(key.path, bold=True)
    output.line(f"  {key.setting.sentence}")
    output.line(f"  Type: {kind(key.setting)}")
    if value := default(key.setting):
        output.line("  Required" if value == "required" else f"  Default: {value}")
    for remark in remarks(key):
        output.line(f"  {remark}")
