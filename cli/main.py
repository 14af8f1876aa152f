"""`zot`: the group of all commands, each of which is imported when it is used."""

from __future__ import annotations

import importlib
import logging
import os
import re
import sys
from typing import Any, NoReturn

import click

from cli.options import config_option, first_sentence
from cli.output import Output
from zot import __version__
from zot.errors import RegistryError, StartupError
from zot.storage.protocol import StorageError

# Where each command is, in the order of the help.
COMMANDS = {
    "Run a registry": {
        "serve": "cli.serve:serve",
        "verify": "cli.verify:verify",
        "config": "cli.config:config",
        "doctor": "cli.doctor:doctor",
    },
    "Let people in": {
        "apikey": "cli.apikey:apikey",
        "auth": "cli.auth:auth",
    },
    "Look into the store": {
        "repo": "cli.repo:repo",
        "tag": "cli.tag:tag",
        "image": "cli.image:image",
        "du": "cli.du:du",
        "layout": "cli.layout:layout",
    },
    "Clean up": {
        "gc": "cli.gc:gc",
        "retention": "cli.retention:retention",
        "scrub": "cli.scrub:scrub",
        "job": "cli.job:job",
    },
    "About this program": {
        "version": "cli.about:version",
        "completion": "cli.about:completion",
    },
}


class Commands(click.Group):
    """The commands of the table above, so that one does not wait for what another needs."""

    def list_commands(self, _context: click.Context) -> list[str]:
        """Return their names, in the order of the table."""
        return [name for section in COMMANDS.values() for name in section]

    def invoke(self, context: click.Context) -> Any:
        """Run a command. Raises `click.Abort` after Ctrl-C: click would write an empty line, which is no document."""
        try:
            return super().invoke(context)
        except KeyboardInterrupt as error:
            raise click.Abort from error

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        """Import a command."""
        where = next((section[name] for section in COMMANDS.values() if name in section), None)
        if where is None:
            return None
        module, _, attribute = where.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what each command does, in the sections of the table."""
        for title, section in COMMANDS.items():
            with formatter.section(title):
                commands = ((name, self.get_command(context, name)) for name in section)
                formatter.write_dl([(name, first_sentence(command)) for name, command in commands if command])

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command, and propose one of the table where there is none of that name."""
        try:
            return super().resolve_command(context, arguments)
        except click.NoSuchCommand as error:
            raise click.NoSuchCommand(error.command_name, None, self.list_commands(context), context) from None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@config_option
@click.version_option(__version__, prog_name="zot")
def cli() -> None:
    """A registry: it keeps container images, and gives them to those who may have them.

    docker, podman, helm, oras and other programs put images into a registry (push) and get them out of it (pull). This
    one runs from a single directory:

    \b
      zot serve                                  keep images in your data directory, on 127.0.0.1:8080
      docker tag alpine 127.0.0.1:8080/alpine    give an image a name in it
      docker push 127.0.0.1:8080/alpine          put it in
      docker pull 127.0.0.1:8080/alpine          get it out

    What it does beyond that is said in a configuration file, in JSON or YAML. `zot config explain` shows its keys,
    `zot verify FILE` checks a file, `zot serve FILE` serves what it says. Every command that needs one takes
    --config FILE, before or after its name; without it $ZOT_CONFIG counts, then /etc/zot/config.json, .yaml or .yml.
    Every command has a --help with an example, and leaves with 0 if all is well, with 1 if something failed, with 2 if
    it was used wrongly.
    """


def main() -> None:
    """Run a command; what goes wrong is said in one line, or as one document to programs."""
    output = Output(json=_wants_json(sys.argv[1:]))
    if output.json:
        # Of what is logged nothing comes between the documents.
        logging.getLogger().addHandler(logging.NullHandler())
    try:
        # A command that wants another status than 0 leaves with it, or click returns it.
        sys.exit(cli.main(prog_name="zot", standalone_mode=False) or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        _leave(output, *_told(error), error.exit_code)
    except click.Abort as error:
        _leave(output, "stopped", "", 130 if isinstance(error.__cause__, KeyboardInterrupt) else 1)
    except StartupError as error:
        _leave(output, error.problem, error.remedy)
    except StorageError as error:
        _leave(output, str(error), "see to the storage, then try again")
    except RegistryError as error:
        _leave(output, error.reason, error.remedy)
    except Exception as error:  # the last resort: nobody but a developer wants the traceback
        if os.environ.get("ZOT_DEBUG"):
            raise
        why = f"this is a fault of zot: {type(error).__name__}: {error}"
        _leave(output, why, "set ZOT_DEBUG=1 to see where, and report it")


def _wants_json(arguments: list[str]) -> bool:
    """Tell whether results are wanted as JSON; what is wrong with the arguments is found before click has read that."""
    typed = " ".join(arguments)
    return re.search(r"(^| )(--output[ =]|-q?o ?)json( |$)", typed) is not None


def _told(error: click.ClickException) -> tuple[str, str]:
    """Return what is wrong with what was typed, and what to do."""
    path = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "zot"
    message, remedy = error.format_message(), f"see {path} --help"
    if isinstance(error, click.NoSuchCommand | click.NoSuchOption) and error.possibilities:
        message, remedy = error.message, f"did you mean {error.possibilities[0]}? {remedy}"
    return re.sub(r"(?<!\.)\.$", "", " ".join(message.split())), remedy


def _leave(output: Output, why: str, remedy: str, status: int = 1) -> NoReturn:
    output.failure(why, remedy, status=status)
    sys.exit(status)


if __name__ == "__main__":
    main()
