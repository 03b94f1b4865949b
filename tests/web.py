"""The web processes alone: a real gunicorn on a data folder whose versions were written by hand."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from service.config import Settings
from tests.conftest import ONE_THREAD
from tests.end_to_end.conftest import free_port
from tests.sockets import Client, head


class Web:
    """Gunicorn as `kerasd serve` starts it."""

    def __init__(self, settings: Settings, run_folder: Path, **more: str) -> None:
        self.port = free_port()
        run_folder.mkdir(exist_ok=True)
        (run_folder / "prepared").touch()
        own = {"KERASD_PORT": str(self.port), "KERASD_RUN_FOLDER": str(run_folder), "KERASD_LOG_LEVEL": "info"}
        environment = {name: value for name, value in os.environ.items() if name not in ONE_THREAD}
        given = {f"KERASD_{name.upper()}": value for name, value in more.items()}
        # The tables are those of this release; without the runner, nobody else says so.
        (run_folder / "prepared").touch()
        self.log_file = run_folder / "log"
        command = [sys.executable, "-m", "gunicorn", "-c", "python:service.web", "service.app:create_front_door()"]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**environment, **settings.as_environment(**own, **given)}
            )
        self.master = psutil.Process(self.process.pid)
        wait_for(self.lives, self.log)

    def lives(self) -> bool:
        assert self.process.poll() is None, self.log()
        with contextlib.suppress(OSError), Client(self.port) as client:
            return client.ask(head("GET", "/health/live")).status == 200
        return False

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def workers(self) -> list[psutil.Process]:
        """The processes that answer requests."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return self.master.children()
        return []

    def connections(self) -> list[int]:
        """How many clients each of them has."""
        return [
            len([one for one in worker.net_connections("tcp") if one.status == psutil.CONN_ESTABLISHED])
            for worker in self.workers()
        ]

    def stop(self) -> None:
        """End it, and whatever of it does not end by itself."""
        left = self.workers()
        for worker in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(40)
        finally:
            for process in psutil.wait_procs(left, 5)[1]:
                process.kill()
            self.process.kill()
            self.process.wait(30)


def wait_for(condition: Callable[[], object], explain: Callable[[], str] = str, seconds: float = 60) -> None:
    """Return once the condition holds; fail, with an explanation, if it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.02)
