"""From the configuration to the authority."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from zot.auth.access import AccessControl, Grant, MetricsRule, Rules
from zot.auth.accounts import Directory, PasswordSource
from zot.auth.actions import GRANTED, Actions
from zot.auth.authority import Authority, basic_challenge, no_challenge
from zot.auth.basic import Basic
from zot.auth.chain import Authenticator, Chain
from zot.auth.htpasswd import Htpasswd
from zot.auth.key_login import KeyLogin
from zot.auth.keys import ApiKeys
from zot.auth.ldap import Ldap, LdapSettings
from zot.auth.origins import Origins
from zot.auth.people import People
from zot.auth.policy import OpenPolicy, Policy
from zot.auth.remembered import Remembered
from zot.auth.services import Services
from zot.auth.sessions import SessionLogin, Sessions
from zot.auth.throttle import FailDelay, OneAtATime, Queue, Throttle
from zot.config.access import AccessControl as AccessControlSettings
from zot.config.access import Policy as PolicySettings
from zot.config.auth import Auth, Mtls
from zot.config.auth import Bearer as BearerSection
from zot.config.auth import Ldap as LdapSection
from zot.config.http import Http
from zot.config.problems import ConfigError
from zot.config.section import Section
from zot.config.side_files import LdapCredentials, SessionKeys, read_side_file
from zot.errors import StartupError
from zot.oci.globs import compile_glob

DEFAULT_REALM = "Authorization Required"
S = TypeVar("S", bound=Section)
# A right password is believed for so many seconds without another look.
_REMEMBER = 60.0
# A check may take a core for a tenth of a second; whoever comes last is not to wait for much longer than one second.
_MOST_CHECKING = 6


class Opener:
    """Makes authorities, one after the other as the configuration changes; holds what outlives each of them.

    `threads` is how many requests a worker serves at the same time; `keys`, used where they are turned on, and
    `sessions` are those of the registry, `people` the users that a provider sent, by its name and address. Made before
    the workers fork.
    """

    def __init__(self, threads: int, keys: ApiKeys, sessions: Sessions, people: Callable[[str, str], People]) -> None:
        self._threads = threads
        self._keys = keys
        self._sessions = sessions
        self._people = people
        self._throttle = Throttle()
        self._queue = Queue(_MOST_CHECKING, threads // 4)
        self._one_at_a_time = OneAtATime()

    def open(self, http: Http) -> Authority:
        """Make the authority for a configuration. Raises `StartupError` if a file that it names can't be used."""
        auth = http.auth or Auth()
        if auth.bearer is not None:
            return self._by_tokens(http, auth.bearer)
        sources = self._sources(auth)
        directories: dict[str, Directory] = {source.origin: source for source in sources}
        sessions = self._sessions_of(auth)
        people = self._people_of(auth)
        directories |= {users.origin: users for users in people.values()}
        keys = self._keys if auth.apikey or auth.openid else None
        login = None if keys is None else KeyLogin(keys, directories)
        headers = []
        if sources or login:
            headers.append(Basic(sources, Remembered(_REMEMBER), self._throttle, self._queue, login))
        return Authority(
            policy_of(http),
            Chain(headers, [*([SessionLogin(sessions, directories)] if headers else []), *_others(http)]),
            basic_challenge(http.realm or DEFAULT_REALM) if headers else no_challenge,
            FailDelay(auth.fail_delay, self._threads // 4).wait,
            keys,
            directories,
            sessions,
            _is_secure(http) if auth.secure_session is None else auth.secure_session,
            _origins(http),
            Services(http, people.__getitem__, lambda: sessions.key_for("login")) if auth.openid else None,
        )

    def _sessions_of(self, auth: Auth) -> Sessions:
        if not auth.session_keys_file:
            return self._sessions
        keys = _side_file("http.auth.sessionKeysFile", auth.session_keys_file, SessionKeys)
        return self._sessions.signed_with(keys.hash_key.get_secret_value().encode())

    def _people_of(self, auth: Auth) -> dict[str, People]:
        """Return the users whom each provider sent; another provider in the place of one has users of its own."""
        providers = auth.openid.providers if auth.openid else {}
        return {name: self._people(name, (one.issuer or one.tokenurl).rstrip("/")) for name, one in providers.items()}

    def _by_tokens(self, http: Http, settings: BearerSection) -> Authority:
        """Make the authority where tokens of a token server count, and nothing else does."""
        from zot.auth.bearer import Bearer, challenge

        for name in ("realm", "service", "cert"):
            if not getattr(settings, name):
                raise StartupError(f"http.auth.bearer.{name} is missing", "give realm, service and cert")
        delay = FailDelay(http.auth.fail_delay if http.auth else 0, self._threads // 4).wait
        asked = challenge(settings.realm, settings.service)
        chain = Chain([Bearer(settings.cert, settings.service)])
        return Authority(policy_of(http), chain, asked, delay, origins=_origins(http))

    def _sources(self, auth: Auth) -> list[PasswordSource]:
        sources: list[PasswordSource] = []
        if auth.ldap is not None:
            sources.append(Ldap(ldap_settings(auth.ldap)))
        if auth.htpasswd is not None:
            sources.append(Htpasswd(auth.htpasswd.path, self._one_at_a_time))
        return sources


def _others(http: Http) -> list[Authenticator]:
    """Return the ways to log in that need no header."""
    if http.tls is None or not http.tls.cacert:
        return []
    from zot.auth.certificates import Certificates

    return [Certificates((http.auth and http.auth.mtls) or Mtls())]


def _origins(http: Http) -> Origins:
    return Origins((http.external_url, *http.allow_origin))


def _is_secure(http: Http) -> bool:
    """Tell whether browsers come by TLS."""
    return bool(http.tls and http.tls.cert) or http.external_url.startswith("https://")


def ldap_settings(settings: LdapSection) -> LdapSettings:
    """Return what `Ldap` is made from."""
    plain = settings.model_dump(include=set(LdapSettings._fields) - {"bind_dn", "bind_password"})
    login: LdapSection | LdapCredentials = settings
    if settings.credentials_file:
        login = _side_file("http.auth.ldap.credentialsFile", settings.credentials_file, LdapCredentials)
    return LdapSettings(**plain, bind_dn=login.bind_dn, bind_password=login.bind_password.get_secret_value())


def _side_file(key: str, file: str, holds: type[S]) -> S:
    try:
        return read_side_file(file, holds)
    except ConfigError as error:
        raise StartupError(f"{key}: {error.problems[0].what}", error.problems[0].remedy) from None


def is_login_possible(http: Http) -> bool:
    """Tell whether there is a way to prove who you are; where there is one, nobody gets in without it unasked."""
    auth = http.auth or Auth()
    ways = (auth.htpasswd, auth.ldap, auth.bearer, auth.openid, auth.mtls, auth.apikey, http.tls and http.tls.cacert)
    return any(ways)


def policy_of(http: Http) -> Policy:
    """Make the policy of a configuration. Raises `StartupError` for what can't be held to."""
    if http.access_control is None:
        return OpenPolicy(to_anonymous=not is_login_possible(http))
    return access_control(http.access_control)


def access_control(settings: AccessControlSettings) -> AccessControl:
    """Make the policy of an accessControl section. Raises `StartupError` for what can't be held to."""
    rules = []
    for pattern, one in settings.repositories.items():
        try:
            glob = compile_glob(pattern)
        except ValueError as error:
            raise StartupError(f"http.accessControl.repositories: {pattern!r}: {error}", "mend the pattern") from None
        grants = tuple(_grant(policy) for policy in one.policies)
        rules.append(Rules(glob, grants, _actions(one.default_policy), _actions(one.anonymous_policy)))
    groups = {name: frozenset(group.users) for name, group in settings.groups.items()}
    metrics = MetricsRule(frozenset(settings.metrics.users), "read" in settings.metrics.anonymous_policy)
    return AccessControl(rules, groups, _grant(settings.admin_policy), metrics)


def _grant(settings: PolicySettings) -> Grant:
    # Whether conditions hold can't be told here, so a policy that has some grants nothing to those whom it names.
    actions = () if settings.conditions else settings.actions
    return Grant(frozenset(settings.users), frozenset(settings.groups), _actions(actions))


def _actions(names: tuple[str, ...]) -> Actions:
    return frozenset(GRANTED[name] for name in names)
