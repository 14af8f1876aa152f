"""How connections end."""

from __future__ import annotations

import socket
import threading

from zot.server.parting import Parting


def test_few_are_listened_to_at_a_time() -> None:
    """A client is listened to until it closes; while there is no place for another, its end comes at once."""
    parting = Parting(1)
    ours, first = socket.socketpair()
    first.sendall(b"more")
    listening = threading.Thread(target=parting.part, args=(ours,))
    listening.start()
    assert first.recv(1) == b""
    while ours.gettimeout() is None:
        listening.join(0.01)
    other, second = socket.socketpair()
    second.sendall(b"more")
    parting.part(other)
    assert other.fileno() == -1
    assert listening.is_alive()
    first.close()
    listening.join()
    assert ours.fileno() == -1
    second.close()


def test_a_place_is_free_again() -> None:
    """Who was listened to leaves the place to the next, whose bytes are read away so that it sees no reset."""
    parting = Parting(1)
    for _ in range(3):
        ours, theirs = socket.socketpair()
        theirs.sendall(b"more")
        theirs.shutdown(socket.SHUT_WR)
        parting.part(ours)
        assert theirs.recv(1) == b""
        theirs.close()
