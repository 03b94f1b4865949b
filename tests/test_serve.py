"""The runner's parts: backoff, the port's check, the children's environment, and how a child is started again."""

import json
import os
import shlex
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread, Timer

import pytest

from service import cli, serve
from service.config import Settings
from service.serve import Backoff, Part, ServeError, Wakeup, check_port, is_ready, parts, welcome

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def part() -> Iterator[Callable[[list[str]], Part]]:
    made: list[Part] = []

    def make(command: list[str]) -> Part:
        made.append(Part("test", command, dict(os.environ)))
        return made[-1]

    yield make
    for one in made:
        one.kill()


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_delay_doubles_up_to_ten_seconds() -> None:
    """A part that dies at once is started again after 0.5 s, then ever later."""
    backoff = Backoff()
    assert [backoff.delay(0.0) for _ in range(7)] == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_a_minute_of_calm_resets_the_delay() -> None:
    """A part that has lived for 60 s is started again after 0.5 s."""
    backoff = Backoff()
    for _ in range(5):
        backoff.delay(59.9)
    assert [backoff.delay(60.0), backoff.delay(0.0)] == [0.5, 1.0]


def test_a_part_that_dies_is_started_again_after_the_delay(part: Callable[[list[str]], Part]) -> None:
    """Given a dead process, when the delay is over, then another runs; the clock is the caller's."""
    one = part(SLEEP)
    one.watch(now=100.0)
    first = one.pid
    assert first is not None
    os.kill(first, 9)
    wait_for(lambda: not one.alive)
    one.watch(now=101.0)
    one.watch(now=101.4)
    assert not one.alive
    one.watch(now=101.5)
    assert one.alive
    assert one.pid != first


def test_what_a_dead_part_leaves_behind_is_ended(part: Callable[[list[str]], Part], tmp_path: Path) -> None:
    """A grandchild of the same process group does not outlive its parent."""
    line = f"import subprocess, sys; print(subprocess.Popen({SLEEP!r}).pid, file=open({str(tmp_path / 'pid')!r}, 'w'))"
    one = part([sys.executable, "-W", "ignore", "-c", line])
    one.watch(now=0.0)
    wait_for(lambda: not one.alive)
    grandchild = int((tmp_path / "pid").read_text())
    one.watch(now=1.0)
    wait_for(lambda: not running(grandchild))


def test_a_part_has_a_process_group_of_its_own(part: Callable[[list[str]], Part]) -> None:
    """Ctrl-C in a terminal goes to the foreground group, and so not to the parts."""
    one = part(SLEEP)
    one.watch(now=0.0)
    assert one.pid is not None
    assert os.getpgid(one.pid) == one.pid != os.getpgid(0)


def test_terminate_ends_a_part(part: Callable[[list[str]], Part]) -> None:
    """SIGTERM is sent, and a second call on an ended part does no harm."""
    one = part(SLEEP)
    one.terminate()
    one.watch(now=0.0)
    one.terminate()
    wait_for(lambda: not one.alive)
    one.terminate()


def test_a_signal_ends_a_sleep() -> None:
    """One that came before it, too; each ends one sleep, and is handled as ever."""
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: heard.append(number))
    try:
        with Wakeup() as wakeup:
            Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
            started = time.monotonic()
            wakeup.sleep(60)
            os.kill(os.getpid(), signal.SIGUSR1)
            wakeup.sleep(60)
            assert time.monotonic() - started < 30
            wakeup.sleep(0.01)
        assert heard == [signal.SIGUSR1] * 2
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_taken_port_is_an_error_that_says_what_to_do(taken_port: int) -> None:
    """The message names the address and offers another port."""
    with pytest.raises(ServeError, match=f"cannot listen on 127.0.0.1:{taken_port} .*--port 8001"):
        check_port("127.0.0.1", taken_port)


def test_a_free_port_passes() -> None:
    """The check leaves the port free."""
    port = free_port()
    check_port("127.0.0.1", port)
    check_port("127.0.0.1", port)


