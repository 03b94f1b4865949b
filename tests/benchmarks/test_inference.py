"""The command line of the benchmarks of inference, the bodies that are sent, and the checks; nothing is timed here."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from marshmallow import ValidationError

from benchmarks import inference
from benchmarks.inference import parser, plan_of
from benchmarks.serving import load
from benchmarks.serving.dialects import (
    Answer,
    bare_list,
    constant,
    instances,
    npy,
    open_inference,
    open_inference_binary,
)
from benchmarks.serving.environments import REQUIREMENTS, requirements_of
from benchmarks.serving.memory import command_line, cpu_seconds, descendants, memory
from benchmarks.serving.networks import NETWORKS, Network
from benchmarks.serving.origin import Served
from benchmarks.serving.plan import CONNECTIONS, QUICK, Part, Plan
from benchmarks.serving.readings import Readings
from benchmarks.serving.running import NotServed, ServerFailed, started, wait_until
from benchmarks.serving.servers import APPS, SERVERS, Server
from benchmarks.serving.subject import Subject, check
from service.architecture.graph import read_architecture
from service.errors import Fault
from service.inference.instances import decode
from service.inference.signature import Signature, TensorSpec
from service.inference.tensors import read_inputs
from service.schemas.jobs import Submission

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("network", NETWORKS.values(), ids=lambda network: network.name)
def test_each_network_is_a_request_that_kerasd_takes(network: Network) -> None:
    """The layers are known, the labels are in range, and the same arrays come each time."""
    x, y = network.training_arrays()
    assert x.shape[1:] == network.row_shape
    assert 0 <= y.min() < y.max() < (network.classes or 2)
    assert np.array_equal(x, network.training_arrays()[0])
    body = network.submission("ds_1")
    faults: list[Fault] = []
    try:
        Submission().load(body)
    except ValidationError as error:
        pytest.fail(str(error))
    assert read_architecture(body["architecture"], "/architecture", faults) is not None
    assert faults == []


@pytest.mark.parametrize("network", NETWORKS.values(), ids=lambda network: network.name)
def test_all_bodies_hold_the_same_numbers(network: Network) -> None:
    """JSON is written as the rows were rounded, and read as the very float32 that the binary forms have."""
    rows = network.rows(3)
    signature = Signature(inputs=(TensorSpec(name="x", shape=network.row_shape, dtype="float32"),), outputs=())
    text = json.loads(instances("/p").call(network.name, "x", rows).body)
    assert np.array_equal(decode(text["instances"], signature)["x"], rows)
    flat = json.loads(open_inference("/p").call(network.name, "x", rows).body)
    assert np.array_equal(read_inputs(flat["inputs"], memoryview(b""), signature)["x"], rows)
    binary = open_inference_binary("/p").call(network.name, "x", rows)
    length = int(binary.headers["Inference-Header-Content-Length"])
    inputs = json.loads(binary.body[:length])["inputs"]
    assert np.array_equal(read_inputs(inputs, memoryview(binary.body)[length:], signature)["x"], rows)
    assert np.array_equal(npy("/p").read(answer_of(npy("/p").call(network.name, "x", rows).body)), rows)


def test_a_path_has_the_networks_name() -> None:
    """kerasd serves both networks at once; its peers one each."""
    assert SERVERS["kerasd"].json.call("dense", "x", NETWORKS["dense"].rows(1)).path == "/v1/models/dense/predict"


def test_answers_of_all_dialects_are_read() -> None:
    """Each gives the numbers alone."""
    head = b'{"outputs": [{"name": "y", "shape": [2, 1], "parameters": {"binary_data_size": 8}}]}'
    headers = {"inference-header-content-length": str(len(head))}
    binary = Answer(status=200, body=head + np.array([1, 2], dtype=np.float32).tobytes(), headers=headers)
    assert instances("/").read(answer_of(b'{"predictions": [[1], [2]], "version": 1}')).tolist() == [[1], [2]]
    assert bare_list("/").read(answer_of(b"[[1], [2]]")).tolist() == [[1], [2]]
    assert open_inference("/").read(answer_of(b'{"outputs": [{"data": [1, 2]}]}')).tolist() == [1, 2]
    assert open_inference_binary("/").read(binary).tolist() == [[1], [2]]
    assert constant(instances("/"), "/").read(answer_of(b"anything")).size == 0


def answer_of(body: bytes, status: int = 200) -> Answer:
    return Answer(status=status, body=body, headers={})


def subject_of(server: Server) -> Subject:
    """A server whose network answers 0.5 and 0.25 to its first two rows."""
    served = Served(
        network=NETWORKS["dense"],
        input_name="x",
        onnx=Path("model.onnx"),
        keras=Path("model.keras"),
        answer=b"",
        expected=np.array([[0.5], [0.25]], dtype=np.float32),
    )
    return Subject(server=server, served=served, plan=Plan(), readings=Readings(), port=1, pid=1)


def test_an_answer_is_compared_with_keras() -> None:
    """As many values as there are rows, each within a hundred-thousandth."""
    subject = subject_of(SERVERS["fastapi"])
    check(answer_of(b'{"predictions": [[0.500009], [0.25]]}'), subject, instances("/"), 2)
    for wrong in (b'{"predictions": [[0.50002], [0.25]]}', b'{"predictions": [[0.5]]}', b"[]", b"none"):
        with pytest.raises(ServerFailed, match="2 row"):
            check(answer_of(wrong), subject, instances("/"), 2)


def test_a_status_tells_what_is_not_served_from_what_failed() -> None:
    """A floor's body is not looked at, its status is."""
    check(answer_of(b"constant"), subject_of(SERVERS["asgi"]), constant(instances("/"), "/"), 1)
    with pytest.raises(ServerFailed, match="status 500: broken"):
        check(answer_of(b"broken", 500), subject_of(SERVERS["asgi"]), constant(instances("/"), "/"), 1)
    with pytest.raises(NotServed, match="not served: status 415"):
        check(answer_of(b"", 415), subject_of(SERVERS["kerasd"]), npy("/"), 1)


