"""A version in the formats of other programs, each shown to answer as Keras does before it leaves; runs in a child.

export_version -> the model, built anew from its checked architecture -> one function for each format, which writes it
and says how it answers -> compare
"""

import hashlib
import json
import re
import shutil
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from service.architecture import stored
from service.data.store import BLOCK_BYTES, storage_full
from service.errors import Conflict, NotFound
from service.inference import sample
from service.inference.comparison import Answer, Arrays, compare
from service.inference.conversion import RefusedError, by_name, flatten, forward
from service.inference.signature import Signature, TensorSpec

_SIGNATURE = "serving_default"
_NO_NAME = re.compile(r"[^a-z0-9_]")
_OPERATION = re.compile(r'error: loc\(callsite\(fused\["(\w+):')


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The version that is exported: its files, its model, Keras's own answers, and where to write."""

    folder: Path
    work_folder: Path
    model: keras.Model
    signature: Signature
    answer: Answer
    rows: Arrays

    def compare(self, by: str, given: Callable[[Arrays], Arrays]) -> float:
        return compare(by, given, self.model, self.signature, self.answer, self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A file that answers as Keras does; `batch_size` is that of the only batches that it takes, None for any."""

    path: Path
    max_difference: float
    batch_size: int | None = None


def export_version(request: dict[str, Any]) -> dict[str, Any]:
    """Export a version: `folder` is its own, `work_folder` an empty one; returns facts, which `export.json` has too.

    Raises NotFound where the version is deleted meanwhile, and Conflict where the format cannot hold it.
    """
    folder, work_folder = Path(request["folder"]), Path(request["work_folder"])
    try:
        subject, has_sample = _subject(folder, work_folder, Signature.from_json(request["signature"]))
        with storage_full():
            written = _WRITERS[request["format"]](subject)
            facts = _facts(subject, written, has_sample)
            (work_folder / "export.json").write_text(json.dumps(facts))
    except RefusedError as refusal:
        raise Conflict(f"The version cannot be exported as {request['format']}: {refusal}") from refusal
    except FileNotFoundError as error:
        raise NotFound("The version has just been deleted.") from error
    return facts


def _subject(folder: Path, work_folder: Path, signature: Signature) -> tuple[Subject, bool]:
    network, model = stored.load(folder)
    kept = sample.read(folder)
    subject = Subject(
        folder=folder,
        work_folder=work_folder,
        model=model,
        signature=signature,
        answer=forward(model, signature),
        rows=sample.make_up(network, signature) if kept is None else kept,
    )
    return subject, kept is not None


def _facts(subject: Subject, written: Written, has_sample: bool) -> dict[str, Any]:
    """`file` is None where the export is one of the version's own files."""
    return {
        "file": written.path.name if written.path.parent == subject.work_folder else None,
        "sha256": _sha256(written.path),
        "size_bytes": written.path.stat().st_size,
        "max_difference": written.max_difference,
        "compared_rows": min(len(array) for array in subject.rows.values()),
        "compared_on": "training rows" if has_sample else "made-up rows",
        "batch_size": written.batch_size,
    }


def _write_keras(subject: Subject) -> Written:
    """The version's own file, which this service wrote; it is read as a client will."""
    path = subject.folder / "model.keras"
    loaded = keras.saving.load_model(path, compile=False, safe_mode=True)
    again = forward(loaded, subject.signature)

    def answer(batch: Arrays) -> Arrays:
        return _numbers(again(*(tf.constant(batch[spec.name]) for spec in subject.signature.inputs)))

    return Written(path=path, max_difference=subject.compare("the .keras file", answer))


def _write_onnx(subject: Subject) -> Written:
    """The version's own file, too."""
    from service.inference.runtime import Session

    path = subject.folder / "model.onnx"
    return Written(path=path, max_difference=subject.compare("ONNX Runtime", Session(path).run))


def _write_saved_model(subject: Subject) -> Written:
    """A SavedModel, zipped."""
    folder = subject.work_folder / "saved_model"
    names = _save(subject, folder, None)
    serve = tf.saved_model.load(str(folder)).signatures[_SIGNATURE]

    def answer(batch: Arrays) -> Arrays:
        answers = _numbers(serve(**{names[name]: tf.constant(array) for name, array in batch.items()}))
        return {spec.name: answers[names[spec.name]] for spec in subject.signature.outputs}

    difference = subject.compare("the SavedModel", answer)
    path = folder.with_suffix(".zip")
    _zip(folder, path)
    return Written(path=path, max_difference=difference)


def _write_litert(subject: Subject) -> Written:
    """A LiteRT file that takes any batch; where recurrent layers do not allow that, one that takes a row at a time."""
    subject = replace(subject, model=_without_bins(subject.model))
    try:
        return _write_litert_for(subject, None)
    except RefusedError as refusal:
        try:
            return _write_litert_for(subject, 1)
        except RefusedError:
            raise refusal from None


def _without_bins(model: keras.Model) -> keras.Model:
    """The model, its CategoryEncoding layers replaced by such as LiteRT can calculate; all others are shared."""

    def chosen(layer: Any) -> Any:
        return _Compared(layer) if _has_bins(layer) else layer

    return keras.models.clone_model(model, clone_function=chosen) if any(map(_has_bins, model.layers)) else model


def _has_bins(layer: Any) -> bool:
    return isinstance(layer, keras.layers.CategoryEncoding) and layer.output_mode != "one_hot"


class _Compared(keras.layers.Layer):  # type: ignore[misc,unused-ignore]
    """A CategoryEncoding that compares each number with each category, where Keras's own fills bins."""

    def __init__(self, encoding: keras.layers.CategoryEncoding) -> None:
        super().__init__(name=encoding.name)
        self._encoding = encoding

    def call(self, numbers: Any) -> Any:
        ones = keras.ops.one_hot(keras.ops.cast(numbers, "int32"), self._encoding.num_tokens)
        joined = keras.ops.sum if self._encoding.output_mode == "count" else keras.ops.max
        return joined(ones, axis=-2)


def _write_litert_for(subject: Subject, batch_size: int | None) -> Written:
    folder = subject.work_folder / f"saved_model_{batch_size}"
    _save(subject, folder, batch_size)
    content = _convert_to_litert(folder)
    shutil.rmtree(folder)
    answer = _litert_answer(content)
    whole = answer if batch_size is None else _row_by_row(answer)
    difference = subject.compare("the LiteRT file", whole)
    path = subject.work_folder / "model.tflite"
    path.write_bytes(content)
    return Written(path=path, max_difference=difference, batch_size=batch_size)


def _convert_to_litert(folder: Path) -> bytes:
    """Only LiteRT's own operations are used: files that need TensorFlow's could not be compared here."""
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=[_SIGNATURE])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    try:
        return bytes(converter.convert())
    except Exception as error:
        # The converter raises whatever it likes.
        unknown = sorted(set(_OPERATION.findall(str(error))))
        if unknown:
            raise RefusedError(f"TensorFlow's operation {', '.join(unknown)} has no conversion to LiteRT.") from error
        raise RefusedError(f"The conversion to LiteRT failed with {type(error).__name__}.") from error


