"""The network that a peer serves: the ONNX file of kerasd's version, with the session options that all have.

It is run by each peer's own Python, and so needs no more than NumPy and ONNX Runtime.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def load() -> Callable[[Array], Array]:
    """Load the file that BENCH_ONNX names; what comes back maps rows to predictions, both float32.

    One thread a call and no spinning, as in kerasd: the two workers that each server has are the parallelism.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        os.environ["BENCH_ONNX"], sess_options=options, providers=["CPUExecutionProvider"]
    )
    inputs, outputs = [session.get_inputs()[0].name], [session.get_outputs()[0].name]

    def predict(rows: Array) -> Array:
        answer: Array = session.run(outputs, {inputs[0]: rows})[0]
        return answer

    return predict


def port() -> int:
    return int(os.environ["BENCH_PORT"])


def constant() -> bytes:
    """The answer of the floors, as long as kerasd's to one row."""
    return os.environ["BENCH_ANSWER"].encode()
