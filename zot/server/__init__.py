"""The server: gunicorn with its workers, and the leader process beside them."""

from zot.server.serving import ServeOptions, serve

__all__ = ["ServeOptions", "serve"]
