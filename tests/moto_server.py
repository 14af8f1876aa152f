"""moto, doing one change after another: by itself it looks at If-Match and writes later, and loses updates in between.

python tests/moto_server.py PORT
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple


class OneAtATime:
    """A WSGI application that waits for another's change to end."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._guard = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Serve a request."""
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            answer: Iterable[bytes] = self._application(environ, start_response)
            return answer
        with self._guard:
            return list(self._application(environ, start_response))


if __name__ == "__main__":
    os.environ["MOTO_PORT"] = sys.argv[1]
    served = OneAtATime(DomainDispatcherApplication(create_backend_app))
    run_simple("127.0.0.1", int(sys.argv[1]), served, threaded=True, request_handler=MotoRequestHandler)