def test_quick_changes_defaults_and_gives_way_to_the_command_line() -> None:
    """--quick with an own size keeps the size."""
    plan = plan_of(parser().parse_args(["--quick", "--seconds", "3", "--connections", "8", "--only", "single,busy"]))
    wanted = {**QUICK, "seconds": 3, "connections": (8,), "parts": (Part.SINGLE, Part.BUSY)}
    assert plan == Plan(**wanted)


def test_without_options_everything_is_measured() -> None:
    """All servers, networks, parts and connections."""
    given = parser().parse_args([])
    assert given.servers == list(SERVERS.values())
    assert given.network == list(NETWORKS.values())
    assert plan_of(given) == Plan(connections=CONNECTIONS, parts=tuple(Part))


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--servers", "kerasd,gnu", "gnu is not one of kerasd, asgi"),
        ("--network", "lstm", "lstm is not one of dense, conv2d"),
        ("--only", "all", "all is not one of single, rows"),
        ("--connections", "8,0", "at least 1 was expected"),
    ],
)
def test_what_is_unknown_is_refused(option: str, value: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The message lists what there is."""
    with pytest.raises(SystemExit):
        parser().parse_args([option, value])
    assert message in capsys.readouterr().err


def test_without_wrk_nothing_is_started(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The message tells where it comes from."""
    monkeypatch.setenv("PATH", "")
    assert not load.is_installed()
    with pytest.raises(SystemExit):
        inference.main([])
    assert "apt-get install wrk" in capsys.readouterr().err


def test_an_earlier_run_is_drawn_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From its raw readings, without measuring anything."""
    readings = Readings()
    readings.add("kerasd", "dense", "rate@8", 1234.0)
    file = tmp_path / "readings.json"
    file.write_text(json.dumps(inference.to_json(readings, inference.describe(), Plan())))
    assert inference.main(["--redraw", str(file), "--markdown"]) == 0
    assert "| kerasd | 1,234 |" in capsys.readouterr().out


def test_every_server_has_its_application_and_its_environment() -> None:
    """What a command names is there, and each requirement is pinned."""
    for server in SERVERS.values():
        named = re.findall(rf"{re.escape(APPS)}\.(\w+)", " ".join([*server.command, *server.prepare]))
        assert all((ROOT / "benchmarks/serving/apps" / f"{name}.py").exists() for name in named)
        assert named or server.name in ("kerasd", "mlflow")
    assert {server.environment for server in SERVERS.values()} - {None} == REQUIREMENTS.keys()
    for name in REQUIREMENTS:
        assert all("==" in line for line in requirements_of(name).splitlines())


def test_a_server_and_its_children_are_ended(tmp_path: Path) -> None:
    """Also a child with a session of its own that ignores being asked to end."""
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"
    script = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {stubborn!r}], start_new_session=True, stdout=-1)\n"
        "child.stdout.readline(); print('ready', flush=True); child.wait()"
    )
    log = tmp_path / "log"
    with started([sys.executable, "-c", script], {}, tmp_path) as process:
        wait_until(lambda: "ready" in log.read_text(), process, log)
        (child,) = descendants(process.pid)
        assert stubborn in command_line(child)
        assert memory([process.pid, child]).rss > memory([child]).pss > 0
        assert cpu_seconds([process.pid, child]) > 0
    assert process.returncode is not None
    assert command_line(child) == ""


def test_a_server_that_ends_at_its_start_is_told_with_its_log(tmp_path: Path) -> None:
    """Nobody waits for it."""
    command = [sys.executable, "-c", "raise SystemExit('no such port')"]
    with pytest.raises(ServerFailed, match="no such port"), started(command, {}, tmp_path) as process:
        wait_until(lambda: False, process, tmp_path / "log")
