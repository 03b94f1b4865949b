"""create_front_door(): the one place where the web process's parts are put together. Importing it has no effect."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import structlog
from flask import Flask, Response, g, request
from flask_swagger_ui import get_swaggerui_blueprint

from service.api import (
    aliases,
    catalog,
    datasets,
    evaluations,
    exports,
    health,
    invocations,
    jobs,
    metrics,
    models,
    open_inference,
    openapi,
    predictions,
    problems,
    tensorflow_serving,
)
from service.api.door import FrontDoor
from service.api.versions import Versions
from service.architecture.plan import Limits
from service.config import Settings, available_cores
from service.data.store import FileStore
from service.inference.predictions import Predictions
from service.inference.predictor import Predictor
from service.inference.runtime import Sessions
from service.inference.statistics import PredictionStatistics
from service.inference.tensorflow_client import TensorFlowClient
from service.inference.warmer import Warmer
from service.log import configure
from service.registry.aliases import Aliases
from service.registry.database import Database
from service.registry.datasets import Datasets
from service.registry.jobs import Jobs
from service.registry.models import Models
from service.registry.stores import DatasetStore, JobStore, ModelStore
from service.registry.supervisors import Supervisors
from service.training.doorbell import ring
from service.training.errands import Errands
from service.training.evaluations import Evaluations
from service.training.exports import Exports
from service.training.given_data import GivenData
from service.training.imports import Imports
from service.training.preparations import Preparations
from service.training.submission import Submissions
from service.training.uploads import Uploads

#: How long a request waits for the TensorFlow process, in seconds.
TENSORFLOW_TIMEOUT = 60.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What the Flask application and the front door have in common."""

    settings: Settings
    database: Database
    files: FileStore
    versions: Versions
    predictor: Predictor
    predictions: Predictions


def create_app(settings: Settings | None = None, now: Callable[[], datetime] | None = None) -> Flask:
    """The whole API as a Flask application; without `settings` they come from the environment."""
    return _flask(_parts(settings or Settings.from_environment()), now or (lambda: datetime.now(UTC)))


def create_front_door() -> FrontDoor:
    """The web process's ASGI application: the Flask application, and in front of it the way for predictions."""
    parts = _parts(Settings.from_environment())
    warmer = Warmer(parts.database, Models(parts.database), parts.predictor, parts.settings.session_budget_bytes)
    warmer.start()
    return FrontDoor(
        _flask(parts, lambda: datetime.now(UTC)),
        parts.versions,
        parts.predictor,
        [
            predictions.PlainPredictions(parts.predictions),
            tensorflow_serving.RowPredictions(parts.predictions),
            open_inference.TensorPredictions(parts.predictions),
        ],
        threads=parts.settings.web_threads,
        queue=parts.settings.web_queue,
        max_body_bytes=parts.settings.max_body_bytes,
        busy_poll_seconds=parts.settings.busy_poll_seconds,
        tick=warmer.tick,
    )


def openapi_yaml() -> str:
    """The OpenAPI document of this code, as the committed file has it."""
    return openapi.to_yaml(openapi.describe(create_app()))


def _parts(settings: Settings) -> _Parts:
    configure(settings.log_level)
    database, files = Database(settings.database), FileStore(settings.data)
    client = TensorFlowClient(str(settings.prediction_socket), TENSORFLOW_TIMEOUT)
    predictor = Predictor(files, Sessions(settings.session_budget_bytes), client)
    return _Parts(
        settings=settings,
        database=database,
        files=files,
        versions=Versions(database, Models(database)),
        predictor=predictor,
        predictions=Predictions(predictor, PredictionStatistics(settings.statistics)),
    )


def _flask(parts: _Parts, now: Callable[[], datetime]) -> Flask:
    app = Flask("kerasd", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = parts.settings.max_body_bytes
    problems.register(app)
    _log_requests(app)
    _register_blueprints(app, parts, now)
    return app


def _register_blueprints(app: Flask, parts: _Parts, now: Callable[[], datetime]) -> None:
    settings, database, files = parts.settings, parts.database, parts.files
    versions, asked, limit = parts.versions, parts.predictions, settings.max_body_bytes
    dataset_rows, job_rows, model_rows = Datasets(database), Jobs(database), Models(database)
    dataset_store = DatasetStore(files, dataset_rows)
    limits = Limits(max_parameters=settings.max_parameters, max_memory_bytes=settings.max_memory_bytes)
    errands = Errands(settings.errand_socket)
    uploads = Uploads(files, dataset_rows, dataset_store, errands)
    given = GivenData(files, dataset_rows, dataset_store, uploads)
    submissions = Submissions(
        job_rows, model_rows, dataset_store, given, Preparations(errands), limits, available_cores()
    )
    app.register_blueprint(datasets.blueprint(dataset_rows, dataset_store, uploads, settings.max_upload_bytes, now))
    ring_supervisor = partial(ring, settings.doorbell)
    app.register_blueprint(jobs.blueprint(job_rows, JobStore(files, job_rows), submissions, ring_supervisor, now))
    model_store = ModelStore(files, model_rows)
    imports = Imports(files, model_store, errands, limits, settings.max_upload_bytes)
    app.register_blueprint(models.blueprint(model_rows, model_store, imports, now))
    app.register_blueprint(aliases.blueprint(Aliases(database), now))
    app.register_blueprint(predictions.blueprint(versions, asked, limit))
    app.register_blueprint(exports.blueprint(model_rows, Exports(files, errands)))
    app.register_blueprint(evaluations.blueprint(versions, Evaluations(given, files, errands)))
    app.register_blueprint(tensorflow_serving.blueprint(versions, model_rows, asked, limit))
    app.register_blueprint(catalog.blueprint())
    ready = partial(health.check_readiness, database, Supervisors(database), now)
    app.register_blueprint(health.blueprint(ready))
    app.register_blueprint(open_inference.blueprint(versions, model_rows, asked, ready, limit))
    app.register_blueprint(invocations.blueprint(versions, asked, settings.invocations_model, limit))
    app.register_blueprint(metrics.blueprint(asked.statistics))
    app.register_blueprint(openapi.blueprint(app))
    app.register_blueprint(get_swaggerui_blueprint("/docs", "/openapi.json", config={"app_name": "kerasd"}))


def _log_requests(app: Flask) -> None:
    """Give each request an id, bind it to everything logged meanwhile, and log one line at its end."""

    @app.before_request
    def begin() -> None:
        g.request_id = f"req_{secrets.token_hex(12)}"
        g.started = time.perf_counter()
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=g.request_id)

    @app.after_request
    def end(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.request_id
        milliseconds = round(1000 * (time.perf_counter() - g.started), 2)
        # Probes come every few seconds for ever; nobody reads a line about each.
        level = log.debug if request.path.startswith(("/health", "/ping", "/metrics")) else log.info
        level(
            "request", method=request.method, path=request.path, status=response.status_code, milliseconds=milliseconds
        )
        return response
