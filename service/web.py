"""gunicorn's settings: `gunicorn -c python:service.web "service.app:create_front_door()"` reads the names below."""

import gc
import importlib
import sys
import time
from pathlib import Path
from typing import Any

from service.acceptor import Loads
from service.busy_poll import Turns
from service.config import Settings, available_cores
from service.hidden import hide

_settings = Settings.from_environment()
_memory_folder = Path("/dev/shm")
_TICK = 0.005

proc_name = "kerasd"
bind = [f"[{_settings.host}]:{_settings.port}" if ":" in _settings.host else f"{_settings.host}:{_settings.port}"]
workers = _settings.web_workers
worker_class = "service.worker.WebWorker"
# A process that has threads, or open databases, must not be forked: each worker builds its own application.
preload_app = False
# A worker whose event loop hangs is replaced after this many seconds.
timeout = 120
graceful_timeout = int(_settings.shutdown_seconds)
# Clients that predict all the time keep their connection, for a new one costs more than a prediction.
keepalive = 75
# The proof of life is a file that is touched each second: a slow disk must not make a worker look dead.
worker_tmp_dir = str(_memory_folder) if _memory_folder.is_dir() else None
# The application logs each request itself, with its request_id.
accesslog = None
loglevel = "warning"
# Nothing uses gunicorn's control socket, and its default place may not be writable.
control_socket_disable = True


def on_starting(server: object) -> None:
    """Import what workers need, so that each is a fork away, and wait until they may begin.

    Runs in gunicorn's first process. It imports modules only, which starts no thread and opens nothing. Without a
    runner there is nobody to wait for.
    """
    # What is imported stays, so that nothing of it is garbage to look for.
    gc.disable()
    # structlog draws errors with it, if it is there, and with the values of variables, which can be a client's.
    hide("rich")
    log = importlib.import_module("service.log")
    log.configure(_settings.log_level)
    log.adopt("gunicorn.error")
    importlib.import_module("service.app")
    gc.enable()
    while _settings.run_folder and not _settings.prepared.exists():
        time.sleep(_TICK)


def pre_fork(server: Any, worker: Any) -> None:
    """Give the worker a number that no living one has (runs in gunicorn's first process)."""
    # What is in memory now stays: a worker's collector must not touch it, or its pages would be copied.
    gc.freeze()
    if not hasattr(server, "loads"):
        # A worker that is replaced may live on for a while beside its successor.
        server.loads = Loads(2 * workers)
        server.turns = Turns(2 * workers, available_cores() - 1)
    taken = {other.number for other in server.WORKERS.values()}
    worker.take_place(min(set(range(2 * workers)) - taken), server.loads, server.turns)


def child_exit(server: Any, worker: Any) -> None:
    """Nobody waits for a worker that has ended (runs in gunicorn's first process)."""
    worker.leave_place()


def post_worker_init(worker: object) -> None:
    """Make pauses rare and short (runs in each worker, once the application is loaded)."""
    # A full collection walks every module and schema that was imported, some tens of milliseconds in the middle of a
    # prediction of two. What is loaded by now lives as long as the worker: freeze takes it out of the walk, and the
    # higher thresholds make a collection follow thousands of requests, not some dozens.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)
    # A thread that reads a large body must not keep the event loop waiting for longer than a prediction takes.
    sys.setswitchinterval(0.0005)
