"""The engine does what `Model.fit` does, to the bit, as long as XLA is off: for all that the catalog offers.

Weights, the optimizer's state, the seed generators' and the metrics' are compared after the last step, and each
epoch's values. There is one exception. TimeDistributed over a Conv2D with a bias and three or more steps does not come
to the same bits twice even in Keras: its gradient is a sum of three or more terms (AddN), of which TensorFlow adds the
others to the first one whose memory is free at that moment. Here it has two steps.
"""

import pytest

from service.architecture import catalog
from tests.training import catalog_cases
from tests.training.trainings import assert_parity

DENSE = {"type": "Dense", "units": 4, "activation": "tanh"}
DROPOUT = {"type": "Dropout", "rate": 0.4}
#: What Keras says of networks in which something has no effect, which is meant here.
QUIET = pytest.mark.filterwarnings("ignore:Gradients do not exist:UserWarning", "ignore:Layer '.*mask:UserWarning")


@QUIET
@pytest.mark.parametrize("family", catalog_cases.FAMILIES)
def test_layers(family: str) -> None:
    """Each layer type of the catalog, on each side of other layers, learns as in `fit`."""
    assert_parity(catalog_cases.layer_case(family))


@pytest.mark.parametrize("kind", ["activation", "initializer", "regularizer", "constraint"])
def test_choices_of_layers(kind: str) -> None:
    """Each activation, initializer, regularizer and constraint does as in `fit`, by its name and as an object."""
    assert_parity(catalog_cases.dense_case(kind, catalog_cases.choices(kind)))


def test_every_loss_has_a_case() -> None:
    """A loss that is new in the catalog needs a case here."""
    assert set(catalog_cases.LOSSES) == {entry.type for entry in catalog.entries("loss")}


def test_every_metric_has_a_case() -> None:
    """A metric that is new in the catalog needs a case here."""
    assert set(catalog_cases.METRICS) == {entry.type for entry in catalog.entries("metric")}


def test_every_schedule_has_a_case() -> None:
    """A schedule that is new in the catalog needs a case here."""
    assert set(catalog_cases.SCHEDULES) == {entry.type for entry in catalog.entries("schedule")}


def test_losses() -> None:
    """Each loss, as one of many outputs' and validated, gives the same gradients and values."""
    assert_parity(catalog_cases.loss_case(list(catalog_cases.LOSSES)))


def test_losses_with_arguments() -> None:
    """Reductions, logits, smoothing and the like do as in `fit`."""
    assert_parity(catalog_cases.loss_case(catalog_cases.LOSS_ARGUMENTS))


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("target", catalog_cases.TARGETS)
def test_metrics(target: str, weighted: bool) -> None:
    """Each metric has the same value in each epoch, for the training and the validation."""
    assert_parity(catalog_cases.metric_case(target, weighted=weighted))
