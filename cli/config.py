"""`zot config`: what a configuration may say, and what it does say."""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from typing import Any

import click
import yaml
from click.shell_completion import CompletionItem

from cli.configuration import read
from cli.options import config_argument, config_group
from cli.output import Output, output_options
from zot.config import Config
from zot.config.describe import default, kind, known, remarks
from zot.config.keys import Key, all_keys


@config_group
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
    """Complete a key, a level at a time: of a section that is the only one, what is in it is offered too."""
    keys = all_keys(Config)
    begins = [key for key in keys if key.path.lower().startswith(begun.lower())]
    sections = {key.path for key in begins}
    offered = [key for key in begins if _above(key.path) not in sections]
    if len(offered) == 1:
        offered += [key for key in keys if _above(key.path) == offered[0].path]
    return [CompletionItem(key.path, help=key.setting.sentence) for key in offered]


@config.command()
@click.argument("key", required=False, shell_complete=_complete)
@click.option("--all", "deep", is_flag=True, help="Show all that is below too, not one level of it.")
@output_options
def explain(key: str | None, deep: bool, output: Output) -> None:
    """Say what a key means, its type and its default; or the keys of a section; or the sections that there are.

    A key may be given in any case, and without what is before its last dot.

    \b
    Examples:
      zot config explain
      zot config explain http.tls
      zot config explain storage.subPaths
      zot config explain gcDelay
      zot config explain --all
    """
    found = _find(key, deep)
    if not found:
        output.failure(f"there is no key {key}", _suggest(str(key)))
        raise click.exceptions.Exit(1)
    if output.json:
        output.document({"keys": [known(one) for one in found]})
    elif len(found) == 1:
        _describe(found[0], output)
    else:
        output.table(["KEY", "TYPE", "DEFAULT", "MEANING"], [_row(one) for one in found])
        if not deep and any(one.setting.shape.section for one in found):
            output.note("a section has keys of its own: zot config explain KEY, or all at once with --all")


def _find(asked: str | None, deep: bool) -> list[Key]:
    """Return the keys that are meant: that one and those below it, one level or all, or those with this end."""
    keys = all_keys(Config)
    if not asked:
        return [key for key in keys if deep or not _above(key.path)]
    exact = [key for key in keys if any(_is_called(path, asked) for path in key.paths)]
    end = f".{asked.lower()}"
    exact = exact or [key for key in keys if any(path.lower().endswith(end) for path in key.paths)]
    exact = exact or [key for key in keys if key.setting.shape.container == "map" and _is_named_in(key, asked)]
    below = [key for key in keys for one in exact if _above(key.path) == one.path or (deep and _is_in(key, one))]
    return [*exact, *below]


def _is_called(path: str, asked: str) -> bool:
    """Tell whether a key is meant, in any case, with any name and number where a map or list has one."""
    pattern = re.escape(path).replace("<name>", "[^.]+").replace(r"\[\]", r"(\[\d*\])?")
    return re.fullmatch(pattern, asked.strip("."), re.IGNORECASE) is not None


def _is_named_in(key: Key, asked: str) -> bool:
    """Tell whether a name of yours is meant, as in storage.subPaths./fast; what is the name of a key is a slip."""
    name = asked[len(key.path) + 1 :].lower()
    is_key = any(other.setting.name.lower() == name for other in all_keys(Config))
    return bool(name) and not is_key and asked.lower().startswith(f"{key.path}.".lower()) and "." not in name


def _above(path: str) -> str:
    """Return the section that a key is in."""
    return path.rpartition(".")[0].removesuffix("[]").removesuffix(".<name>")


def _is_in(key: Key, section: Key) -> bool:
    return key.path.startswith((f"{section.path}.", f"{section.path}[]."))


def _suggest(asked: str) -> str:
    ends = {key.path.rpartition(".")[2].lower(): key.path for key in reversed(all_keys(Config))}
    close = get_close_matches(asked.lower().rpartition(".")[2], ends, n=1, cutoff=0.7)
    meant = f"did you mean {ends[close[0]]}? " if close else ""
    return f"{meant}zot config explain --all lists all"


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
