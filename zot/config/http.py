"""`http`: where the registry listens, and how it speaks."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from zot.config.access import AccessControl
from zot.config.auth import Auth
from zot.config.section import REQUIRED, Section, setting
from zot.config.values import Duration, Many, Origins

_MINUTE = timedelta(minutes=1)


class Tls(Section):
    """The server's certificate, and whose client certificates it accepts."""

    cert: str = setting("", "The server's certificate and those that signed it, a PEM file.")
    key: str = setting("", "The certificate's private key, a PEM file.")
    cacert: str = setting(
        "", "Certificates, a PEM file, that must have signed a client's, if it shows one; and lists of revoked ones."
    )


class MethodRate(Section):
    """How many requests of one method a second."""

    method: str = setting(REQUIRED, "The method: `GET`, `PUT`, …", min_length=1)
    rate: int = setting(REQUIRED, "How many requests of this method a client may make in a second.", ge=1)


class RateLimit(Section):
    """How many requests a second a client may make, by its address; what is beyond is answered with 429."""

    rate: int | None = setting(None, "How many requests of all methods a client may make in a second.", ge=1)
    methods: tuple[MethodRate, ...] = setting((), "Limits for single methods.")


class Http(Section):
    """Where the registry listens, and how it speaks."""

    address: str = setting(
        "127.0.0.1", "The address to listen on; `0.0.0.0` is every one of this machine.", min_length=1
    )
    port: int = setting(
        8080, "The port to listen on; 0 lets the system choose, and the server says which.", ge=0, le=65535
    )
    external_url: str = setting(
        "", "The address that clients use, if a proxy stands before the server: `https://zot.example.com`.",
    )  # fmt: skip
    realm: str = setting("", "What a client is told that it logs in to.")
    allow_origin: Origins = setting(
        (), "The origins, separated by commas, whose pages may use the API in a browser; `*` is all, without login.",
    )  # fmt: skip
    read_timeout: Duration = setting(
        _MINUTE,
        "How long a client may send nothing in the middle of a request, and how long the head of one may take in all; "
        "0 is no limit, and two minutes for a head.",
    )
    write_timeout: Duration = setting(
        _MINUTE,
        "How long a client may take nothing of an answer; 0 is no limit.",
    )
    tls: Tls | None = setting(None, "The server's certificate; without it the server speaks plain http.")
    auth: Auth | None = setting(None, "Who may log in, and how; without it everybody is anonymous.", reload=True)
    access_control: AccessControl | None = setting(
        None, "Who may do what; without it everybody who gets in may do everything.", reload=True
    )
    ratelimit: RateLimit | None = setting(None, "How many requests a second each client may make.", reload=True)
    compat: Many[Literal["docker2s2", "sparse"]] | None = setting(
        None,
        "What is accepted beyond the OCI specifications: `docker2s2`, docker's manifests, and `sparse`, images whose "
        "blobs are not all here. Left out, docker's manifests are accepted; an empty list refuses them too.",
    )
