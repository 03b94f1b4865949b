"""Writes MLServer's settings into the current folder and becomes `mlserver start`."""

import json
import os
import socket
import sys
from pathlib import Path

from benchmarks.serving.apps.network import port


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    settings = {
        "host": "127.0.0.1",
        "http_port": port(),
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "parallel_workers": 2,
        "debug": False,
    }
    model = {"name": "network", "implementation": "benchmarks.serving.apps.mlserver_onnx.OnnxNetwork"}
    Path("settings.json").write_text(json.dumps(settings), encoding="utf-8")
    Path("model-settings.json").write_text(json.dumps(model), encoding="utf-8")
    os.execv(sys.executable, [sys.executable, str(Path(sys.executable).with_name("mlserver")), "start", "."])