def test_an_address_of_another_machine_is_an_error() -> None:
    """192.0.2.1 is set aside for documentation: no machine has it."""
    with pytest.raises(ServeError, match=r"cannot listen on 192\.0\.2\.1:8000"):
        check_port("192.0.2.1", 8000)


def test_the_command_serve_ends_with_1_where_the_port_is_taken(
    taken_port: int, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason is on standard error, without a traceback, and no folder was made."""
    monkeypatch.setattr("service.log.configure", lambda level: None)
    assert cli.main(["serve", "--port", str(taken_port), "--data", str(tmp_path / "data")]) == 1
    assert capfd.readouterr().err.startswith("kerasd cannot listen on")
    assert not (tmp_path / "data").exists()


def test_a_data_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "data").write_text("")
    settings = Settings(data=tmp_path / "data", port=free_port())
    with pytest.raises(ServeError, match="cannot write to its data folder"):
        serve.serve(settings)


def test_a_bad_setting_ends_the_command_with_2(capfd: pytest.CaptureFixture[str]) -> None:
    """The variable is named on standard error."""
    assert cli.main(["serve", "--port", "many"]) == 2
    assert capfd.readouterr().err.startswith("KERASD_PORT is 'many'")


def test_the_parts_read_the_runners_settings() -> None:
    """The settings reach the children by their environment, the run folder among them."""
    settings = Settings(port=8123, slots=3, run_folder="/tmp/kerasd-test")
    web, supervisor = parts(settings)
    for one in (web, supervisor):
        assert Settings.from_environment(one.environment) == settings
    assert supervisor.environment["OPENBLAS_NUM_THREADS"] == "1"
    assert (web.name, supervisor.name) == ("web", "supervisor")


def test_web_processes_keep_memory_unless_they_are_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment says of glibc's memory stays; the children of jobs know nothing of it."""
    web, supervisor = parts(Settings())
    assert int(web.environment["MALLOC_MMAP_THRESHOLD_"]) > 2**20
    assert "MALLOC_MMAP_THRESHOLD_" not in supervisor.environment
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")
    assert parts(Settings())[0].environment["MALLOC_MMAP_THRESHOLD_"] == "65536"


def test_what_children_leave_behind_goes_with_the_run_folder() -> None:
    """The supervisor and its children have their temporary files in the folder that the runner removes."""
    _, supervisor = parts(Settings(run_folder="/tmp/kerasd-test"))
    assert supervisor.environment["TMPDIR"] == "/tmp/kerasd-test"


def test_the_welcome_holds_a_job_that_parses() -> None:
    """What is pasted into a shell is a curl call whose body is JSON: Dense 4-6-1 on four columns."""
    text = welcome("http://127.0.0.1:8000")
    command = shlex.split(text[text.index("curl ") : text.index("Ctrl-C")])
    body = json.loads(command[-1])
    assert command[:2] == ["curl", "http://127.0.0.1:8000/v1/jobs"]
    assert body["model"] == "first"
    assert [layer["units"] for layer in body["architecture"]["layers"]] == [6, 1]
    assert {len(row) for row in body["data"]["x"]} == {4}
    assert len(body["data"]["x"]) == len(body["data"]["y"])


@pytest.mark.parametrize(("status", "ready"), [(200, True), (503, False)])
def test_ready_is_a_200(status: int, ready: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a 200 from /health/ready counts, and a proxy in the environment is passed by."""
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:3128")

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health/ready" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the name is the base class's)
            """Keep the test's output clean."""

    with HTTPServer(("127.0.0.1", 0), Health) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        assert is_ready(f"http://127.0.0.1:{server.server_port}") is ready
        thread.join()


def test_health_fails_where_nobody_listens(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The container's health check gets exit code 1 and a line that says why."""
    monkeypatch.setenv("KERASD_PORT", str(free_port()))
    assert cli.main(["health"]) == 1
    assert "not ready" in capfd.readouterr().out


def running(pid: int) -> bool:
    """Whether the process is there and not a zombie that waits for its parent."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")
