"""Who you are and what you may do, in one object that a reload replaces whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from zot.auth.accounts import Directory
from zot.auth.actions import Action
from zot.auth.chain import Chain
from zot.auth.keys import ApiKeys
from zot.auth.origins import Origins
from zot.auth.policy import Decision, Policy
from zot.auth.principal import Credentials, Principal, Via
from zot.auth.services import Services
from zot.auth.sessions import Sessions
from zot.errors import Unauthorized

# Given what was tried where, and the error of RFC 6750, or nothing, if a token was not good enough.
Challenge = Callable[[Action, str | None, str], Mapping[str, str]]


def no_challenge(_action: Action, _repository: str | None, _error: str) -> Mapping[str, str]:
    """Return no headers: there is no way to log in."""
    return {}


def basic_challenge(realm: str) -> Challenge:
    """Return what asks a client for a name and a password (RFC 7617)."""
    quoted = realm.replace("\\", "\\\\").replace('"', '\\"')
    header = {"WWW-Authenticate": f'Basic realm="{quoted}"'}
    return lambda _action, _repository, _error: header


class Authority:
    """The policy, the chain of authenticators, and how a client is asked to log in. Immutable.

    `delay` holds up whoever fails to log in. `keys` are the API keys, if there may be any, and
    `directories` those who vouch for users, by their names, in the order in which they are asked.
    `sessions` are those of browsers, whose cookies go over TLS only if `secure_cookies`; `origins` tell whose pages may
    change something with a login, and `services` are others by which to log in.
    """

    def __init__(
        self,
        policy: Policy,
        chain: Chain | None = None,
        challenge: Challenge = no_challenge,
        delay: Callable[[], None] = lambda: None,
        keys: ApiKeys | None = None,
        directories: Mapping[str, Directory] | None = None,
        sessions: Sessions | None = None,
        secure_cookies: bool = False,
        origins: Origins = Origins(),  # noqa: B008  # immutable
        services: Services | None = None,
    ) -> None:
        self.policy = policy
        self.challenge = challenge
        self.keys = keys
        self.directories = dict(directories or {})
        self.sessions = sessions
        self.secure_cookies = secure_cookies
        self.origins = origins
        self.services = services
        self._chain = chain or Chain()
        self._delay = delay

    def identify(self, credentials: Credentials, action: Action, repository: str | None) -> Principal:
        """Return who sent these, to do this.

        Raises `Unauthorized`, with a challenge and after the delay, and `TooManyRequests`.
        """
        try:
            return self._chain.identify(credentials)
        except Unauthorized as refused:
            self._delay()
            refused.headers |= self.challenge(action, repository, "invalid_token")
            raise

    def permits(self, principal: Principal, action: Action, repository: str | None) -> bool:
        """Tell whether the policy allows this, and the scopes of a key or token have room for it."""
        return self.policy.allows(principal, action, repository) and not _is_beyond(principal, action, repository)

    def challenge_for(self, principal: Principal, action: Action, repository: str | None) -> Mapping[str, str] | None:
        """Return what leads somebody who may not do this to a login with which they may; None if none would help.

        Who came with a token that is too narrow is sent for a wider one, if the policy allows that and there is one.
        """
        may = principal.via is Via.TOKEN and self.policy.allows(principal, action, repository)
        if may and action not in (Action.METRICS, Action.ACCOUNT):
            return self.challenge(action, repository, "insufficient_scope")
        return None if principal.name else self.challenge(action, repository, "")

    def shows(self, principal: Principal, repository: str) -> bool:
        """Tell whether a list may name the repository: whoever may read it sees it, and who may list what they may."""
        if self.permits(principal, Action.READ, repository):
            return True
        may_list = principal.within is not None and principal.stays_within(Action.LIST, repository)
        return may_list and self.policy.allows(principal, Action.READ, repository)

    def decide(self, principal: Principal, action: Action, repository: str | None) -> Decision:
        """Answer as `permits` does, and say why."""
        decision = self.policy.decide(principal, action, repository)
        if decision.allowed and _is_beyond(principal, action, repository):
            return Decision(False, f"the {principal.via.value} is not for that", decision.pattern)
        return decision


def _is_beyond(principal: Principal, action: Action, repository: str | None) -> bool:
    """Tell whether the proof is not good for what its user may do: by its scopes, or because it can't make others.

    The metrics are about all repositories, so whatever is narrowed to some is not for them.
    """
    if repository is None:
        if action is Action.METRICS:
            return principal.within is not None
        return action is Action.ACCOUNT and principal.via in (Via.KEY, Via.TOKEN)
    return not principal.stays_within(action, repository)
