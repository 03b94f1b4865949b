"""The zygote can be forked from safely."""

import os
import subprocess
import sys

SCRIPT = """
from service.training.zygote import Zygote

zygote = Zygote()
zygote.warm_up()
child = zygote.start("service.training.zygote:report_threads", ())
print(child.connection.recv(), child.collect())
child = zygote.start("time:no_such_function", ())
print(child.collect() != 0)
"""


def test_the_zygote_has_one_thread() -> None:
    """With TensorFlow, Keras, tf2onnx and the builder imported, it has one thread; a child that fails says so."""
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.stdout.split() == ["1", "0", "True"], ended.stderr
