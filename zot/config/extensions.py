"""`extensions`: what a registry may do beyond pushing and pulling."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from zot.config.section import REQUIRED, Section, setting
from zot.config.sync import Sync
from zot.config.values import NO_SECRET, Duration, Many, Secret


class Prometheus(Section):
    """Where the metrics are."""

    path: str = setting("/metrics", "The path of the metrics.", min_length=1)


class Metrics(Section):
    """Counters and times for Prometheus."""

    enable: bool = setting(True, "Whether it is on.")
    prometheus: Prometheus = setting(Prometheus(), "Where they are.")


class Scrub(Section):
    """Reading everything again now and then, to find what has decayed."""

    enable: bool = setting(True, "Whether it is on.")
    interval: Duration = setting(timedelta(hours=24), "How often; at least 2h.")


class Sbom(Section):
    """Bills of materials made by the scanner."""

    enable: bool = setting(False, "Whether they are made.")
    format: Literal["spdx-json", "cyclonedx"] = setting("spdx-json", "Their format.")


class Trivy(Section):
    """The scanner and its databases."""

    db_repository: str = setting("ghcr.io/aquasecurity/trivy-db", "Where its database comes from.")
    java_db_repository: str = setting(
        "ghcr.io/aquasecurity/trivy-java-db", "Where its database of Java packages comes from.", name="javaDBRepository"
    )
    vuln_severity_sources: Many[str] = setting(("auto",), "Whose severities count.")
    sbom: Sbom | None = setting(None, "Bills of materials made by the scanner.")


class Cve(Section):
    """Known vulnerabilities of images."""

    update_interval: Duration = setting(timedelta(hours=2), "How often the database is fetched; at least 2h.")
    trivy: Trivy = setting(Trivy(), "The scanner.")


class Search(Section):
    """Searching over images."""

    enable: bool = setting(True, "Whether it is on.")
    cve: Cve | None = setting(None, "Known vulnerabilities of images.")


class Lint(Section):
    """What a manifest must have to be accepted."""

    enable: bool = setting(False, "Whether it is on.")
    mandatory_annotations: Many[str] = setting((), "Annotations that it must have.")


class Ui(Section):
    """The pages for a browser."""

    enable: bool = setting(True, "Whether they are there; search must be on too.")


class Trust(Section):
    """Checking signatures."""

    enable: bool = setting(True, "Whether it is on.")
    cosign: bool = setting(False, "Check those of cosign.")
    notation: bool = setting(False, "Check those of notation.")


class Switch(Section):
    """An extension of older versions."""

    enable: bool = setting(True, "Whether it is on; it changes nothing.")


class SinkCredentials(Section):
    """How to log in where events are sent to."""

    username: str = setting("", "The user.")
    password: Secret = setting(NO_SECRET, "The user's password.", secret=True)
    token: Secret = setting(NO_SECRET, "A token, instead of the two.", secret=True)
    file: str = setting("", "A file with NATS credentials.")


class SinkTls(Section):
    """Certificates for where events are sent to."""

    cacertfile: str = setting("", "Certificates that must have signed the server's.")
    certfile: str = setting("", "A certificate to show.")
    keyfile: str = setting("", "Its key.")


class Sink(Section):
    """Where events are sent to."""

    type: Literal["http", "nats"] = setting(REQUIRED, "`http` or `nats`.")
    address: str = setting("", "The address.")
    channel: str = setting("", "NATS: the subject.")
    timeout: Duration = setting(timedelta(seconds=30), "How long sending may take.")
    proxy: str = setting("", "A proxy to send through.")
    headers: dict[str, Secret] = setting({}, "Headers to send along; secret, as they may hold a token.", secret=True)
    credentials: SinkCredentials | None = setting(None, "How to log in.")
    tlsconfig: SinkTls | None = setting(None, "Certificates.", name="tlsconfig")


class Events(Section):
    """Telling others what happens to images."""

    enable: bool = setting(False, "Whether it is on.")
    sinks: tuple[Sink, ...] = setting((), "Where to.")


class Extensions(Section):
    """What a registry may do beyond pushing and pulling."""

    metrics: Metrics | None = setting(None, "Counters and times for Prometheus; without it there are none.")
    sync: Sync | None = setting(None, "Which other registries this one mirrors.", reload=True, acted_on=False)
    scrub: Scrub | None = setting(None, "Reading everything again now and then.", reload=True)
    search: Search | None = setting(None, "Searching over images.", acted_on=False)
    ui: Ui | None = setting(None, "The pages for a browser.", acted_on=False)
    lint: Lint | None = setting(None, "What a manifest must have to be accepted.", acted_on=False)
    trust: Trust | None = setting(None, "Checking signatures.", acted_on=False)
    events: Events | None = setting(None, "Telling others what happens to images.", acted_on=False)
    mgmt: Switch | None = setting(None, "An extension of older versions.", needless="it is always on")
    apikey: Switch | None = setting(
        None,
        "An extension of older versions.",
        name="apikey",
        needless="http.auth.apikey is what counts",
    )

    @property
    def shows_metrics(self) -> bool:
        """Whether there are metrics."""
        return self.metrics is not None and self.metrics.enable
