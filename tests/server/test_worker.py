"""The worker class by itself."""

from __future__ import annotations

import os
import selectors
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest
from gunicorn.config import Config

from zot.server.worker import Worker


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A socket that connections come by."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield listener


@pytest.fixture
def worker(listener: socket.socket) -> Iterator[Worker]:
    """A worker with one thread that does not run."""
    worker = Worker(1, os.getppid(), [listener], None, 30, Config(), None)
    with closing(worker.tmp), closing(selectors.DefaultSelector()) as worker.poller:
        yield worker


def test_told_to_end_before_it_accepts(worker: Worker, listener: socket.socket) -> None:
    """The sockets that connections come by are closed at the end only when the poll loop does not know them any more.

    A connection that it still sees there would end the worker, and all its transfers.
    """
    worker.alive = False
    worker.set_accept_enabled(True)
    assert [key.fileobj for key in worker.poller.get_map().values()] == [listener]
    assert listener.fileno() != -1
    worker.set_accept_enabled(False)
    assert (listener.fileno(), len(worker.poller.get_map())) == (-1, 0)
