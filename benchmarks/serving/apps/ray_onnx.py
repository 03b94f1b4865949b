"""Ray Serve with ONNX Runtime: two replicas behind its HTTP proxy."""

import signal
from typing import Any

import numpy as np
import ray
from ray import serve
from starlette.requests import Request

from benchmarks.serving.apps.network import load, port


class Network:
    def __init__(self) -> None:
        self.run = load()

    async def __call__(self, request: Request) -> dict[str, Any]:
        rows = np.array((await request.json())["instances"], dtype=np.float32)
        return {"predictions": self.run(rows).tolist()}


if __name__ == "__main__":
    ray.init(include_dashboard=False, logging_level="warning")
    serve.start(http_options={"host": "127.0.0.1", "port": port()})
    replicas = serve.deployment(num_replicas=2, ray_actor_options={"num_cpus": 0.5}, max_ongoing_requests=100)
    serve.run(replicas(Network).bind(), route_prefix="/predict")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
