"""The whole configuration: its sections, one module each.

pydantic checks it: it reports all that is wrong at once, with the place of each, and is typed through and through.
"""

from __future__ import annotations

from zot.config.extensions import Extensions
from zot.config.http import Http
from zot.config.log import Log
from zot.config.scheduler import Cluster, Scheduler
from zot.config.section import REQUIRED, Section, setting
from zot.config.storage import Storage

SPECIFICATION = "1.1.1"


class Config(Section):
    """The whole configuration."""

    dist_spec_version: str = setting(
        SPECIFICATION, "The version of the specification; for the reader of the file only."
    )
    go_version: str = setting("", "For the reader of the file only.")
    commit: str = setting("", "For the reader of the file only; storage.commit is another key.")
    release_tag: str = setting("", "For the reader of the file only.")
    binary_type: str = setting("", "For the reader of the file only.")
    storage: Storage = setting(REQUIRED, "Where the registry keeps what it is given.")
    http: Http = setting(Http(), "Where the registry listens, and how it speaks.")
    log: Log = setting(Log(), "What is logged, and where to.")
    extensions: Extensions = setting(Extensions(), "What a registry may do beyond pushing and pulling.")
    scheduler: Scheduler = setting(Scheduler(), "How much is done beside serving.")
    cluster: Cluster | None = setting(
        None, "Members that share the repositories among them.", needless="every replica serves all repositories"
    )

    def to_json(self) -> str:
        """Return it with its secrets, for a process of the server itself; `from_json` reads it."""
        return self.model_dump_json(by_alias=True, context={"secrets": True})

    @classmethod
    def from_json(cls, text: str) -> Config:
        """Return what `to_json` wrote."""
        return cls.model_validate_json(text)
