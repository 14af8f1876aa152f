"""Where the parts are joined: the only place that makes them, and only when it is called."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from flask import Flask
from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector
from prometheus_flask_exporter import PrometheusMetrics
from prometheus_flask_exporter.multiprocess import GunicornPrometheusMetrics

from zot.api.auth import auth
from zot.api.cors import Application, Cors
from zot.api.distribution import RepositoryConverter, distribution
from zot.api.entrance import Entrance
from zot.api.guard import Guard, check_guarded
from zot.api.metrics import State, health, metrics
from zot.api.rates import Limits, Rates, Table
from zot.api.rendering import register_errors
from zot.api.sessions import keep_sessions
from zot.api.telemetry import Telemetry, shared_names
from zot.auth.keys import ApiKeys
from zot.auth.opening import Opener
from zot.auth.people import People
from zot.auth.sessions import Sessions
from zot.config import Config
from zot.config.publication import Live, Publication
from zot.cores import Cores
from zot.jobs.metrics import Looked
from zot.jobs.slots import Slots
from zot.logs import set_level
from zot.oci import media_types
from zot.registry import paths
from zot.registry.opening import open_stores
from zot.registry.rules import retention_of
from zot.registry.stores import Stores

# The directory that the processes of a server share, if this is one of them; so called by the library of the counters.
_SHARED = "PROMETHEUS_MULTIPROC_DIR"


def create_app(config: Config, publication: Publication | None = None, *, threads: int = 32) -> Flask:
    """Make the WSGI application, of which each process serves as many requests at a time as it has threads.

    Before each request it takes up the configuration that was published last. Raises `StartupError` if the storage, or
    a file that the configuration names, can't be used.
    """
    telemetry = _telemetry(config)
    stores = _stores(config, telemetry)
    storage = stores.default.storage
    keys, sessions = ApiKeys(storage, paths.API_KEYS), Sessions(storage, paths.SESSIONS)
    opener = Opener(threads, keys, sessions, partial(People, storage, paths.PEOPLE))
    guard = Guard(opener.open(config.http))

    app = Flask("zot", static_folder=None)
    app.url_map.merge_slashes = False
    app.url_map.converters["repository"] = RepositoryConverter
    app.register_blueprint(distribution(stores, guard, Cores(), _accepted(config)))
    app.register_blueprint(auth(guard))
    app.register_blueprint(health(stores, guard))
    if telemetry is not None and config.extensions.metrics is not None:
        path = config.extensions.metrics.prometheus.path
        app.register_blueprint(metrics(path, guard, _exporter(app, telemetry), _looked(config, stores)))
    register_errors(app)
    app.extensions["guard"] = guard
    keep_sessions(app, lambda: guard.authority)
    app.extensions["stores"] = stores
    check_guarded(app)
    rates = Rates(Table(), _limits(config))
    live = Live(partial(_prepare, opener, guard, stores, rates), publication)
    app.extensions["live"] = live
    app.extensions["telemetry"] = telemetry
    inner = _for_pages(app, config)
    app.wsgi_app = Entrance(inner, live, rates, telemetry)  # type: ignore[method-assign]  # the way Flask documents it
    return app


def _prepare(opener: Opener, guard: Guard, stores: Stores, rates: Rates, config: Config) -> Callable[[], None]:
    """Make what a changed configuration replaces; what is returned puts it in place."""
    authority, limits = opener.open(config.http), _limits(config)
    rules = [(store, retention_of(config.storage.at(route))) for route, store in stores.by_route()]

    def put_in_place() -> None:
        guard.authority = authority
        rates.limits = limits
        for store, retention in rules:
            store.retention = retention
        set_level(config.log.level)

    return put_in_place


def _limits(config: Config) -> Limits | None:
    """Return how often a client may ask."""
    limit = config.http.ratelimit
    return None if limit is None else Limits(limit.rate, {one.method.upper(): one.rate for one in limit.methods})


def _for_pages(app: Flask, config: Config) -> Application:
    """Return the application, which lets pages of other origins in if the configuration names some."""
    if not config.http.allow_origin:
        return app.wsgi_app
    methods = app.url_map.bind("").allowed_methods
    return Cors(app.wsgi_app, config.http.allow_origin, methods, logins=config.http.auth is not None)


def _accepted(config: Config) -> frozenset[str]:
    """Return the manifest types that may be pushed: docker's too, unless `http.compat` is there without them."""
    if config.http.compat is None or "docker2s2" in config.http.compat:
        return media_types.MANIFESTS
    return media_types.MANIFESTS - media_types.DOCKER


def _telemetry(config: Config) -> Telemetry | None:
    """Return what counts requests, if the configuration asks for metrics."""
    if not config.extensions.shows_metrics:
        return None
    return Telemetry(CollectorRegistry(), shared_names())


def _stores(config: Config, telemetry: Telemetry | None) -> Stores:
    """Open the stores, and watch what they do if there are metrics."""
    if telemetry is None:
        return open_stores(config)
    stores = open_stores(config, telemetry.copied, telemetry.damaged)
    for route, store in stores.by_route():
        telemetry.time_locks(route, store.storage)
    return stores


def _looked(config: Config, stores: Stores) -> list[Collector]:
    """Return what the metrics show that is looked at when somebody asks; some of it only a server with others has."""
    shared = os.environ.get(_SHARED)
    if shared is None:
        return [State(stores)]
    slots = Slots(shared, config.scheduler.num_workers)
    return [State(stores), Looked(shared, slots, (route for route, _ in stores.by_route()))]


def _exporter(app: Flask, telemetry: Telemetry) -> PrometheusMetrics:
    """Return what shows the counters of all processes; it registers no route, and counts nothing by itself."""
    if _SHARED in os.environ:
        return GunicornPrometheusMetrics(app, export_defaults=False)
    return PrometheusMetrics(app, path=None, export_defaults=False, registry=telemetry.registry)
