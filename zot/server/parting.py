"""The end of a connection: a client that still sends is listened to for a while, so that it gets its answer.

A connection that is closed with bytes in it that nobody has read is reset, and a reset takes back what was sent (RFC
9112, section 9.6). Whoever is refused in the middle of a push would see a broken connection in place of the refusal.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

# In seconds: between two pieces, and in all. In bytes: what clients that read only when they have sent may go on with.
_PAUSE = 2.0
_LONGEST = 5.0
_MOST = 16 * 1024 * 1024
_PIECE = 256 * 1024


class Parting:
    """Ends connections; at most `most` at a time are listened to, since each holds a thread, and others end at once."""

    def __init__(self, most: int) -> None:
        self._places = threading.Semaphore(most)

    def part(self, connection: socket.socket) -> None:
        """Say that nothing more comes, throw away what the client still sends, within bounds, and close.

        Over TLS what is thrown away is not decrypted.
        """
        try:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
                self._listen(connection)
        finally:
            with suppress(OSError):
                connection.close()

    def _listen(self, connection: socket.socket) -> None:
        if self._places.acquire(blocking=False):
            try:
                _drain(connection)
            finally:
                self._places.release()


def _drain(connection: socket.socket) -> None:
    """Read until the client closes. Raises `OSError` when it pauses for too long."""
    deadline = time.monotonic() + _LONGEST
    buffer = bytearray(_PIECE)
    drained = 0
    while drained < _MOST and (left := deadline - time.monotonic()) > 0:
        connection.settimeout(min(_PAUSE, left))
        received = connection.recv_into(buffer)
        if not received:
            return
        drained += received
