"""Rules for `extensions`, `cluster`, `log` and what is for the reader."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from datetime import timedelta

from zot.config.model import SPECIFICATION, Config
from zot.config.nodes import KeyPath
from zot.config.rules.finding import Finding, is_url, missing, stores
from zot.config.sync import Content, Upstream
from zot.oci.globs import compile_glob

_PATH = ("extensions",)
_LEAST = timedelta(hours=2)
_HASH_KEY = 16


def metrics(config: Config) -> Iterator[Finding]:
    """The path of the metrics is one, and no other route's."""
    section, where = config.extensions.metrics, (*_PATH, "metrics", "prometheus", "path")
    if section is None:
        return
    path = section.prometheus.path
    if not path.startswith("/"):
        yield Finding(where, "it does not begin with /", f"write /{path}")
    elif path != posixpath.normpath(path):
        yield Finding(where, "it has parts that lead nowhere", f"write {posixpath.normpath(path)}")
    elif path in {"/", "/v2", "/livez", "/readyz", "/startupz"} or path.startswith(("/v2/", "/zot/")):
        yield Finding(where, "that path is taken", "use /metrics")


def scrub(config: Config) -> Iterator[Finding]:
    """Intervals that zot makes longer are said so."""
    section, search = config.extensions.scrub, config.extensions.search
    cve = search.cve if search is not None else None
    for path, interval in (
        (("scrub", "interval"), section.interval if section else _LEAST),
        (("search", "cve", "updateInterval"), cve.update_interval if cve else _LEAST),
    ):
        if interval < _LEAST:
            yield Finding((*_PATH, *path), "it is shorter than 2h, which is taken", "use 2h or more", warning=True)


def search(config: Config) -> Iterator[Finding]:
    """The pages need the search; the scanner needs files."""
    extensions = config.extensions
    has_search = extensions.search is not None and extensions.search.enable
    if extensions.ui is not None and extensions.ui.enable and not has_search:
        yield Finding((*_PATH, "ui"), "the pages need the search", "add extensions.search")
    if has_search and extensions.search is not None and extensions.search.cve is not None:
        for path, options in stores(config):
            if options.storage_driver is not None:
                what = f"the scanner needs files, but {'.'.join(map(str, path))} is in an object store"
                yield Finding((*_PATH, "search", "cve"), what, "leave cve out")


def lint_and_trust(config: Config) -> Iterator[Finding]:
    """What is on has something to do."""
    lint, trust = config.extensions.lint, config.extensions.trust
    if lint is not None and lint.enable and not lint.mandatory_annotations:
        yield Finding((*_PATH, "lint"), "it asks for nothing", "add mandatoryAnnotations", warning=True)
    if trust is not None and trust.enable and not (trust.cosign or trust.notation):
        yield Finding((*_PATH, "trust"), "it checks nothing", "set cosign or notation to true", warning=True)


def events(config: Config) -> Iterator[Finding]:
    """Events go somewhere."""
    section, path = config.extensions.events, (*_PATH, "events", "sinks")
    if section is None or not section.enable:
        return
    if not section.sinks:
        yield Finding(path, "there are none, so events go nowhere", "add one", warning=True)
    for number, sink in enumerate(section.sinks):
        if sink.type == "http" and not is_url(sink.address):
            yield Finding((*path, number, "address"), "it is no address", "write https://events.example.com")
        if sink.type == "nats":
            needed = [("address", sink.address), ("channel", sink.channel)]
            yield from missing((*path, number), needed, "nats")


def sync(config: Config) -> Iterator[Finding]:
    """Upstream registries can be asked, and are."""
    section, path = config.extensions.sync, (*_PATH, "sync")
    if section is None or not section.enable:
        return
    if not section.registries:
        yield Finding((*path, "registries"), "there are none, so nothing is mirrored", "add one", warning=True)
    if not section.download_dir and any(options.storage_driver for _, options in stores(config)):
        what = "it is missing, but the storage is an object store"
        yield Finding((*path, "downloadDir"), what, "name a directory for what is on its way")
    for number, upstream in enumerate(section.registries):
        where = (*path, "registries", number)
        yield from _upstream(where, upstream)
        if upstream.preserve_digest and "docker2s2" not in (config.http.compat or ()):
            what = "docker's manifests are not accepted as they are"
            yield Finding((*where, "preserveDigest"), what, "add docker2s2 to http.compat")
        for position, content in enumerate(upstream.content):
            yield from _content((*where, "content", position), content)


