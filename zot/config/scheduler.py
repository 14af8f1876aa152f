"""`scheduler` and `cluster`: how much is done beside serving, and with whom."""

from __future__ import annotations

from zot.config.section import Section, setting
from zot.config.values import NO_SECRET, Many, Secret


class Scheduler(Section):
    """How much is done beside serving."""

    num_workers: int = setting(
        0, "How many jobs run at once on this server, each a process of its own; 0 is two.", ge=0
    )


class ClusterTls(Section):
    """Certificates of the members."""

    cert: str = setting("", "The certificate to show to other members, a PEM file.")
    key: str = setting("", "Its private key, a PEM file.")
    cacert: str = setting("", "Certificates, a PEM file, that must have signed the members'.")


class Cluster(Section):
    """Members that share the repositories among them. Here every replica serves every one, so nothing need be set."""

    members: Many[str] = setting((), "The members, as `host:port`.")
    hash_key: Secret = setting(NO_SECRET, "What repositories are shared out with, 16 characters.", secret=True)
    tls: ClusterTls | None = setting(None, "Certificates of the members.")
