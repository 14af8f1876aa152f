"""The one way out: every request that the server itself sends goes through a guarded session.

Where it may go is said when the session is made, from the configuration. What answers there can't lead it elsewhere, by
a redirect or by a name that resolves to an address inside, and can't keep it, by an answer without an end.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from http.cookiejar import DefaultCookiePolicy
from io import BytesIO
from typing import Any, NamedTuple
from urllib.parse import urljoin

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from zot.addresses import Origin, OutgoingError, origin

_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 3
_PIECE = 64 * 1024
# What is sent on when a redirect leads to another of the allowed hosts: nothing that says who is asking.
_HARMLESS = ("accept", "user-agent")

_REASONS = (
    (socket.gaierror, "its name is not known"),
    (TimeoutError, "it does not answer"),
    ((ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionResetError, BrokenPipeError), "it cut the connection"),
)


class Limits(NamedTuple):
    """How long a connection may stand still and a request take in all, in seconds, and how much an answer may hold."""

    idle: float = 5.0
    total: float = 10.0
    size: int = 1024 * 1024


class Reach:
    """Where requests may go. Immutable.

    `configured` are addresses that the configuration names; their hosts may be anywhere. `named` are those that a
    configured host's answer named: they must be of the same host or, over TLS, have a public address.
    """

    def __init__(self, configured: Iterable[str], named: Iterable[str] = ()) -> None:
        self._configured = frozenset(map(origin, configured))
        hosts = {one.host: one.scheme for one in self._configured}
        found = frozenset(map(origin, named)) - self._configured
        self._beside = frozenset(
            one for one in found if one.host in hosts and (one.scheme == "https" or hosts[one.host] == "http")
        )
        self._public = frozenset(one for one in found - self._beside if one.scheme == "https")

    def check(self, url: str) -> Origin:
        """Return the origin of an address that may be asked. Raises `OutgoingError` for others."""
        found = origin(url)
        if found not in self._configured | self._beside | self._public:
            raise OutgoingError(f"{found} is not among the hosts that the configuration lets the server ask")
        return found

    def allows(self, host: str, port: int, address: str) -> bool:
        """Tell whether a host, checked before, may have this network address."""
        ip = ipaddress.ip_address(address.partition("%")[0])
        ip = getattr(ip, "ipv4_mapped", None) or ip
        if any((one.host, one.port) == (host, port) for one in self._configured | self._beside):
            # Link-local addresses are where clouds keep the credentials of their machines.
            return address == host or not (ip.is_link_local or ip.is_multicast or ip.is_unspecified)
        return ip.is_global and not ip.is_multicast


class Guarded(requests.Session):
    """A session of requests that goes where its `Reach` allows, and no further. All it raises is `OutgoingError`.

    Proxies and credentials from the environment are not looked at; certificates are checked against `cafile`, a PEM
    file, or what the system trusts. No cookies are kept. An answer is read whole, within the limits.
    """

    def __init__(self, reach: Reach, limits: Limits | None = None, cafile: str | None = None) -> None:
        super().__init__()
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._reach = reach
        self._limits = limits or Limits()
        self._clock = _Clock(self._limits.total)
        adapter = _Adapter(reach, self._clock, ssl.create_default_context(cafile=cafile))
        self.adapters.clear()
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """Prepare a request to an address that may be asked."""
        self._reach.check(str(request.url))
        return super().prepare_request(request)

    def send(self, request: requests.PreparedRequest, **_options: Any) -> requests.Response:
        """Send a request and follow the redirects of a GET to where it may go; the answer's body is there."""
        try:
            with self._clock.running():
                answer = self._send_once(request)
                for _ in range(_MOST_REDIRECTS):
                    if answer.status_code not in _REDIRECTS or "Location" not in answer.headers:
                        return answer
                    request = _redirected(request, answer)
                    answer = self._send_once(request)
        except (requests.RequestException, HTTPError, OSError) as error:
            where = origin(request.url or "")
            if self._clock.is_over:
                raise OutgoingError(f"{where} did not answer whole within {self._limits.total:g} seconds") from error
            raise OutgoingError(f"{where} can't be asked: {_reason(error)}") from error
        raise OutgoingError(f"{origin(request.url or '')} redirects more than {_MOST_REDIRECTS} times")

    def _send_once(self, request: requests.PreparedRequest) -> requests.Response:
        where = self._reach.check(request.url or "")
        answer = super().send(request, allow_redirects=False, stream=True, timeout=self._limits.idle)
        with answer:
            body = BytesIO()
            while piece := answer.raw.read(_PIECE, decode_content=True):
                if body.tell() + len(piece) > self._limits.size:
                    raise OutgoingError(f"{where} answers with more than {self._limits.size} bytes")
                body.write(piece)
        if self._clock.is_over:
            # What was cut may look like an answer that ends with its connection.
            raise requests.Timeout("cut")
        body.seek(0)
        answer.raw = body
        return answer


