"""TLS: what new connections are made with, and how long they may stand still."""

from __future__ import annotations

import logging
import os
import ssl
import threading
from typing import Any

from zot.config.pair import UnfitPair, load_pair
from zot.errors import StartupError
from zot.server.listening import Timeouts
from zot.server.stamps import stamp

log = logging.getLogger(__name__)

# For TLS 1.2; those of 1.3 are all good.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class Certificates:
    """A server's certificate and key, read again when their files changed. Shared by threads.

    A connection keeps what it was made with, so a renewed certificate disturbs nobody. With `cacert` clients may show a
    certificate of their own, which one of the authorities in that file must have signed.
    """

    def __init__(self, cert: str, key: str, cacert: str | None, timeouts: Timeouts) -> None:
        self.cert, self.key, self._cacert = cert, key, cacert
        self._timeouts = timeouts
        self._guard = threading.Lock()
        self._stamps = self._look()
        self._context = self._load()

    def context(self) -> ssl.SSLContext:
        """Return what to make a new connection with. Files that are wrong are logged once and not taken."""
        stamps = self._look()
        if stamps != self._stamps:
            with self._guard:
                self._renew(stamps)
        return self._context

    def _renew(self, stamps: list[object]) -> None:
        if stamps == self._stamps:
            return
        # What is written while it is read has other stamps at the next look.
        self._stamps = stamps
        try:
            self._context = self._load()
        except StartupError as error:
            log.error("the changed certificate is not taken, the old one stays: %s", error)
        else:
            _tell(self.cert)

    def _files(self) -> dict[str, str]:
        files = {"http.tls.cert": self.cert, "http.tls.key": self.key}
        return files if self._cacert is None else files | {"http.tls.cacert": self._cacert}

    def _look(self) -> list[object]:
        """Return what changes when one of the files does, also when a symbolic link leads to another file."""
        return [stamp(file) for file in self._files().values()]

    def _load(self) -> ssl.SSLContext:
        """Make a context. Raises `StartupError`."""
        for key, file in self._files().items():
            _check_readable(key, file)
        context = _Context(ssl.PROTOCOL_TLS_SERVER)
        context.timeouts = self._timeouts
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_CIPHERS)
        context.set_alpn_protocols(["http/1.1"])
        context.sslsocket_class = Connection
        try:
            load_pair(context, self.cert, self.key)
        except UnfitPair as error:
            raise StartupError(f"http.tls.{error.name} {error.problem}", error.remedy) from error
        if self._cacert is not None:
            _ask_for_certificates(context, self._cacert)
        return context


def _tell(cert: str) -> None:
    """Log that a changed certificate is taken: a warning if it is no good for long."""
    from zot.config.validity import validity

    try:
        ends, _, is_soon = validity(cert)
    except (ValueError, OSError) as error:
        log.warning("new connections get the changed certificate %s; when it ends can't be read: %s", cert, error)
        return
    level, until = logging.WARNING if is_soon else logging.INFO, ends.isoformat(timespec="seconds")
    advice = ", which is soon: renew it" if is_soon else ""
    log.log(level, "new connections get the changed certificate %s, which is valid until %s%s", cert, until, advice)


def _ask_for_certificates(context: ssl.SSLContext, cacert: str) -> None:
    """Let clients show certificates that are signed by those in a file, and in none of the file's revocation lists."""
    context.verify_mode = ssl.CERT_OPTIONAL
    try:
        context.load_verify_locations(cacert)
    except ssl.SSLError as error:
        raise StartupError(
            f"http.tls.cacert {cacert} holds no certificate in PEM format", "name a file that does"
        ) from error
    if context.cert_store_stats()["crl"]:
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF


class Connection(ssl.SSLSocket):
    """A connection that is given up when it stands still: here the kernel's limit on receiving ends nothing.

    The time counts for each piece that is received or sent, and not for a transfer.
    """

    def setblocking(self, flag: bool) -> None:
        """Wait for as long as is allowed, or not at all."""
        self.settimeout(self._timeouts.read if flag else 0.0)

    def do_handshake(self, block: bool = False) -> None:
        """Shake hands, all in all within the time for one piece."""
        self.setblocking(True)
        super().do_handshake(block)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of it."""
        self.settimeout(self._timeouts.write)
        try:
            super().sendall(data, flags)
        finally:
            self.settimeout(self._timeouts.read)

    @property
    def _timeouts(self) -> Timeouts:
        context: Any = self.context
        timeouts: Timeouts = context.timeouts
        return timeouts


class _Context(ssl.SSLContext):
    """A context that tells its connections their time."""

    timeouts: Timeouts


def _check_readable(key: str, file: str) -> None:
    try:
        with open(file, "rb") as opened:
            opened.read(1)
    except OSError as error:
        raise StartupError(
            f"{key} {file} can't be read: {os.strerror(error.errno or 0)}", "name a file that this user may read"
        ) from error
