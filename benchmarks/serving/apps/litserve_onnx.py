"""LitServe with ONNX Runtime."""

from typing import Any

import litserve
import numpy as np

from benchmarks.serving.apps.network import Array, load, port


class Network(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.run = load()

    def decode_request(self, request: dict[str, Any], **_: Any) -> Array:
        return np.array(request["instances"], dtype=np.float32)

    def predict(self, x: Array, **_: Any) -> Array:
        return self.run(x)

    def encode_response(self, output: Array, **_: Any) -> dict[str, Any]:
        return {"predictions": output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Network(), accelerator="cpu", workers_per_device=2)
    server.run(host="127.0.0.1", port=port(), generate_client_file=False, log_level="warning")