def _upstream(path: KeyPath, upstream: Upstream) -> Iterator[Finding]:
    for number, url in enumerate(upstream.urls):
        if not is_url(url):
            yield Finding((*path, "urls", number), f"{url!r} is no address", "write https://registry.example.com")
    if upstream.poll_interval and not upstream.content:
        yield Finding((*path, "pollInterval"), "there is no content to fetch", "add content", warning=True)
    elif not upstream.on_demand and not (upstream.poll_interval and upstream.content):
        what = "nothing is ever fetched from it"
        yield Finding(path, what, "set onDemand to true, or add content and pollInterval", warning=True)
    if upstream.max_retries and not upstream.retry_delay:
        yield Finding((*path, "retryDelay"), "it is missing, but maxRetries is there", "add it, for example 5m")
    if upstream.max_retry_delay and not upstream.retry_delay:
        yield Finding((*path, "retryDelay"), "it is missing, but maxRetryDelay is there", "add it, for example 5m")
    elif upstream.max_retry_delay and upstream.retry_delay and upstream.max_retry_delay < upstream.retry_delay:
        yield Finding((*path, "maxRetryDelay"), "it is shorter than retryDelay", "use a longer one")
    if upstream.manifest_check_interval and not upstream.on_demand:
        yield Finding((*path, "manifestCheckInterval"), "onDemand is off", "set onDemand to true, or leave it out")
    if upstream.credential_helper not in {"", "ecr", "gcp", "oauth2"}:
        what = f"there is no credential helper {upstream.credential_helper!r}"
        yield Finding((*path, "credentialHelper"), what, "use ecr, gcp or oauth2")
    yield from _token(path, upstream)


def _token(path: KeyPath, upstream: Upstream) -> Iterator[Finding]:
    helper, where = upstream.oauth2_credential_helper, (*path, "oauth2CredentialHelper")
    if upstream.credential_helper != "oauth2":
        return
    if helper is None:
        yield Finding(where, "it is missing, but credentialHelper is oauth2", "add it")
        return
    yield from missing(where, [("tokenURL", helper.token_url)], "getting a token")
    if bool(helper.assertion_file) == bool(helper.signing_file):
        what = "assertionFile and signingFile are both there" if helper.signing_file else "assertionFile is missing"
        yield Finding((*where, "assertionFile"), what, "give one of assertionFile and signingFile")
    is_exchange = helper.grant_type.endswith(":token-exchange")
    if is_exchange:
        yield from missing(where, [("audience", helper.audience)], "exchanging a token")
    for name, value in (("audience", helper.audience), ("subjectTokenType", helper.subject_token_type),
                        ("requestedTokenType", helper.requested_token_type)):  # fmt: skip
        if value and not is_exchange:
            yield Finding((*where, name), "it is for exchanging tokens only", "leave it out, or change grantType")


def _content(path: KeyPath, content: Content) -> Iterator[Finding]:
    prefix = content.prefix.strip("/")
    try:
        compile_glob(prefix)
    except ValueError as error:
        yield Finding((*path, "prefix"), str(error), "write it as /repo1/repo, /repo2/repo* or /repo3/**")
    if content.strip_prefix and content.destination == "/" and "/*" not in content.prefix:
        what = "nothing would be left of the name: prefix has no wildcard"
        yield Finding((*path, "stripPrefix"), what, "set it to false, or use another destination")


def cluster(config: Config) -> Iterator[Finding]:
    """What zot wants of a cluster, also where it changes nothing."""
    section = config.cluster
    if section is None:
        return
    yield from missing(("cluster",), [("members", section.members)], "a cluster")
    if len(section.hash_key.get_secret_value()) != _HASH_KEY:
        yield Finding(("cluster", "hashKey"), "it has not 16 characters", "write 16 of them")


def log_files(config: Config) -> Iterator[Finding]:
    """The two logs are two files."""
    if config.log.audit and config.log.audit == config.log.output:
        yield Finding(("log", "audit"), "log.output is the same file", "name another")


def specification(config: Config) -> Iterator[Finding]:
    """The file's word for the version of the specification changes nothing."""
    if config.dist_spec_version != SPECIFICATION:
        what = f"this version follows {SPECIFICATION}"
        yield Finding(("distSpecVersion",), what, "write that, or leave it out", warning=True)


RULES = (metrics, scrub, search, lint_and_trust, events, sync, cluster, log_files, specification)
