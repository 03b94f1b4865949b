"""What the zygote imports before it forks: everything slow that every child needs, and nothing that starts a thread.

onnxruntime starts a thread as it is imported, and a process forked after that hangs; so the children import it, each
for itself. PyArrow does so, too, and Keras imports it where pandas is installed: here pandas is not.
"""

import gc

# This goes before Keras.
import service.training.no_pandas

# isort: split
import keras  # noqa: F401  (imported for its side effect: it is in memory before the fork)
import onnx  # noqa: F401
import tensorflow  # noqa: F401  # type: ignore[import-untyped]
import tf2onnx  # noqa: F401

import service.architecture.build
import service.architecture.graph
import service.architecture.plan
import service.inference.export
import service.training.importing
import service.training.standby  # noqa: F401

# What is in memory now stays: a fork's collector must not touch it, or its pages would be copied.
gc.collect()
gc.freeze()
