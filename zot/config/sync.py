"""`extensions.sync`: which other registries this one mirrors."""

from __future__ import annotations

from datetime import timedelta

from zot.config.section import REQUIRED, Section, setting
from zot.config.values import HOUR, Many, Regexp, Span

_NONE = timedelta(0)


class Tags(Section):
    """Which tags are mirrored."""

    regex: Regexp = setting("", "A regular expression, found anywhere in a tag, that a tag must match.")
    exclude_regex: Regexp = setting("", "A regular expression that a tag must not match.")
    semver: bool = setting(False, "Only tags that are versions, such as `v1.2.3`.")


class Content(Section):
    """Which repositories are mirrored, and where to."""

    prefix: str = setting(REQUIRED, "The repository there, or a glob: `/repo1/repo`, `/repo3/**`.")
    tags: Tags | None = setting(None, "Which tags; all if left out.")
    destination: str = setting("", "The path here; the same as there if left out.")
    strip_prefix: bool = setting(False, "Leave out of the path here what `prefix` says before its first `*`.")


class TokenHelper(Section):
    """How a token for a registry is got from an OAuth2 server."""

    token_url: str = setting("", "The server's token endpoint.", name="tokenURL")
    assertion_file: str = setting("", "A file with a signed token that is handed in.")
    signing_file: str = setting("", "A file that says how to sign such a token; instead of assertionFile.")
    grant_type: str = setting("", "The kind of grant; `client_credentials` if left out.")
    client_id: str = setting("", "The client's id.", name="clientID")
    client_secret_file: str = setting("", "A file with the client's secret.")
    scopes: Many[str] = setting((), "The scopes to ask for.")
    username: str = setting("<token>", "The user that goes with the token at the registry.")
    audience: str = setting("", "Whom the token is for; needed to exchange tokens.")
    subject_token_type: str = setting("", "The kind of token handed in.")
    requested_token_type: str = setting("", "The kind of token asked for.")


class Upstream(Section):
    """One registry to mirror, at one or several addresses."""

    urls: Many[str] = setting(REQUIRED, "Its addresses, tried in order.", min_length=1)
    on_demand: bool = setting(False, "Fetch an image when somebody asks for it and it is not here.")
    poll_interval: Span = setting(_NONE, "How often `content` is fetched; 0 is never.")
    content: tuple[Content, ...] = setting(
        (), "Which repositories are fetched, and may be asked for; all may if left out."
    )
    tls_verify: bool = setting(True, "Check the registry's certificate.")
    cert_dir: str = setting("", "A directory with certificates: `*.crt` to check, `*.cert` and `*.key` to show.")
    max_retries: int | None = setting(None, "How often a failed request is repeated.", ge=0)
    retry_delay: Span | None = setting(None, "The pause before that; needed with maxRetries.")
    max_retry_delay: Span | None = setting(None, "The longest pause, if they are to grow.")
    only_signed: bool = setting(False, "Fetch signed images only.")
    sync_legacy_cosign_tags: bool = setting(True, "Fetch signatures that are kept as tags too.")
    credential_helper: str = setting("", "How credentials are got: `ecr`, `gcp` or `oauth2`.", acted_on=False)
    oauth2_credential_helper: TokenHelper | None = setting(
        None, "How `oauth2` gets them.", name="oauth2CredentialHelper", acted_on=False
    )
    preserve_digest: bool = setting(False, "Keep docker's manifests as they are; needs http.compat to have docker2s2.")
    sync_timeout: Span = setting(3 * HOUR, "How long fetching an image may take.")
    response_header_timeout: Span = setting(timedelta(seconds=30), "How long an answer may take to begin.")
    manifest_check_interval: Span = setting(_NONE, "How long a tag that was looked up is served without asking again.")
    req_concurrent: int = setting(3, "How many requests go on at once.", ge=1)
    req_per_sec: float | None = setting(
        None, "How many requests a second; no limit if left out.", gt=0, allow_inf_nan=False
    )
    disable_http2: bool = setting(False, "Use HTTP/1.1, as this registry always does.", name="disableHTTP2")
    max_idle_conns_per_host: int | None = setting(None, "How many connections are kept open.", ge=1)


class Sync(Section):
    """Which other registries this one mirrors."""

    enable: bool = setting(True, "Whether it is on.")
    credentials_file: str = setting("", "A JSON file with username and password by registry.")
    download_dir: str = setting("", "A directory for what is on its way; needed if the storage is an object store.")
    registries: tuple[Upstream, ...] = setting((), "The registries.")
