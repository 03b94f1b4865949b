"""BentoML with ONNX Runtime; rows and predictions are its own NumPy type."""

import bentoml
import numpy as np

from benchmarks.serving.apps.network import load


@bentoml.service(workers=2)
class Network:
    def __init__(self) -> None:
        self.run = load()

    @bentoml.api
    def predict(self, instances: np.ndarray) -> np.ndarray:
        return self.run(instances.astype(np.float32))
