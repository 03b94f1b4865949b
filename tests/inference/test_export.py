"""Exports that hold for the catalog's layers, and refusals that say why."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from keras import layers

from service.inference import conversion
from service.inference.export import Exported, export
from service.inference.runtime import Session
from service.inference.signature import Signature, TensorSpec
from tests.inference.models import answers, dense, rows_for, sequential, signature_of, two_by_two

STACKS: dict[str, tuple[tuple[int | None, ...], list[Any]]] = {
    "masked lstm": ((6, 3), [layers.Masking, lambda: layers.LSTM(4)]),
    "masked gru": ((6, 3), [layers.Masking, lambda: layers.GRU(4, return_sequences=True)]),
    "masked other value": ((6, 3), [lambda: layers.Masking(-1.0), lambda: layers.SimpleRNN(4)]),
    "bidirectional": ((6, 3), [layers.Masking, lambda: layers.Bidirectional(layers.LSTM(4))]),
    "unfixed length": ((None, 3), [lambda: layers.LSTM(4)]),
    "batch normalization": ((6, 3), [layers.BatchNormalization, layers.LayerNormalization]),
    "normalization": ((6,), [lambda: layers.Normalization(mean=1.0, variance=2.0)]),
    "convolution": ((6, 6, 3), [lambda: layers.Conv2D(4, 3), lambda: layers.Conv2DTranspose(2, 3, strides=2)]),
    "upsampling": ((6, 6, 3), [lambda: layers.UpSampling2D(2), layers.MaxPooling2D, layers.GlobalAveragePooling2D]),
    "separable": ((6, 3), [lambda: layers.SeparableConv1D(4, 3), layers.Flatten]),
    "time distributed": ((6, 3), [lambda: layers.TimeDistributed(layers.Dense(2))]),
    "gelu": ((8,), [lambda: layers.Dense(4, activation="gelu")]),
    "celu": ((8,), [lambda: layers.Dense(4, activation="celu")]),
}


def exported(model: keras.Model, folder: Path) -> Exported:
    signature = signature_of(model)
    return export(model, signature, rows_for(signature), folder / "model.onnx")


@pytest.mark.parametrize("name", STACKS)
def test_layers_are_served_by_onnxruntime(name: str, tmp_path: Path) -> None:
    """The layer converts, and its largest difference from Keras is within the tolerance."""
    shape, stack = STACKS[name]
    result = exported(sequential(shape, *(make() for make in stack)), tmp_path)
    assert (result.engine, result.reason) == ("onnxruntime", None)
    assert result.max_difference is not None
    assert result.max_difference < 1e-4


def test_masked_embedding_converts(tmp_path: Path) -> None:
    """Whole-number inputs stay int32 in the file, and rows padded with zeros agree."""
    model = sequential((7,), layers.Embedding(20, 4, mask_zero=True), layers.LSTM(3), dtype="int32")
    assert exported(model, tmp_path).engine == "onnxruntime"
    assert onnx.load(tmp_path / "model.onnx").graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.INT32


@pytest.mark.parametrize(("mode", "size"), [("multi_hot", 8), ("count", 8), ("one_hot", 1), ("one_hot", 3)])
def test_categories_convert_exactly(mode: str, size: int, tmp_path: Path) -> None:
    """Ones, zeros and counts are Keras's own; a number from `num_tokens` on counts for nothing."""
    encoding = layers.CategoryEncoding(5, output_mode=mode)
    result = exported(sequential((size,), encoding, layers.Flatten(), dtype="int32"), tmp_path)
    assert (result.engine, result.max_difference) == ("onnxruntime", 0)


def test_a_negative_number_is_no_category(tmp_path: Path) -> None:
    """Keras makes zeros of it, and so does the file, which could take it for the last one."""
    model = sequential((3,), layers.CategoryEncoding(5, output_mode="one_hot", name="y"), dtype="int32")
    assert exported(model, tmp_path).engine == "onnxruntime"
    x = np.array([[-1, 4, 0], [5, -5, 2]], np.int32)
    np.testing.assert_array_equal(Session(tmp_path / "model.onnx").run({"x": x})["y"], answers(model, x))


def test_attention_converts(tmp_path: Path) -> None:
    """Attention between two inputs converts."""
    query, value = keras.Input((4, 5), name="query"), keras.Input((3, 5), name="value")
    attended = layers.MultiHeadAttention(2, 3)(layers.Attention()([query, value]), value)
    model = keras.Model([query, value], layers.Dot(axes=2)([attended, query]))
    assert exported(model, tmp_path).engine == "onnxruntime"


def test_names_in_the_file_are_the_signatures(tmp_path: Path) -> None:
    """The graph's inputs and outputs bear the architecture's names, and feeding by name gives the right outputs."""
    model = two_by_two()
    exported(model, tmp_path)
    left, right = np.ones((2, 4), np.float32), np.full((2, 4), 2, np.float32)
    outputs = Session(tmp_path / "model.onnx").run({"right": right, "left": left})
    assert sorted(outputs) == ["both", "sum"]
    np.testing.assert_allclose(outputs["sum"], left + right)
    np.testing.assert_allclose(outputs["both"], np.concatenate([left, right], axis=1))


