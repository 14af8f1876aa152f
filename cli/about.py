"""`zot version` and `zot completion`."""

from __future__ import annotations

import platform

import click
from click.shell_completion import get_completion_class

from cli.output import Output, output_options
from zot import __version__
from zot.config.model import SPECIFICATION


@click.command()
@output_options
def version(output: Output) -> None:
    """Print the version of zot, of the specification that it follows, and of Python.

    \b
    Example:
      zot version --output json
    """
    known = {"version": __version__, "distSpecVersion": SPECIFICATION, "python": platform.python_version()}
    if output.json:
        output.document(known)
    else:
        output.line(f"zot {__version__}, OCI distribution {SPECIFICATION}, Python {known['python']}")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what lets a shell complete commands, options, configuration keys and repositories on this machine.

    \b
    Examples:
      zot completion bash > /etc/bash_completion.d/zot
      zot completion zsh > "${fpath[1]}/_zot"
      zot completion fish > ~/.config/fish/completions/zot.fish
    """
    script = get_completion_class(shell)
    assert script is not None
    click.echo(script(context.find_root().command, {}, "zot", "_ZOT_COMPLETE").source())
