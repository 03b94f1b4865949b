"""A plain Keras script: build, compile, fit. TensorFlow is imported before the clock starts, and has run nothing."""

import keras
import tensorflow as tf

from benchmarks.cases import BATCH_SIZE, Case, arrays
from benchmarks.peers.in_process import Fit, measure_fit
from benchmarks.plan import Plan
from benchmarks.readings import Measurement


def measure(case: Case, plan: Plan, variant: str) -> Measurement:
    """`variant` is the number of steps in an execution; empty means Keras's default, 1."""
    tf.config.threading.set_intra_op_parallelism_threads(plan.threads)
    x, y = arrays(case)

    def build() -> Fit:
        model = network(case)
        model.compile(
            optimizer="adam", loss=case.loss, metrics=["accuracy"], steps_per_execution=int(variant) if variant else 1
        )

        def fit(epochs: int) -> float:
            history = model.fit(x, y, batch_size=BATCH_SIZE, epochs=epochs, verbose=0)
            return float(history.history["loss"][-1])

        return fit

    return measure_fit(build, case, plan)


def network(case: Case) -> keras.Model:
    """The case's layers, whose arguments have Keras's own names."""
    layers = [keras.layers.Input(case.row_shape)]
    for layer in case.layers:
        arguments = {name: value for name, value in layer.items() if name != "type"}
        layers.append(getattr(keras.layers, layer["type"])(**arguments))
    return keras.Sequential(layers)
