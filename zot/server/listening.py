"""The listening socket, bound before anything else is started, so that what is wrong with it is said in one line."""

from __future__ import annotations

import errno
import os
import socket
import struct
from dataclasses import dataclass

from zot.errors import StartupError


@dataclass(frozen=True)
class Timeouts:
    """How many seconds a client may send nothing where something is awaited, and take nothing of what is sent.

    None is for ever.
    """

    read: float | None
    write: float | None


def listen(address: str, port: int, timeouts: Timeouts) -> socket.socket:
    """Bind a TCP socket whose connections are dropped when they stand still for too long.

    The limits are set on the listening socket: on Linux its connections inherit them. A receive that waits too long
    fails with EAGAIN; a peer that takes nothing of what is sent is cut off by the kernel, also in the middle of a
    sendfile. Neither counts how long a transfer takes, only that it goes on. Raises `StartupError`.
    """
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise StartupError(f"http.address {address!r} is no address: {error}", "use one of this machine") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if timeouts.read is not None:
            seconds, microseconds = divmod(int(timeouts.read * 1_000_000), 1_000_000)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", seconds, microseconds))
        if timeouts.write is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(timeouts.write * 1000))
        bound.bind(where)
        # Some systems report an address in use only here.
        bound.listen(2048)
    except OSError as error:
        bound.close()
        raise _explain(error, address, port) from error
    return bound


def url(bound: socket.socket, scheme: str) -> str:
    """Return the address that clients use."""
    host, port = bound.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _explain(error: OSError, address: str, port: int) -> StartupError:
    if error.errno == errno.EADDRINUSE:
        return StartupError(
            f"port {port} of {address} is in use by another program",
            "stop that one, or choose another http.port or --port (0 lets the system choose)",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return StartupError(f"{address} is not an address of this machine", "change http.address")
    if error.errno == errno.EACCES:
        return StartupError(
            f"port {port} may not be used by this user", "choose an http.port above 1023, or grant CAP_NET_BIND_SERVICE"
        )
    return StartupError(
        f"{address}:{port} can't be listened on: {os.strerror(error.errno or 0)}", "change http.address or http.port"
    )
