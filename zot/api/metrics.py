"""The blueprint of what machines ask about the server itself: health probes and metrics."""

from __future__ import annotations

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from zot.api.guard import Guard, Routes
from zot.auth.actions import Action
from zot.registry.stores import Stores

TEXT = "text/plain; charset=utf-8"


class MetricsViews:
    """Views that tell whether the server lives, and what it has counted."""

    def __init__(self, stores: Stores, counted: CollectorRegistry) -> None:
        self._stores = stores
        self._counted = counted

    def alive(self) -> Response:
        """Say that this worker answers."""
        return Response(b"ok", content_type=TEXT)

    def ready(self) -> Response:
        """Say that all stores answer; raises `StorageError`, a 503, if one does not."""
        for _, store in self._stores.by_route():
            store.check()
        return Response(b"ok", content_type=TEXT)

    def metrics(self) -> Response:
        """Show the counters of all workers in Prometheus' text format."""
        return Response(generate_latest(self._counted), content_type=CONTENT_TYPE_LATEST)


def metrics(stores: Stores, guard: Guard, counted: CollectorRegistry) -> Blueprint:
    """Make the blueprint."""
    blueprint = Blueprint("metrics", __name__)
    routes = Routes(blueprint, guard)
    views = MetricsViews(stores, counted)
    routes.add("/livez", ["GET"], Action.HEALTH, views.alive)
    routes.add("/readyz", ["GET"], Action.HEALTH, views.ready)
    routes.add("/startupz", ["GET"], Action.HEALTH, views.ready)
    routes.add("/metrics", ["GET"], Action.METRICS, views.metrics)
    return blueprint