def _redirected(request: requests.PreparedRequest, answer: requests.Response) -> requests.PreparedRequest:
    """Return the request that a redirect asks for."""
    here = origin(request.url or "")
    if request.method not in {"GET", "HEAD"}:
        raise OutgoingError(f"{here} redirects a {request.method}, which is not followed")
    target = urljoin(request.url or "", answer.headers["Location"])
    there = origin(target)
    if (here.scheme, there.scheme) == ("https", "http"):
        raise OutgoingError(f"{here} redirects to {there}, out of TLS")
    following = request.copy()
    following.prepare_url(target, None)
    if there != here:
        for name in [name for name in following.headers if name.lower() not in _HARMLESS]:
            del following.headers[name]
    return following


def _reason(error: Exception) -> str:
    """Return what went wrong, without what was asked: requests and urllib3 write addresses with their queries."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({cause.verify_message})"
        if isinstance(cause, ssl.SSLError) and cause.reason == "WRONG_VERSION_NUMBER":
            return "it does not speak TLS"
        for kinds, said in _REASONS:
            if isinstance(cause, kinds):
                return said
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return "the connection failed"


class _Clock:
    """Ends connections that a request made when its time is over, whatever they are doing then."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._connections: list[socket.socket] = []
        self._guard = threading.Lock()
        self.is_over = False

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let the time run."""
        self.is_over = False
        timer = threading.Timer(self._seconds, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            with self._guard:
                while self._connections:
                    self._connections.pop().close()

    def watch(self, connection: socket.socket) -> None:
        """Hold a second handle of a connection, as the first one changes hands when TLS begins."""
        with self._guard:
            self._connections.append(connection.dup())

    def _cut(self) -> None:
        with self._guard:
            self.is_over = True
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _Guard(NamedTuple):
    reach: Reach
    clock: _Clock


class _Plain(HTTPConnection):
    """A connection that is made only to an address that its host may have."""

    guard: _Guard

    def _new_conn(self) -> socket.socket:
        return _connect(self.guard, self.host, self.port, self.timeout)


class _Secure(HTTPSConnection):
    """The same, for TLS."""

    guard: _Guard

    def _new_conn(self) -> socket.socket:
        return _connect(self.guard, self.host, self.port, self.timeout)


def _connect(guard: _Guard, host: str, port: int, timeout: Any) -> socket.socket:
    """Connect to the first address of the host that answers. None is asked again after it was checked."""
    host = host.strip("[]")
    failure: OSError | None = None
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if not guard.reach.allows(host, port, str(address[0])):
            raise OutgoingError(f"{host} resolves to {address[0]}, an address that it may not have")
        connection = socket.socket(family, kind, protocol)
        connection.settimeout(timeout)
        try:
            connection.connect(address)
        except OSError as error:
            connection.close()
            failure = error
            continue
        guard.clock.watch(connection)
        return connection
    raise failure or OSError("no address")


class _Adapter(HTTPAdapter):
    """Makes requests' connections guarded ones, each for one request."""

    def __init__(self, reach: Reach, clock: _Clock, context: ssl.SSLContext) -> None:
        guard = {"guard": _Guard(reach, clock)}
        plain, secure = type("_Plain", (_Plain,), guard), type("_Secure", (_Secure,), guard)
        self._pools = {
            "http": type("_PlainPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("_SecurePool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
        }
        self._context = context
        super().__init__(max_retries=0)

    def init_poolmanager(self, *_sizes: Any, **_options: Any) -> None:
        """Make the pools."""
        self.poolmanager = PoolManager(num_pools=2, maxsize=1, ssl_context=self._context)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        """Keep the context, whatever is asked for: there is no way to turn the check of certificates off."""
        host, _ = super().build_connection_pool_key_attributes(request, True, None)
        return host, {}

    def cert_verify(self, *_asked: Any) -> None:
        """Keep the context: requests would trust its own list of authorities too."""
