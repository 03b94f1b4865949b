"""`kerasd serve`: prepares the data, starts the web processes and the supervisor, and starts again what dies.

The runner's children have process groups of their own, so that Ctrl-C in a terminal reaches the runner alone, which
then ends them in order. On Linux the kernel ends them when the runner itself is killed.
"""

import contextlib
import ctypes
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from service.config import Settings, unknown_variables

FIRST_DELAY, LONGEST_DELAY, CALM = 0.5, 10.0, 60.0
#: How often the parts are looked at, in seconds: while one is starting or ending, and while all is well. A signal
#: cuts both short, and the end of a part brings one.
_TICK, _CALM_TICK = 0.1, 2.0
#: The largest piece of memory that a web process keeps for the next request; twice as much may stay free in all.
_KEPT_BYTES = 2**25
_PR_SET_PDEATHSIG = 1


class ServeError(Exception):
    """The server cannot start; the message says why, and what would help."""


class Backoff:
    """Seconds to wait before a part starts again: 0.5, doubled each time up to 10; a minute's calm begins anew."""

    def __init__(self) -> None:
        self._next = FIRST_DELAY

    def delay(self, lived: float) -> float:
        """The wait for a part that has died after it `lived` so many seconds."""
        if lived >= CALM:
            self._next = FIRST_DELAY
        delay, self._next = self._next, min(self._next * 2, LONGEST_DELAY)
        return delay


class Part:
    """One child process of the runner; times are seconds of a monotonic clock, given by the caller."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        self.name = name
        self._command = command
        self.environment = environment
        self._backoff = Backoff()
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._due = 0.0

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def watch(self, now: float) -> None:
        """Start the process if it is due; if it has died, clear up after it and set when to start it again."""
        if self._process is None:
            if now >= self._due:
                self._start(now)
        elif (code := self._process.poll()) is not None:
            delay = self._backoff.delay(now - self._started)
            _log().error("part_ended", part=self.name, code=code, again_in_seconds=delay)
            # What it leaves behind holds the port, or trains on for nobody.
            self.kill()
            self._process, self._due = None, now + delay

    def terminate(self) -> None:
        """Ask the process to end; it ends its own children."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the whole process group at once, and reap the process."""
        if self._process is not None:
            # The group may be empty already; macOS says that by "not permitted".
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _start(self, now: float) -> None:
        self._process = subprocess.Popen(
            self._command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_end_with_parent(),
        )
        self._started = now


def serve(settings: Settings) -> int:
    """Run the server until SIGINT, SIGTERM or SIGHUP; give exit code 0. Raise ServeError if it cannot start."""
    settings = settings.with_absolute_data()
    check_port(settings.host, settings.port)
    _check_data(settings)
    run_folder = Path(tempfile.mkdtemp(prefix="kerasd-"))
    try:
        Runner(replace(settings, run_folder=str(run_folder))).run()
    finally:
        shutil.rmtree(run_folder, ignore_errors=True)
    return 0


