"""Who is measured: kerasd, its peers and the floors; the commands that start them, and the bodies that they take."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from benchmarks.serving.dialects import (
    Dialect,
    bare_list,
    constant,
    instances,
    npy,
    open_inference,
    open_inference_binary,
)

APPS = "benchmarks.serving.apps"
#: The binary form that a constant is asked in, too.
BYTES = "open inference"
WORKERS = "2"


class Kind(StrEnum):
    """What a server is compared as."""

    OWN = "own"
    #: Answers a constant: what there is to gain at most.
    FLOOR = "floor"
    #: An application written for the purpose.
    APPLICATION = "application"
    MODEL_SERVER = "model server"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One row of the comparison.

    In the commands, {python} is the interpreter of `environment` (None: the project's own), {port} the free port and
    {folder} the current folder, which is new and empty. `prepare` is run before and not timed. `repeats` says how often
    a reading is repeated to take the best, where it depends on which worker gets the connections. `flat_json` is
    another form of JSON, for bodies of 1000 rows alone.
    """

    name: str
    title: str
    kind: Kind
    command: tuple[str, ...]
    json: Dialect
    environment: str | None = None
    prepare: tuple[str, ...] = ()
    flat_json: Dialect | None = None
    binary: Mapping[str, Dialect] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    repeats: int = 1

    @property
    def answers_batches(self) -> bool:
        """A constant does not depend on the rows, so that floors are asked for single rows, and for 1000 as bytes."""
        return self.kind is not Kind.FLOOR


def _module(name: str) -> tuple[str, ...]:
    return ("{python}", "-m", f"{APPS}.{name}")


def _gunicorn(app: str, *options: str) -> tuple[str, ...]:
    plain = ("{python}", "-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--workers", WORKERS, "--keep-alive", "75")
    return (*plain, "--no-control-socket", "--log-level", "warning", *options, f"{APPS}.{app}:app")


_THREADS = ("--worker-class", "gthread", "--threads", "8")
_NATIVE = "/v1/models/{network}/predict"
_OPEN_INFERENCE = "/v2/models/{network}/infer"

SERVERS = {
    server.name: server
    for server in (
        Server(
            name="kerasd",
            title="kerasd",
            kind=Kind.OWN,
            command=("{python}", "-m", "service.cli", "serve"),
            json=instances(_NATIVE),
            flat_json=open_inference(_OPEN_INFERENCE),
            binary={BYTES: open_inference_binary(_OPEN_INFERENCE), "npy": npy(_NATIVE)},
        ),
        Server(
            name="asgi",
            title="constant, ASGI under kerasd's own worker class",
            kind=Kind.FLOOR,
            command=_gunicorn("constant_asgi", "--config", f"python:{APPS}.own_worker"),
            json=constant(instances("/predict"), "/predict"),
            binary={BYTES: constant(open_inference_binary("/predict"), "/predict")},
        ),
        Server(
            name="wsgi",
            title="constant, WSGI under gunicorn gthread",
            kind=Kind.FLOOR,
            command=_gunicorn("constant_wsgi", *_THREADS),
            json=constant(instances("/predict"), "/predict"),
            repeats=3,
        ),
        Server(
            name="flask",
            title="empty Flask view under gunicorn gthread",
            kind=Kind.FLOOR,
            command=_gunicorn("constant_flask", *_THREADS),
            json=constant(instances("/predict"), "/predict"),
            repeats=3,
        ),
        Server(
            name="fastapi",
            title="FastAPI, uvicorn, ONNX Runtime",
            kind=Kind.APPLICATION,
            environment="fastapi",
            command=(
                *("{python}", "-m", "uvicorn", f"{APPS}.fastapi_onnx:app", "--host", "127.0.0.1", "--port", "{port}"),
                *("--workers", WORKERS, "--loop", "uvloop", "--http", "httptools"),
                *("--no-access-log", "--log-level", "warning"),
            ),
            json=instances("/predict"),
        ),
        Server(
            name="flask_call",
            title="Flask, gunicorn, Keras model(x)",
            kind=Kind.APPLICATION,
            command=_gunicorn("flask_keras", *_THREADS, "--timeout", "300"),
            json=instances("/predict"),
            variables={"BENCH_CALL": "call"},
        ),
        Server(
            name="flask_predict",
            title="Flask, gunicorn, Keras model.predict(x)",
            kind=Kind.APPLICATION,
            command=_gunicorn("flask_keras", *_THREADS, "--timeout", "300"),
            json=instances("/predict"),
            variables={"BENCH_CALL": "predict"},
        ),
        Server(
            name="litserve",
            title="LitServe",
            kind=Kind.MODEL_SERVER,
            environment="litserve",
            command=_module("litserve_onnx"),
            json=instances("/predict"),
        ),
        Server(
            name="mlserver",
            title="MLServer",
            kind=Kind.MODEL_SERVER,
            environment="mlserver",
            command=_module("mlserver_start"),
            json=open_inference("/v2/models/network/infer"),
        ),
        Server(
            name="bentoml",
            title="BentoML",
            kind=Kind.MODEL_SERVER,
            environment="bentoml",
            command=(
                *("{python}", "-m", "bentoml", "serve", f"{APPS}.bentoml_onnx:Network"),
                *("--host", "127.0.0.1", "--port", "{port}"),
            ),
            json=bare_list("/predict"),
            variables={"BENTOML_DO_NOT_TRACK": "True"},
        ),
        Server(
            name="ray",
            title="Ray Serve",
            kind=Kind.MODEL_SERVER,
            environment="ray",
            command=_module("ray_onnx"),
            json=instances("/predict"),
            variables={"RAY_USAGE_STATS_ENABLED": "0"},
        ),
        Server(
            name="mlflow",
            title="MLflow models serve",
            kind=Kind.MODEL_SERVER,
            environment="mlflow",
            prepare=_module("mlflow_onnx"),
            command=(
                *("{python}", "-m", "mlflow", "models", "serve", "--model-uri", "model", "--env-manager", "local"),
                *("--host", "127.0.0.1", "--port", "{port}", "--workers", WORKERS),
            ),
            json=instances("/invocations", key="inputs"),
            variables={"MLFLOW_DISABLE_TELEMETRY": "true"},
        ),
    )
}