def _litert_answer(content: bytes) -> Callable[[Arrays], Arrays]:
    with warnings.catch_warnings():
        # The interpreter is to move into a package of its own.
        warnings.simplefilter("ignore", UserWarning)
        interpreter = tf.lite.Interpreter(model_content=content)
    runner = interpreter.get_signature_runner(_SIGNATURE)

    def answer(batch: Arrays) -> Arrays:
        try:
            # The runner's answers lie in memory that its next call uses again.
            return {name: np.array(array) for name, array in runner(**batch).items()}
        except (RuntimeError, ValueError) as error:
            raise RefusedError(f"The LiteRT interpreter failed with {type(error).__name__}.") from error

    return answer


def _row_by_row(answer: Callable[[Arrays], Arrays]) -> Callable[[Arrays], Arrays]:
    def whole(batch: Arrays) -> Arrays:
        rows = range(min(len(array) for array in batch.values()))
        answers = [answer({name: array[row : row + 1] for name, array in batch.items()}) for row in rows]
        return {name: np.concatenate([one[name] for one in answers]) for name in answers[0]}

    return whole


def _save(subject: Subject, folder: Path, batch_size: int | None) -> dict[str, str]:
    """Write a SavedModel whose signature has the version's names, and return how TensorFlow's functions call these.

    Python's arguments cannot have all names that inputs can have, so that they are put in afterwards.
    """
    signature = subject.signature
    names = _python_names([*signature.inputs, *signature.outputs])
    flat = flatten(subject.model, signature)
    given = [tf.TensorSpec((batch_size, *spec.shape), spec.dtype, name=names[spec.name]) for spec in signature.inputs]

    @tf.function(input_signature=given, autograph=False)  # type: ignore[untyped-decorator,unused-ignore]
    def serve(*tensors: Any) -> dict[str, Any]:
        answers = by_name(signature, flat(list(tensors), training=False))
        return {names[name]: tensor for name, tensor in answers.items()}

    module = tf.Module()
    # What is not reachable from the module is not saved.
    module.own_variables = [variable.value for variable in subject.model.variables]
    tf.saved_model.save(module, str(folder), signatures={_SIGNATURE: serve})
    _rename(folder / "saved_model.pb", signature, names)
    return names


def _python_names(specs: Sequence[TensorSpec]) -> dict[str, str]:
    """A name for each that Python's arguments can have; no two are the same."""
    names: dict[str, str] = {}
    for spec in specs:
        name = _NO_NAME.sub("_", spec.name.lower())
        while name in names.values() and spec.name not in names:
            name += "_"
        names.setdefault(spec.name, name)
    return names


def _rename(path: Path, signature: Signature, names: dict[str, str]) -> None:
    message = SavedModel.FromString(path.read_bytes())
    served = message.meta_graphs[0].signature_def[_SIGNATURE]
    for tensors, specs in ((served.inputs, signature.inputs), (served.outputs, signature.outputs)):
        named = {spec.name: type(tensors[names[spec.name]])() for spec in specs}
        for name, tensor in named.items():
            tensor.CopyFrom(tensors[names[name]])
        tensors.clear()
        for name, tensor in named.items():
            tensors[name].CopyFrom(tensor)
    path.write_bytes(message.SerializeToString(deterministic=True))


def _numbers(answers: dict[str, Any]) -> Arrays:
    return {name: tensor.numpy() for name, tensor in answers.items()}


def _zip(folder: Path, path: Path) -> None:
    """Pack the files of a folder and remove it; empty folders in it are packed, too."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for entry in sorted(folder.rglob("*")):
            archive.write(entry, entry.relative_to(folder).as_posix())
    shutil.rmtree(folder)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


_WRITERS: dict[str, Callable[[Subject], Written]] = {
    "keras": _write_keras,
    "onnx": _write_onnx,
    "saved_model": _write_saved_model,
    "litert": _write_litert,
}
