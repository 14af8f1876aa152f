"""Logins in a browser, by other services: where they begin, and what must fit when the browser comes back."""

from __future__ import annotations

import hmac
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import NamedTuple

from authlib.common.errors import AuthlibBaseError
from itsdangerous import BadData, URLSafeTimedSerializer
from joserfc.errors import JoseError

from zot.addresses import OutgoingError
from zot.auth.landing import landing
from zot.auth.people import People
from zot.auth.principal import Principal, Via
from zot.auth.providers import Provider, Ticket
from zot.auth.signatures import TokenError
from zot.errors import RegistryError, TooManyRequests, Unauthorized, Unavailable

log = logging.getLogger(__name__)

# A user has so many seconds for the provider's page.
TICKET_SECONDS = 600
# Threads that may wait for providers at the same time.
_AT_ONCE = 4


class Service(NamedTuple):
    """A provider, and the users that it sent."""

    provider: Provider
    people: People


class Logins:
    """The services of a configuration.

    `base` is the address of this registry as browsers know it, `origins` are those that a login may lead back to, `key`
    signs the tickets that browsers keep meanwhile, on whichever worker they began.
    """

    def __init__(
        self, services: Mapping[str, Service], base: str, origins: frozenset[str], key: Callable[[], bytes]
    ) -> None:
        self._services = dict(services)
        self._base = base
        self._origins = origins
        self._key = key
        self._places = threading.BoundedSemaphore(_AT_ONCE)

    def begin(self, name: str, asked: str) -> tuple[str, str]:
        """Begin a login; returns where the browser goes, and a ticket for it to keep.

        Raises `RegistryError` (400) for a service that is not there, `Unavailable` if it can't be asked.
        """
        ticket = Ticket.new(name, landing(asked, self._origins))
        with self._asking(name) as service:
            return service.provider.authorize(ticket, self._callback(name)), self._sealer().dumps(ticket)

    def finish(self, name: str, query: Mapping[str, str], sealed: str) -> tuple[Principal, str]:
        """End a login; returns who it is, and where the browser goes, if that was asked for.

        Raises `Unauthorized` unless the ticket is of this login and the service says who has logged in.
        """
        try:
            ticket = Ticket(*self._sealer().loads(sealed, max_age=TICKET_SECONDS))
        except (BadData, TypeError):
            raise _again("this browser began no login here, or too long ago") from None
        if ticket.provider != name or not hmac.compare_digest(
            ticket.state.encode(), query.get("state", "").encode("utf-8", "replace")
        ):
            raise _again("the answer belongs to another login")
        if not query.get("code"):
            raise _again("the provider let nobody in")
        with self._asking(name) as service:
            found = service.provider.identify(query["code"], ticket, self._callback(name))
        service.people.note(found)
        principal = Principal(found.name, found.groups, Via.SESSION, service.people.origin, stamp=found.stamp)
        return principal, ticket.landing

    def end_session(self, origin: str) -> str | None:
        """Return where somebody whom one of the services sent logs out there too, if it says such an address now."""
        for name, service in self._services.items():
            if service.people.origin == origin:
                with suppress(RegistryError), self._asking(name):
                    return service.provider.end_session(f"{self._base}/login")
        return None

    @contextmanager
    def _asking(self, name: str) -> Iterator[Service]:
        """Let the service be asked, by a few at a time, and say what went wrong in our own words."""
        service = self._services.get(name)
        if service is None:
            known = ", ".join(self._services)
            raise RegistryError(f"there is no provider {name[:40]!r} here", f"use one of {known}", status=400)
        if not self._places.acquire(blocking=False):
            raise TooManyRequests("too many logins wait for their provider", "try again in a moment")
        try:
            yield service
        except OutgoingError as error:
            log.warning("the provider %s can't be asked: %s", name, error)
            problem = f"the provider {name} can't be asked now"
            raise Unavailable(problem, "try again; the server's log says more", headers={"Retry-After": "5"}) from error
        except (AuthlibBaseError, JoseError, TokenError, ValueError, LookupError, OSError) as error:
            # What they say may hold what the provider sent, so only their kind is told.
            log.warning("the provider %s did not confirm a login: %s", name, _kind(error))
            raise _again("the provider did not confirm the login") from error
        finally:
            self._places.release()

    def _callback(self, name: str) -> str:
        return f"{self._base}/zot/auth/callback/{name}"

    def _sealer(self) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(self._key(), salt="login")


def _kind(error: Exception) -> str:
    return str(error) if isinstance(error, TokenError) else getattr(error, "error", "") or type(error).__name__


def _again(reason: str) -> Unauthorized:
    return Unauthorized(reason, "begin the login anew, at /zot/auth/login?provider=…")