class Wakeup:
    """Lets the main thread sleep until a signal comes; used as a context manager.

    The interpreter writes a byte for each signal, which says no more than that one came: its handler runs as ever.
    """

    def __enter__(self) -> "Wakeup":
        self._signalled, self._writer = socket.socketpair()
        self._signalled.setblocking(False)
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, *error: object) -> None:
        signal.set_wakeup_fd(-1)
        self._signalled.close()
        self._writer.close()

    def sleep(self, seconds: float) -> None:
        """Sleep for so long, or until the next signal; one since the last sleep counts."""
        select.select([self._signalled], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            self._signalled.recv(4096)


class Runner:
    """The loop that watches the parts; the signal handlers only count."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._parts = parts(settings)
        self._signals = 0
        self._announced = False

    def run(self) -> None:
        """Watch the parts until a signal comes, then end them."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._count_signal)
        # By default it would wake nobody.
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with Wakeup() as wakeup:
            try:
                self._prepare()
                while not self._signals:
                    for part in self._parts:
                        part.watch(time.monotonic())
                    self._announce_when_ready()
                    wakeup.sleep(self._pause())
            finally:
                self._end(wakeup)

    def _pause(self) -> float:
        return _CALM_TICK if self._announced and all(part.alive for part in self._parts) else _TICK

    def _prepare(self) -> None:
        """Bring the tables up to date while the web processes' first one imports what they need; they wait for it."""
        web, _ = self._parts
        web.watch(time.monotonic())
        # These imports take half a second, in which the web processes are half ready.
        from service import log
        from service.registry.migrate import upgrade

        log.configure(self._settings.log_level)
        for name in unknown_variables():
            _log().warning("unknown_setting", variable=name, advice="the README lists the settings; is it misspelt?")
        upgrade(self._settings.database)
        self._settings.prepared.touch()

    def _count_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1

    def _announce_when_ready(self) -> None:
        if not self._announced and is_ready(self._settings.local_url):
            self._announced = True
            print(welcome(self._settings.local_url), flush=True)

    def _end(self, wakeup: Wakeup) -> None:
        """Give the parts their time to end; a second signal cuts it short."""
        asked = self._signals
        _log().info("shutting_down", seconds=self._settings.shutdown_seconds)
        for part in self._parts:
            part.terminate()
        deadline = time.monotonic() + self._settings.shutdown_seconds
        while any(part.alive for part in self._parts) and time.monotonic() < deadline and self._signals == asked:
            wakeup.sleep(_TICK)
        for part in self._parts:
            part.kill()


def parts(settings: Settings) -> tuple[Part, Part]:
    """The web processes and the supervisor of jobs, not yet started."""
    web = [sys.executable, "-m", "gunicorn", "-c", "python:service.web", "service.app:create_front_door()"]
    supervisor = [sys.executable, "-m", "service.cli", "supervisor"]
    # One BLAS thread for each process: the jobs' own threads share the cores already.
    quiet = {"OPENBLAS_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    # Where glibc gives memory back after each body of some megabytes and asks for it anew, a tenth of the time goes
    # there.
    keeping = {"MALLOC_TRIM_THRESHOLD_": str(2 * _KEPT_BYTES), "MALLOC_MMAP_THRESHOLD_": str(_KEPT_BYTES)}
    # A child that is killed leaves its temporary files behind, and the runner removes this folder in the end.
    temporary = {"TMPDIR": settings.run_folder} if settings.run_folder else {}
    return (
        Part("web", web, settings.as_environment(keeping, OPENBLAS_NUM_THREADS="1")),
        Part("supervisor", supervisor, settings.as_environment(**quiet, **temporary)),
    )


def check_port(host: str, port: int) -> None:
    """Raise ServeError, saying what to do, where nothing could listen on this address."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # As gunicorn does: connections that wait out their end are no hindrance.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise ServeError(
            f"kerasd cannot listen on {host}:{port} ({error.strerror or error}). A port that is free was expected: "
            "end the program that has it, or choose another: `kerasd serve --port 8001`, or `make serve PORT=8001`."
        ) from error


def is_ready(url: str, seconds: float = 1.0) -> bool:
    """Whether GET /health/ready answers 200 within `seconds`."""
    # Its import takes as long as all else that is done before the web processes are started.
    import urllib.request

    # A proxy that the environment names must not come between a server and its own health check.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/health/ready", timeout=seconds) as response:
            return bool(response.status == 200)
    except (OSError, ValueError):
        return False


def welcome(url: str) -> str:
    """What the terminal shows once the server is ready: the addresses, and a job to paste."""
    return f"""
kerasd is ready:      {url}
Try it in a browser:  {url}/docs

Train a first model:

curl {url}/v1/jobs -H 'Content-Type: application/json' -d '{{
  "model": "first",
  "architecture": {{"layers": [
    {{"type": "Dense", "units": 6, "activation": "tanh"}},
    {{"type": "Dense", "units": 1, "activation": "sigmoid"}}
  ]}},
  "compile": {{"loss": "binary_crossentropy", "optimizer": "adam", "metrics": ["accuracy"]}},
  "fit": {{"epochs": 500}},
  "data": {{
    "x": [[0, 0, 0, 1], [0, 1, 0, 1], [1, 0, 0, 1], [1, 1, 0, 1],
          [0, 0, 1, 0], [0, 1, 1, 0], [1, 0, 1, 0], [1, 1, 1, 0]],
    "y": [0, 1, 1, 0, 0, 1, 1, 0]
  }}
}}'

Ctrl-C ends the server.
"""


def _log() -> Any:
    """The logger; its import takes longer than all else that is done before the web processes are started."""
    import structlog

    return structlog.get_logger()


def _check_data(settings: Settings) -> None:
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=settings.data):
            pass
    except OSError as error:
        raise ServeError(
            f"kerasd cannot write to its data folder {settings.data} ({error.strerror}). A folder that this user may "
            "write to was expected: give one, as in `kerasd serve --data ./data`, or change the folder's owner."
        ) from error


def _end_with_parent() -> Callable[[], None] | None:
    """What a child does before exec, so that the kernel sends it SIGTERM when the runner dies; None but on Linux."""
    if sys.platform != "linux":
        return None
    # The library is loaded here, for between fork and exec next to nothing is safe.
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def ask_the_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask_the_kernel
