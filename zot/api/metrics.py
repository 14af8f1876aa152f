"""The blueprint of what machines ask about the server itself: health probes and metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from flask import Blueprint, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from prometheus_flask_exporter import PrometheusMetrics

from zot import __version__
from zot.api.guard import Guard, Routes
from zot.auth.actions import Action
from zot.registry.stores import Stores
from zot.storage.protocol import StorageError

TEXT = "text/plain; charset=utf-8"


class HealthViews:
    """Views that tell whether the server lives."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def alive(self) -> Response:
        """Say that this worker answers."""
        return Response(b"ok", content_type=TEXT)

    def ready(self) -> Response:
        """Say that all stores answer; raises `StorageError`, a 503, if one does not."""
        for _, store in self._stores.by_route():
            store.check()
        return Response(b"ok", content_type=TEXT)


class State(Collector):
    """What the server is, and what goes on in its stores."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield what the server is, and the uploads under way."""
        info = GaugeMetricFamily("zot_info", "The version of the server.", labels=["version"])
        info.add_metric([__version__], 1)
        yield info
        under_way = GaugeMetricFamily("zot_uploads_under_way", "Uploads begun and not ended.", labels=["store"])
        for route, store in self._stores.by_route():
            # The other numbers are shown also while a store is away.
            with suppress(StorageError):
                under_way.add_metric([route], sum(1 for _ in store.storage.uploads()))
        yield under_way


class MetricsViews:
    """The view that shows what was counted."""

    def __init__(self, exporter: PrometheusMetrics, looked: Iterable[Collector]) -> None:
        self._exporter = exporter
        self._state = CollectorRegistry()
        for collector in looked:
            self._state.register(collector)

    def metrics(self) -> Response:
        """Show the counters of all processes in Prometheus' text format."""
        counted, content_type = self._exporter.generate_metrics()
        return Response(counted.encode() + generate_latest(self._state), content_type=content_type)


def health(stores: Stores, guard: Guard) -> Blueprint:
    """Make the blueprint of the probes."""
    blueprint = Blueprint("health", __name__)
    routes = Routes(blueprint, guard)
    views = HealthViews(stores)
    routes.add("/livez", ["GET"], Action.HEALTH, views.alive)
    routes.add("/readyz", ["GET"], Action.HEALTH, views.ready)
    routes.add("/startupz", ["GET"], Action.HEALTH, views.ready)
    return blueprint


def metrics(path: str, guard: Guard, exporter: PrometheusMetrics, looked: Iterable[Collector]) -> Blueprint:
    """Make the blueprint of the metrics; `looked` yield what is not counted but looked at when somebody asks."""
    blueprint = Blueprint("metrics", __name__)
    Routes(blueprint, guard).add(path, ["GET"], Action.METRICS, MetricsViews(exporter, looked).metrics)
    return blueprint
