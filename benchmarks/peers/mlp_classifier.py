"""scikit-learn's MLPClassifier with the case's hidden layer, Adam and batches of the same size."""

import warnings

from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from benchmarks.cases import BATCH_SIZE, Case, arrays
from benchmarks.peers.in_process import Fit, measure_fit
from benchmarks.plan import Plan
from benchmarks.readings import Measurement


def measure(case: Case, plan: Plan, variant: str) -> Measurement:
    """No penalty and no early stop, so that it does the others' work."""
    # It warns that it did not converge, which in a fixed number of epochs nobody expects.
    warnings.simplefilter("ignore", ConvergenceWarning)
    x, y = arrays(case)

    def fit(epochs: int) -> float:
        network = MLPClassifier(
            hidden_layer_sizes=(case.layers[0]["units"],),
            batch_size=BATCH_SIZE,
            max_iter=epochs,
            n_iter_no_change=epochs + 1,
            alpha=0.0,
            epsilon=1e-7,
        )
        return float(network.fit(x, y).loss_)

    def build() -> Fit:
        return fit

    return measure_fit(build, case, plan)
