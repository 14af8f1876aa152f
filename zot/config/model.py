"""Every key that a configuration may have, with its type and default.

pydantic checks it: it reports all that is wrong at once, with the place of each, and is typed through and through.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

# The names that zot knows, and Python's for them.
LEVELS = {
    "trace": "debug",
    "debug": "debug",
    "info": "info",
    "warn": "warning",
    "warning": "warning",
    "error": "error",
    "fatal": "error",
    "panic": "error",
}


def _read_level(value: object) -> object:
    level = LEVELS.get(str(value).lower())
    if level is None:
        raise ValueError("use one of " + ", ".join(LEVELS))
    return level


def _read_list(value: object) -> object:
    """Let one value stand for a list of one, as zot does."""
    return [value] if isinstance(value, str) else value


class Section(BaseModel):
    """A section: frozen, and without keys that it does not know."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, coerce_numbers_to_str=True
    )


class Storage(Section):
    """Where the registry keeps what it is given.

    `root_directory` is made if it is not there. With `dedupe` repositories share the file of a blob that they have in
    common. `commit` syncs every file and directory before a push is acknowledged; without it a power cut may lose what
    was acknowledged.
    """

    root_directory: Annotated[str, Field(min_length=1)]
    dedupe: bool = True
    commit: bool = True


class Http(Section):
    """Where the registry listens.

    Port 0 lets the system choose one. `compat` names what is accepted beyond the OCI specifications: `docker2s2`,
    docker's manifests, as zot has it, and `sparse`, image manifests whose blobs are not all here, which mirrors of a
    part of an image need. Left out, docker's manifests are accepted; an empty list refuses them too.
    """

    address: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    compat: Annotated[list[Literal["docker2s2", "sparse"]] | None, BeforeValidator(_read_list)] = None


class Log(Section):
    """What is logged, from `level` on, and to which file; standard error if `output` is empty."""

    level: Annotated[str, BeforeValidator(_read_level)] = "info"
    output: str = ""


class Config(Section):
    """The whole configuration. `dist_spec_version` is for the reader of the file only."""

    dist_spec_version: str = "1.1.1"
    storage: Storage
    http: Http = Http()
    log: Log = Log()