def test_names_that_differ_by_a_dash_alone(tmp_path: Path) -> None:
    """Inputs `a-b` and `a_b` are told apart."""
    one, two = keras.Input((2,), name="a-b"), keras.Input((3,), name="a_b")
    model = keras.Model([one, two], layers.Concatenate(name="y")([one, two]))
    assert exported(model, tmp_path).engine == "onnxruntime"


def test_outputs_that_are_a_dict_keep_their_names(tmp_path: Path) -> None:
    """Keras sorts the keys of a dict of outputs; the file follows the names and not the order."""
    given = keras.Input((4,), name="x")
    outputs = {"z": layers.Dense(2, name="z")(given), "a": layers.Dense(3, name="a")(given)}
    model = keras.Model(given, outputs)
    specs = (
        TensorSpec(name="z", shape=(2,), dtype="float32"),
        TensorSpec(name="a", shape=(3,), dtype="float32"),
    )
    signature = Signature(inputs=(TensorSpec(name="x", shape=(4,), dtype="float32"),), outputs=specs)
    result = export(model, signature, rows_for(signature), tmp_path / "model.onnx")
    assert result.engine == "onnxruntime"
    assert Session(tmp_path / "model.onnx").run(rows_for(signature))["z"].shape == (5, 2)


def test_one_sample_row_is_enough(tmp_path: Path) -> None:
    """One row is repeated up to the largest batch that is compared."""
    model = dense()
    signature = signature_of(model)
    result = export(model, signature, rows_for(signature, rows=1), tmp_path / "model.onnx")
    assert result.engine == "onnxruntime"


def test_an_output_named_as_an_input_is_left_to_tensorflow(tmp_path: Path) -> None:
    """ONNX has one space of names, so a network that gives an input back cannot be written."""
    given = keras.Input((4,), name="x")
    result = exported(keras.Model(given, [layers.Dense(2, name="y")(given), given]), tmp_path)
    assert result.engine == "tensorflow"
    assert "x is both an input and an output" in str(result.reason)
    assert not (tmp_path / "model.onnx").exists()


class Bessel(keras.layers.Layer):
    """A layer with an operation that ONNX does not have."""

    def call(self, inputs: Any) -> Any:
        import tensorflow as tf

        return tf.math.bessel_i0(inputs)


def test_an_operation_without_conversion_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The reason names the operation, no file stays, and the converter prints nothing."""
    result = exported(sequential((4,), Bessel()), tmp_path)
    assert result == Exported(
        engine="tensorflow", reason="TensorFlow's operation BesselI0 has no conversion to ONNX.", max_difference=None
    )
    assert list(tmp_path.iterdir()) == []
    assert "not supported" not in "".join(capfd.readouterr())


def test_a_converter_that_breaks_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the converter raises becomes the reason."""

    def broken(*_: Any, **__: Any) -> None:
        raise KeyError("boom")

    monkeypatch.setattr(conversion.tf2onnx.convert, "from_function", broken)
    result = exported(dense(), tmp_path)
    assert result.reason == "The conversion to ONNX failed with KeyError: 'boom'"


def test_answers_that_differ_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that answers otherwise than Keras is removed, and the reason says by how much."""
    true_run = Session.run
    monkeypatch.setattr(
        Session, "run", lambda self, arrays: {name: array + 0.5 for name, array in true_run(self, arrays).items()}
    )
    result = exported(dense(), tmp_path)
    assert result.engine == "tensorflow"
    assert result.reason == "The answers of ONNX Runtime differ from Keras's by up to 0.5."
    assert result.max_difference == pytest.approx(0.5, abs=1e-3)
    assert not (tmp_path / "model.onnx").exists()


def diverged(model: keras.Model) -> keras.Model:
    """The model as after a training that went wrong: each weight is NaN."""
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    return model


def test_weights_that_are_not_numbers_agree_on_nan(tmp_path: Path) -> None:
    """A training that diverged answers NaN in both engines, which is the same answer."""
    model = diverged(dense("linear"))
    assert exported(model, tmp_path).engine == "onnxruntime"
    assert np.isnan(answers(model, np.ones((1, 4), np.float32))).all()


def test_nan_in_one_engine_alone_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No NaN is reported as the largest difference, since JSON has none; the reason says what differs."""
    true_run = Session.run
    monkeypatch.setattr(
        Session, "run", lambda self, arrays: {name: array * np.nan for name, array in true_run(self, arrays).items()}
    )
    result = exported(dense(), tmp_path)
    assert result.max_difference is None
    assert result.reason == "ONNX Runtime and Keras differ in which answers are infinite or not a number."
