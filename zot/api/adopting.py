"""First touch: a view that finds no repository has another look when one was made of what another program wrote."""

from __future__ import annotations

from functools import wraps
from typing import Any

from flask import Response

from zot.api.guard import View
from zot.errors import NameUnknown
from zot.registry.adoption import adopt
from zot.registry.stores import Stores


def adopting(stores: Stores, view: View) -> View:
    """Return the view, called once more after the layout of another program was taken over.

    So a request that finds its repository pays nothing for that.
    """

    @wraps(view)
    def again(**arguments: Any) -> Response:
        try:
            return view(**arguments)
        except NameUnknown:
            if not adopt(stores.of(arguments["name"]), arguments["name"]):
                raise
        return view(**arguments)

    return again
