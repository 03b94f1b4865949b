"""The one way of a prediction: what is counted of it, however it ends."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, save

from service.data.store import FileStore
from service.errors import Invalid, KerasdError, Unavailable
from service.inference.predictions import Predictions
from service.inference.predictor import MOST_ROWS, Predictor
from service.inference.runtime import Sessions
from service.inference.signature import Engine
from service.inference.statistics import PredictionStatistics
from service.inference.tensorflow_client import TensorFlowClient
from tests.inference.signatures import one

SIGNATURE = one(2)


@dataclass(frozen=True)
class Version:
    """What the predictions need to know of one."""

    id: str = "ver_00000000000000000000000000"
    model: str = "log"
    number: int = 3
    engine: Engine = "onnxruntime"
    summary: list[dict[str, Any]] = field(default_factory=lambda: [{"output_shape": [None, 2]}])
    parameters: int = 0


@pytest.fixture
def predictions(tmp_path: Path) -> Predictions:
    """Of a version that gives the logarithm of two numbers."""
    files = FileStore(tmp_path)
    temp = files.new_folder()
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 2]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Log", ["x"], ["y"])], "log", [x], [y])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), temp / "model.onnx")
    files.publish(temp, "versions", Version().id)
    predictor = Predictor(files, Sessions(10**6), TensorFlowClient(str(tmp_path / "nobody.sock"), 1))
    return Predictions(predictor, PredictionStatistics(None))


def rows(count: int) -> Callable[[], dict[str, Any]]:
    return lambda: {"x": np.ones((count, 2), np.float32)}


def failing(error: Exception) -> Callable[..., Any]:
    def fail(*given: Any) -> Any:
        raise error

    return fail


def counts(predictions: Predictions) -> tuple[int, ...]:
    (counted,) = predictions.statistics.all()
    assert (counted.model, counted.number, counted.protocol) == ("log", 3, "native")
    return counted.counts


def test_an_answer_is_counted_with_its_rows_and_times(predictions: Predictions) -> None:
    """One execution a slice, and every stage takes some time."""
    answer, timings = predictions.answer(
        Version(), SIGNATURE, "native", rows(MOST_ROWS + 1), lambda outputs: outputs["y"]
    )
    np.testing.assert_array_equal(answer, np.zeros((MOST_ROWS + 1, 2)))
    (counted,) = predictions.statistics.all()
    assert (counted.rows, counted.executions) == (MOST_ROWS + 1, 2)
    assert (counted.read, counted.infer, counted.write) == (timings.read, timings.infer, timings.write)
    assert min(timings.read, timings.infer, timings.write) > 0
    assert counted.durations[0] == counted.read + counted.infer + counted.write


@pytest.mark.parametrize(
    ("error", "due"),
    [(Invalid("no"), (0, 1, 0)), (Unavailable("no"), (0, 0, 1)), (RuntimeError("no"), (0, 0, 1))],
)
@pytest.mark.parametrize("stage", ["read", "write"])
def test_errors_are_counted_and_go_on(
    predictions: Predictions, error: Exception, due: tuple[int, ...], stage: str
) -> None:
    """Those that a client can mend apart from the server's own."""
    read = failing(error) if stage == "read" else rows(1)
    with pytest.raises(type(error)):
        predictions.answer(Version(), SIGNATURE, "native", read, failing(error))
    assert counts(predictions) == due


def test_an_engine_that_is_away_is_the_servers_error(predictions: Predictions) -> None:
    """The TensorFlow process, of which there is none here."""
    version = Version(engine="tensorflow")
    with pytest.raises(KerasdError):
        predictions.answer(version, SIGNATURE, "native", rows(1), dict)
    assert counts(predictions) == (0, 0, 1)


def test_a_version_that_is_gone_is_not_counted(predictions: Predictions) -> None:
    """Its successor is asked, and counted."""
    gone = Version(id="ver_11111111111111111111111111")
    with pytest.raises(KerasdError, match="just been deleted"):
        predictions.answer(gone, SIGNATURE, "native", rows(1), dict)
    assert predictions.statistics.all() == []


def test_an_empty_batch_executes_nothing(predictions: Predictions) -> None:
    """But is a request."""
    predictions.answer(Version(), SIGNATURE, "native", rows(0), dict)
    (counted,) = predictions.statistics.all()
    assert (counted.counts[0], counted.rows, counted.executions) == (1, 0, 0)
