"""A trained model as an ONNX file that is proved to answer as Keras does; runs in the job's child process.

`export` converts, then gives the same rows to ONNX Runtime and to Keras. Where the conversion fails or the answers
differ, the file is removed and the version is left to the TensorFlow process: never a reason for a job to fail.

ONNX Runtime is imported inside a function only: its import starts a thread, and a fork after that would hang.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import keras
import onnx

from service.inference.comparison import Answer, Arrays, compare
from service.inference.conversion import RefusedError, convert, forward
from service.inference.signature import Engine, Signature
from service.inference.template import Template, weights_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """Which engine will serve the version; `reason` says why it is not ONNX Runtime.

    `max_difference` is the largest absolute difference from Keras's answers; None where there was nothing to compare.
    `from_template` says that the file was made from one, so that others can be.
    """

    engine: Engine
    reason: str | None
    max_difference: float | None
    from_template: bool = False


def export(
    model: keras.Model,
    signature: Signature,
    x: Arrays,
    path: Path,
    compiled: Answer | None = None,
    answer: Answer | None = None,
    template: Template | None = None,
) -> Exported:
    """Write the model to `path` as ONNX if it can be shown to answer as Keras does.

    `x` holds sample rows by input name, (rows, *shape), from 1 row up. `compiled` is what `forward` gives, and `answer`
    something that answers as it does, if they are there already; a `template` of the same network saves the conversion.
    Never raises for a conversion that fails.
    """
    compiled = compiled or forward(model, signature)
    answer = answer or compiled
    if template is not None:
        # Whatever is wrong with a template, the conversion itself is still to be tried.
        with contextlib.suppress(Exception):
            onnx.save(template.fill(weights_of(model)), path)
            difference = _verify(model, signature, answer, x, path)
            return Exported(engine="onnxruntime", reason=None, max_difference=difference, from_template=True)
    try:
        onnx.save(convert(compiled, signature), path)
        difference = _verify(model, signature, answer, x, path)
    except RefusedError as refusal:
        path.unlink(missing_ok=True)
        return Exported(engine="tensorflow", reason=str(refusal), max_difference=refusal.max_difference)
    except Exception as error:
        # Converters and runtimes raise whatever they like; a version is served by TensorFlow then.
        path.unlink(missing_ok=True)
        return Exported(engine="tensorflow", reason=_sentence(error), max_difference=None)
    return Exported(engine="onnxruntime", reason=None, max_difference=difference)


def _verify(model: keras.Model, signature: Signature, answer: Answer, x: Arrays, path: Path) -> float:
    """Give the largest difference between ONNX Runtime's and Keras's answers, or refuse."""
    from service.inference.runtime import Session

    return compare("ONNX Runtime", Session(path).run, model, signature, answer, x)


def _sentence(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"The conversion to ONNX failed with {type(error).__name__}: {lines[0][:200] if lines else 'no message'}"
