"""Templates hold what does not depend on the weights, and are filled with those that the model has in the end."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from keras import layers

from service.inference import template
from service.inference.conversion import RefusedError, forward
from service.inference.export import export
from service.inference.runtime import Session
from service.inference.template import Template, can_draft, draft, trace, weights_of
from tests.inference.models import answers, dense, rows_for, sequential, signature_of, two_by_two

STACKS: dict[str, tuple[tuple[int | None, ...], list[Any]]] = {
    "dense": ((4,), [lambda: layers.Dense(3, activation="gelu"), lambda: layers.Dense(2, use_bias=False)]),
    "convolution": ((6, 6, 3), [lambda: layers.Conv2D(4, 3), layers.BatchNormalization, layers.Flatten]),
    "normalization": ((6,), [lambda: layers.Normalization(mean=1.0, variance=2.0), lambda: layers.Dense(2)]),
    "categories": ((6,), [lambda: layers.ReLU(), lambda: layers.CategoryEncoding(3), lambda: layers.Dense(2)]),
    "gru": ((6, 3), [layers.Masking, lambda: layers.GRU(4, dropout=0.5)]),
    "attention": ((None, 4), [layers.LayerNormalization, layers.GlobalAveragePooling1D, lambda: layers.Dense(2)]),
}


def drafted(model: keras.Model) -> Template:
    signature = signature_of(model)
    return draft(trace(model, signature), signature)


def change(model: keras.Model) -> None:
    """Give all weights other numbers, as a training does."""
    random = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(random.uniform(0.5, 1.5, weight.shape).astype(weight.dtype))


@pytest.mark.parametrize("name", STACKS)
def test_a_template_is_filled_with_the_weights_of_later(name: str, tmp_path: Path) -> None:
    """Drafted before the weights change, it answers as the model does after it, in batches of any size."""
    shape, stack = STACKS[name]
    model = sequential(shape, *(make() for make in stack))
    made = drafted(model)
    change(model)
    onnx.save(made.fill(weights_of(model)), tmp_path / "model.onnx")
    for rows in (1, 5):
        x = rows_for(signature_of(model), rows)["x"]
        (answer,) = Session(tmp_path / "model.onnx").run({"x": x}).values()
        np.testing.assert_allclose(answer, answers(model, x), rtol=1e-5, atol=1e-5)


def test_the_template_itself_has_no_weights() -> None:
    """What is kept is the structure: filled with nothing, the file lacks each weight by its name."""
    made = drafted(dense())
    kept = {tensor.name for tensor in onnx.ModelProto.FromString(made.model).graph.initializer}
    assert all(made.names)
    assert kept.isdisjoint(made.names)


def test_weights_without_a_use_are_left_out() -> None:
    """What an answer does not depend on has no name in the file."""
    model = sequential((6, 3), layers.GRU(4, reset_after=False, dropout=0.5), layers.Dense(1, name="y"))
    assert len(drafted(model).names) == len(weights_of(model))
    unused = two_by_two()
    assert drafted(unused).names == ()


def test_filling_asks_for_every_weight() -> None:
    """Weights of another model do not pass for those of this one."""
    with pytest.raises(ValueError, match=r"shorter|longer"):
        drafted(dense()).fill([np.zeros(3, np.float32)])


@pytest.mark.parametrize("stack", [[layers.LSTM(2)], [layers.Bidirectional(layers.LSTM(2))]], ids=["alone", "wrapped"])
def test_lstm_layers_are_left_to_the_conversion(stack: list[Any]) -> None:
    """With its weights in place an LSTM becomes ONNX's own operation; as inputs they would make a slow loop of it."""
    assert not can_draft(sequential((6, 3), *stack))
    assert can_draft(dense())


def test_what_has_no_conversion_is_refused() -> None:
    """An operation that the converter does not know raises, and so makes no template."""
    with pytest.raises(RefusedError, match="PartitionedCall"):
        drafted(sequential((6, 6, 4), layers.Conv2D(4, 2, groups=2)))


def test_an_input_may_not_have_the_name_of_a_weight() -> None:
    """Then nobody could tell them apart in the file."""
    given = keras.Input((4,), name="weight_0")
    with pytest.raises(RefusedError, match="name of a weight"):
        drafted(keras.Model(given, layers.Dense(2, name="y")(given)))


def test_a_template_that_fails_is_no_failure_of_the_export(tmp_path: Path) -> None:
    """The network is converted with its weights then."""
    model = dense()
    signature = signature_of(model)
    broken = Template(model=b"no file", names=drafted(model).names)
    x, compiled = rows_for(signature), forward(model, signature)
    result = export(model, signature, x, tmp_path / "model.onnx", compiled, compiled, broken)
    assert (result.engine, result.from_template) == ("onnxruntime", False)
    good = export(model, signature, x, tmp_path / "model.onnx", compiled, compiled, drafted(model))
    assert (good.engine, good.from_template) == ("onnxruntime", True)


def test_a_template_is_read_as_it_was_written(tmp_path: Path) -> None:
    """What is kept on disk fills to the same file; what is damaged is none."""
    made = drafted(dense())
    path = tmp_path / "cache" / "one"
    template.write(made, path)
    assert template.read(path) == made
    path.write_bytes(path.read_bytes()[:50])
    assert template.read(path) is None
    assert template.read(tmp_path / "missing") is None
