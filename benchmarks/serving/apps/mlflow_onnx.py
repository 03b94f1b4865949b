"""Logs the ONNX file as an MLflow model of Python's kind, in the folder `model` of the current one."""

from typing import Any

import mlflow
import numpy as np

from benchmarks.serving.apps.network import Array, load


class Network(mlflow.pyfunc.PythonModel):
    def load_context(self, context: Any) -> None:
        self.run = load()

    def predict(self, context: Any, model_input: Array, params: Any = None) -> Array:
        return self.run(np.asarray(model_input, dtype=np.float32))


if __name__ == "__main__":
    from benchmarks.serving.apps.mlflow_onnx import Network as ImportedNetwork

    mlflow.pyfunc.save_model("model", python_model=ImportedNetwork(), pip_requirements=["onnxruntime"])
