"""The client: several keep-alive connections in one thread, that keep a server busy and cost little themselves.

One thread, since two cores have to do for client and server: threads of Python that wait for each other would show in
the latencies. A long body is sent without a break, so such a unit wants a single connection.
"""

from __future__ import annotations

import selectors
import socket
import time
from dataclasses import dataclass, field

from scripts.benchmark.wire import Answer, BadAnswerError, Maker, Reader, Request, Unit

_PATIENCE = 120.0
_PIECE = 1 << 20


@dataclass
class Samples:
    """What the client saw: wall seconds of all, seconds of each unit, and bytes of content."""

    wall: float = 0.0
    latencies: list[float] = field(default_factory=list)
    moved: int = 0


def drive(host: str, port: int, make: Maker, count: int, connections: int) -> Samples:
    """Do `count` units of work over some connections.

    Every answer is read whole, and its status compared. Raises `BadAnswerError` at the first that is not as expected,
    or if nothing comes for two minutes.
    """
    samples, left, buffer = Samples(), count, bytearray(_PIECE)
    selector = selectors.DefaultSelector()
    opened: list[_Connection] = []
    try:
        opened.extend(_Connection(host, port, selector) for _ in range(min(connections, count)))
        begun = time.perf_counter()
        for connection in opened:
            connection.start(make())
            left -= 1
        working = len(opened)
        while working:
            events = selector.select(_PATIENCE)
            if not events:
                raise BadAnswerError(f"nothing came for {_PATIENCE:.0f} s")
            for key, _ in events:
                if not key.data.receive(buffer, samples):
                    continue
                if left:
                    left -= 1
                    key.data.start(make())
                else:
                    working -= 1
        samples.wall = time.perf_counter() - begun
    finally:
        for connection in opened:
            connection.close()
        selector.close()
    return samples


def one(host: str, port: int, wanted: Request) -> Answer:
    """Send a single request and return the answer. Raises `BadAnswerError`."""
    answers: list[Answer] = []

    def unit() -> Unit:
        answers.append((yield wanted))
        return 0

    drive(host, port, unit, 1, 1)
    return answers[0]


class _Connection:
    """One connection, the unit of work that it does, and the answer that it waits for."""

    def __init__(self, host: str, port: int, selector: selectors.BaseSelector) -> None:
        self._address = (host, port)
        self._host = f"Host: {host}:{port}\r\n".encode()
        self._selector = selector
        self._connect()

    def start(self, unit: Unit) -> None:
        """Begin a unit of work."""
        self._unit = unit
        self._begun = time.perf_counter()
        self._send(next(unit))

    def receive(self, buffer: bytearray, samples: Samples) -> bool:
        """Take what has come, and send what is due; return whether the unit is finished."""
        got = self._socket.recv_into(buffer)
        if not got:
            raise BadAnswerError(f"the connection broke off after {self._request.line!r}")
        answer = self._reader.feed(memoryview(buffer)[:got])
        if answer is None:
            return False
        self._judge(answer)
        if answer.closes:
            self._selector.unregister(self._socket)
            self._socket.close()
            self._connect()
        try:
            self._send(self._unit.send(answer))
        except StopIteration as finished:
            samples.latencies.append(time.perf_counter() - self._begun)
            samples.moved += finished.value
            return True
        return False

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def _judge(self, answer: Answer) -> None:
        wanted = self._request
        if answer.status != wanted.expect:
            raise BadAnswerError(f"{wanted.line!r}: {answer.status} instead of {wanted.expect}: {answer.body[:300]!r}")
        if wanted.length is not None and answer.size != wanted.length:
            raise BadAnswerError(f"{wanted.line!r}: {answer.size} bytes instead of {wanted.length}")

    def _send(self, wanted: Request) -> None:
        self._request = wanted
        self._reader = Reader(bodiless=wanted.bodiless)
        self._socket.sendall(wanted.data(self._host))
        for piece in wanted.stream:
            self._socket.sendall(piece)

    def _connect(self) -> None:
        self._socket = socket.create_connection(self._address, timeout=_PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(self._socket, selectors.EVENT_READ, self)
