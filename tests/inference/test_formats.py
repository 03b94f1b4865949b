"""Versions in the formats of other programs, as a child makes them."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from service.errors import Conflict, NotFound
from service.inference import formats
from service.inference.export import export
from tests.inference.models import rows_for
from tests.inference.stored_versions import layer, store

LAYERS: dict[str, tuple[list[dict[str, Any]], tuple[int | None, ...]]] = {
    "dense": ([layer("Dense", units=3, activation="gelu")], (4,)),
    "batch normalization": ([layer("BatchNormalization"), layer("Dropout", rate=0.4), layer("Dense", units=2)], (4,)),
    "separable": ([layer("SeparableConv1D", filters=4, kernel_size=3), layer("Flatten")], (6, 3)),
    "bidirectional": ([layer("Masking"), layer("Bidirectional", layer=layer("LSTM", units=3))], (6, 3)),
    "convolution": ([layer("Conv2DTranspose", filters=2, kernel_size=3, strides=2), layer("Flatten")], (4, 4, 2)),
    "unfixed": ([layer("GRU", units=3, return_sequences=True)], (None, 3)),
    "categories": (
        [
            layer("Input", dtype="int32"),
            layer("CategoryEncoding", num_tokens=12),
            layer("CategoryEncoding", num_tokens=2, output_mode="count"),
            layer("Dense", units=3),
        ],
        (7,),
    ),
    "words": (
        [layer("Embedding", input_dim=12, output_dim=3, mask_zero=True), layer("LSTM", units=3)],
        (7,),
    ),
}


def run(tmp_path: Path, form: str, signature: Any) -> dict[str, Any]:
    work_folder = tmp_path / "work"
    work_folder.mkdir(exist_ok=True)
    return formats.export_version(
        {
            "format": form,
            "folder": str(tmp_path / "version"),
            "work_folder": str(work_folder),
            "signature": signature.to_json(),
        }
    )


@pytest.mark.parametrize("form", ["keras", "saved_model", "litert"])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_exported(name: str, form: str, tmp_path: Path) -> None:
    """The file answers as Keras does, on batches of several sizes; its facts lie beside it."""
    layers, shape = LAYERS[name]
    _, _, signature = store(tmp_path / "version", layers, shape)
    facts = run(tmp_path, form, signature)
    assert facts["max_difference"] <= 1e-5
    assert (facts["compared_rows"], facts["compared_on"]) == (33, "training rows")
    assert json.loads((tmp_path / "work" / "export.json").read_text()) == facts
    recurrent = name in ("bidirectional", "unfixed", "words")
    assert facts["batch_size"] == (1 if form == "litert" and recurrent else None)


def test_an_own_file_is_not_copied(tmp_path: Path) -> None:
    """What the version has already is only compared."""
    _, model, signature = store(tmp_path / "version", *LAYERS["dense"], with_sample=False)
    export(model, signature, rows_for(signature), tmp_path / "version" / "model.onnx")
    for form in ("keras", "onnx"):
        facts = run(tmp_path, form, signature)
        assert (facts["file"], facts["compared_on"]) == (None, "made-up rows")
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["export.json"]


def test_a_file_that_answers_otherwise_does_not_leave(tmp_path: Path) -> None:
    """The version's ONNX file is that of other weights: the refusal says by how much they differ."""
    _, model, signature = store(tmp_path / "version", *LAYERS["dense"])
    model.set_weights([weight + 1 for weight in model.get_weights()])
    export(model, signature, rows_for(signature), tmp_path / "version" / "model.onnx")
    with pytest.raises(Conflict, match=r"as onnx: The answers of ONNX Runtime differ from Keras's by up to \d"):
        run(tmp_path, "onnx", signature)


def test_a_saved_model_is_whole(tmp_path: Path) -> None:
    """Unzipped, it is loaded by TensorFlow, and its signature takes any number of rows."""
    _, model, signature = store(tmp_path / "version", *LAYERS["dense"])
    facts = run(tmp_path, "saved_model", signature)
    with zipfile.ZipFile(tmp_path / "work" / facts["file"]) as archive:
        archive.extractall(tmp_path / "saved")
    serve = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    rows = rows_for(signature, rows=3)
    (name,) = rows
    (answer,) = serve(**{name: tf.constant(rows[name])}).values()
    np.testing.assert_allclose(answer, model(rows[name], training=False), atol=1e-6)


def test_what_litert_does_not_have_is_named(tmp_path: Path) -> None:
    """The refusal names TensorFlow's operation."""
    layers = [layer("UpSampling2D", size=2, interpolation="lanczos3"), layer("Flatten")]
    _, _, signature = store(tmp_path / "version", layers, (4, 4, 2))
    with pytest.raises(Conflict, match="as litert: TensorFlow's operation ScaleAndTranslate has no conversion"):
        run(tmp_path, "litert", signature)


def test_a_version_that_is_gone_is_not_found(tmp_path: Path) -> None:
    """It was deleted between the request and the reading."""
    _, _, signature = store(tmp_path / "other", *LAYERS["dense"])
    with pytest.raises(NotFound, match="just been deleted"):
        run(tmp_path, "keras", signature)
