"""The server: gunicorn with its workers, and the leader process beside them."""

from zot.server.reloading import Source
from zot.server.serving import ServeOptions, serve

__all__ = ["ServeOptions", "Source", "serve"]
