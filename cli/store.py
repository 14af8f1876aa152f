"""What the commands that look into the store have in common: opening it, naming what is in it, printing sizes."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any, NamedTuple, TypeVar

import click

from cli.completing import complete_repository
from cli.output import Output
from zot.config import Config
from zot.config.storage import StoreOptions
from zot.errors import RegistryError, StartupError
from zot.logs import configure_audit
from zot.oci import digest as digests
from zot.oci import names
from zot.oci.digest import Digest
from zot.owners import foreign_owner
from zot.registry import paths
from zot.registry.opening import open_stores
from zot.registry.stores import Stores

T = TypeVar("T")
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


class Reference(NamedTuple):
    """A repository, and the tag or digest in it that was named, if one was."""

    repository: str
    reference: Digest | str | None


def require_store(config: Config) -> None:
    """Check that there is a store, as a command that looks into it makes none. Raises `StartupError`."""
    _require(config, paths.PRIVATE)


def require_root(config: Config) -> None:
    """Check that the directory of the store is there, whoever filled it. Raises `StartupError`."""
    _require(config, "")


def check_owners(config: Config) -> None:
    """Check that this user may work in what the server keeps on a disk; root may. Raises `StartupError`."""
    if os.geteuid() == 0:
        return
    for options in (config.storage, *config.storage.sub_paths.values()):
        if options.storage_driver is None:
            _check_owner(options.root_directory)
            _check_owner(os.path.join(options.root_directory, paths.PRIVATE))


def _check_owner(directory: str) -> None:
    try:
        owner = foreign_owner(directory)
    except PermissionError as error:
        why, remedy = f"this user may not look at {directory}", "run this as the user that runs the server, or as root"
        raise StartupError(why, remedy) from error
    except OSError:
        return
    if owner is not None:
        remedy = "run this as root" if owner == "root" else f"run this as {owner} (sudo -u {owner}), or as root"
        raise StartupError(f"{directory} belongs to {owner}, and this user may not write there", remedy)


def _require(config: Config, below: str) -> None:
    check_owners(config)
    if not _is_there(config.storage, below):
        raise StartupError(
            f"there is no store at {config.storage.root_directory}",
            "check storage.rootDirectory (--config FILE), or start the server once, which makes it",
        )


def _is_there(options: StoreOptions, below: str) -> bool:
    if options.storage_driver is not None:
        return True
    try:
        return stat.S_ISDIR(os.stat(os.path.join(options.root_directory, below)).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        # What is behind it nobody knows; opening it says why it can't be used.
        return True


def absent(config: Config, below: str = paths.PRIVATE) -> dict[str, str]:
    """Return the sub-paths that have no store yet, and where it will be. They are empty, for a command."""
    return {
        route: options.root_directory
        for route, options in config.storage.sub_paths.items()
        if not _is_there(options, below)
    }


def is_unmarked(root: str) -> bool:
    """Tell whether there is a directory in the place of an absent store, as where a disk is not mounted."""
    return os.path.isdir(root)


def open_store(config: Config, output: Output | None) -> Stores:
    """Open the stores that are there to read, as a server does; a server may use them meanwhile. Raises `StartupError`.

    The superuser becomes the owner of the root first: files of its own would be closed to the server. `output` is told
    which stores are not there.
    """
    require_store(config)
    _become_owner(config.storage.root_directory)
    return _open(config, absent(config), output)


def open_to_change(config: Config, output: Output, below: str = paths.PRIVATE) -> Stores:
    """Open the stores for a command that changes them, whose changes go to the audit log. Raises `StartupError`.

    Lines there name whoever started the command, also by sudo. A sub-path whose root has no `below` stays as it is.
    """
    try:
        login = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        login = str(os.getuid())
    check_owners(config)
    # The owner of the root makes the file, or the server could not write to it.
    _become_owner(config.storage.root_directory)
    configure_audit(config.log.audit, os.environ.get("SUDO_USER", login))
    return _open(config, absent(config, below), output)


def _open(config: Config, absent: dict[str, str], output: Output | None) -> Stores:
    if output is not None:
        _tell_absent(absent, output)
    return open_stores(config, absent=absent)


def _tell_absent(absent: dict[str, str], output: Output) -> None:
    for route, root in absent.items():
        if is_unmarked(root):
            output.warning(
                f"{root} is there, but no store is in it, so nothing is done in {route};"
                " mount its disk if that is missing, or start the server once, which makes the store"
            )
        else:
            output.note(f"there is no store at {root} yet, so there is nothing in {route}; zot serve makes it")


def _become_owner(root: str) -> None:
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return
    try:
        owner = os.stat(root)
    except OSError:
        return
    if owner.st_uid != 0:
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)


def parse(text: str) -> Reference:
    """Read `REPOSITORY`, `REPOSITORY:TAG` or `REPOSITORY@DIGEST`. Raises the error that names what is wrong with it."""
    repository, at, digest = text.partition("@")
    if at:
        return Reference(names.check_repository(repository), digests.parse(digest))
    repository, colon, tag = text.rpartition(":")
    if colon:
        return Reference(names.check_repository(repository), names.check_tag(tag))
    return Reference(names.check_repository(text), None)


def repository_options(*, required: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command a repository, as an argument or as `--repo REPO`; it gets what is named as `repository`."""

    def give(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def united(*arguments: Any, named: str | None, repo: str | None, **others: Any) -> Any:
            if named and repo and named != repo:
                raise click.UsageError(f"two repositories are named, {named} and {repo}; name one")
            if required and not (named or repo):
                raise click.UsageError("Name a repository: as an argument or with --repo.")
            return command(*arguments, repository=named or repo, **others)

        metavar, meaning = ("REPO", "The repository") if required else ("[REPO]", "Only this repository")
        completed: Any = {"type": repository_argument, "shell_complete": complete_repository}
        argument = click.argument("named", metavar=metavar, required=False, **completed)
        said = f"{meaning}; the argument says the same."
        option = click.option("--repo", metavar="REPO", help=said, **completed)
        return argument(option(united))

    return give


def repository_argument(text: str) -> str:
    """Read the name of a repository that was typed. Raises `click.BadParameter`, which is wrong use."""
    return _typed(names.check_repository, text, lambda found: found.repository)


def tag_argument(text: str) -> str:
    """Read a tag that was typed. Raises `click.BadParameter`."""
    return _typed(names.check_tag, text, lambda _: "")


def reference_argument(text: str) -> Reference:
    """Read what `parse` reads. Raises `click.BadParameter`."""
    return _typed(parse, text, _written)


def _typed(read: Callable[[str], T], text: str, shorter: Callable[[Reference], str]) -> T:
    """Read what was typed; `shorter` is what to type of a reference as clients take it, nothing if that is no help."""
    try:
        return read(text)
    except RegistryError as error:
        found = _as_clients_have_it(text)
        hint = shorter(found) if found else ""
        raise click.BadParameter(f"{text!r}: write {hint}" if hint else f"{error.reason}; {error.remedy}") from None


def _as_clients_have_it(text: str) -> Reference | None:
    """Read a reference that may begin with the host and port of a registry; None if it is none."""
    host, slash, rest = text.partition("/")
    try:
        return parse(rest if slash and ":" in host else text)
    except RegistryError:
        return None


def _written(reference: Reference) -> str:
    name, wanted = reference
    if wanted is None:
        return name
    return f"{name}:{wanted}" if isinstance(wanted, str) else f"{name}@{wanted}"


def human_size(size: float) -> str:
    """Return bytes as people read them: in units of a thousand, as clients and disks are labelled."""
    for unit in _UNITS:
        if size < 1000 or unit == _UNITS[-1]:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError


def when(seconds: float) -> str:
    """Return a time, in seconds since 1970, as RFC 3339 has it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
