"""`zot doctor`: whether machine, store and proxy are fit for a registry."""

from __future__ import annotations

from collections.abc import Iterator

import click

from cli.configuration import read
from cli.options import config_argument
from cli.output import Output, counted, output_options
from cli.probing import logs, users
from cli.store import absent, check_owners, is_unmarked, open_store, require_store
from zot import checkup
from zot.addresses import OutgoingError, origin
from zot.checkup import Finding
from zot.config import Config
from zot.config.rules.finding import stores
from zot.errors import StartupError
from zot.registry import unserved
from zot.storage.protocol import StorageError

# Of layouts that are not served so many are named.
_NAMED = 20
_COLOURS = {"good": "green", "warning": "yellow", "bad": "red"}


def _check_url(_context: click.Context, _parameter: click.Parameter, url: str | None) -> str | None:
    if url is not None:
        try:
            origin(url)
        except OutgoingError:
            raise click.BadParameter(f"{url!r} is no address; write it with its scheme: https://HOST:PORT") from None
    return url


@click.command()
@click.option(
    "--url",
    callback=_check_url,
    help="Ask the registry at this address too, as clients do, through the proxy before it.",
)
@click.option("--cafile", type=click.Path(exists=True), help="… trusting the certificates of this PEM file.")
@config_argument
@output_options
def doctor(url: str | None, cafile: str | None, config: str | None, output: Output) -> None:
    """Check the machine and the store: disk space, links, clock, file limits, certificates, what a bucket can do.

    It also looks for image layouts below the roots that are not served: for their names, or for the store that they
    lie in.
    It writes and removes a small file in each directory that holds data, and repeats what the configuration is warned
    of. It leaves with 1 if something is bad. With --quiet it prints only what is not good.

    \b
    Examples:
      zot doctor
      zot doctor config.json --output json
      zot doctor --url https://registry.example.com
    """
    warned: list[Finding] = []
    chosen = read(config, output, warn=lambda one: warned.append(Finding(one.key, "warning", one.what, one.remedy)))
    findings = [*warned, *_look(chosen, url, cafile)]
    if output.json:
        output.document({"findings": [finding.plain() for finding in findings]})
    else:
        for finding in findings:
            if finding.state != "good" or not output.quiet:
                _print(finding, output)
    if any(finding.state == "bad" for finding in findings):
        raise click.exceptions.Exit(1)


def _look(config: Config, url: str | None, cafile: str | None) -> Iterator[Finding]:
    yield from checkup.machine()
    for path, options in stores(config):
        if options.storage_driver is None:
            key = ".".join(map(str, (*path, "rootDirectory")))
            yield from checkup.root(options.root_directory, dedupe=options.dedupe, key=key)
    yield from _stores(config)
    tls = config.http.tls
    if tls is not None and tls.cert and tls.key:
        yield from checkup.certificate(tls.cert, tls.key)
    yield from users(config)
    yield from logs(config)
    if url is not None:
        yield from checkup.outside(url, cafile)


def _stores(config: Config) -> Iterator[Finding]:
    """Look into the stores; those that can't be opened hold nothing that can be looked at."""
    opened = _open(config)
    yield opened
    if opened.state == "bad":
        return
    for route, directory in absent(config).items():
        if is_unmarked(directory):
            said, remedy = f"{directory} is there, but no store is in it", "mount its disk; zot serve makes a store"
            yield Finding(f"store {route}", "warning", said, remedy)
        else:
            yield Finding(f"store {route}", "good", f"there is no store at {directory} yet; zot serve makes it")
    yield from _layouts(config)


def _open(config: Config) -> Finding:
    """Open the stores as a server does: what a bucket can do is tried with that. None is made."""
    try:
        check_owners(config)
    except StartupError as error:
        return Finding("store", "bad", error.problem, error.remedy)
    try:
        require_store(config)
    except StartupError as error:
        return Finding("store", "good", f"{error.problem} yet; zot serve makes it")
    try:
        for _, store in open_store(config, None).by_route():
            store.check()
    except StartupError as error:
        return Finding("store", "bad", error.problem, error.remedy)
    except StorageError as error:
        return Finding("store", "bad", str(error), "see to the storage, then try again")
    return Finding("store", "good", "it opens, and keeps what is written under a condition")


def _layouts(config: Config) -> Iterator[Finding]:
    """Tell of image layouts below the roots that nobody can pull from, some by name, and how many others there are."""
    looked = unserved.look(config)
    for one in looked.unserved[:_NAMED]:
        yield Finding(f"layout {one.directory}", "warning", one.why, one.remedy)
    if (more := len(looked.unserved) - _NAMED) > 0:
        yield Finding("layouts", "warning", f"{more} more are not served", "see to those above, then run it again")
    if not looked.left:
        said = f"only the first {unserved.MOST} directories below the roots were looked at"
        yield Finding("layouts", "good", said)
    if looked.served:
        have = "has a name that is" if looked.served == 1 else "have names that are"
        yield Finding("layouts", "good", f"{counted(looked.served, 'layout')} below the roots {have} served")


def _print(finding: Finding, output: Output) -> None:
    remedy = f"; {finding.remedy}" if finding.remedy else ""
    output.line(f"{finding.state:8}{finding.what}: {finding.said}{remedy}", fg=_COLOURS[finding.state])
