"""The engine does what `Model.fit` does, to the bit, as long as XLA is off: for all that the catalog offers.

Weights, the optimizer's state, the seed generators' and the metrics' are compared after the last step, and each
epoch's values. TensorFlow has one thread here: of a gradient with three or more terms (AddN) it adds the others to the
first whose memory is free, which with several threads is not always the same one, in `fit` as little as here.
"""

from typing import Any

import pytest

from service.architecture import catalog
from tests.training import catalog_cases
from tests.training.trainings import assert_parity

#: What Keras says of networks in which something has no effect, which is meant here.
QUIET = pytest.mark.filterwarnings("ignore:Gradients do not exist:UserWarning", "ignore:Layer '.*mask:UserWarning")


@QUIET
@pytest.mark.parametrize("batch_size", [3, 4], ids=["full batches", "last batch not full"])
@pytest.mark.parametrize("family", catalog_cases.FAMILIES)
def test_layers(family: str, batch_size: int) -> None:
    """Each layer type of the catalog, on each side of other layers, learns as in `fit`."""
    assert_parity(catalog_cases.layer_case(family).but(batch_size=batch_size))


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


OPTIMIZERS = [*(entry.type for entry in catalog.entries("optimizer")), *catalog_cases.OPTIMIZERS]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_optimizers(optimizer: Any) -> None:
    """Each optimizer, with its defaults and with what changes its steps, takes those that it takes in `fit`."""
    assert_parity(catalog_cases.optimizer_case(optimizer))


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
@pytest.mark.parametrize("arguments", catalog_cases.OPTIMIZER_ARGUMENTS, ids=lambda given: "-".join(given))
def test_arguments_of_optimizers(optimizer: str, arguments: dict[str, Any]) -> None:
    """Decay, clipping, averaging, accumulation and scaling do as in `fit`, in its last step too."""
    assert_parity(catalog_cases.optimizer_case({"type": optimizer, **arguments}))


@pytest.mark.parametrize("schedule", [entry.type for entry in catalog.entries("schedule")])
def test_schedules(schedule: str) -> None:
    """Each schedule of the catalog, of which a new one needs a case, gives the rates that it gives in `fit`."""
    learning_rate = {"type": schedule, **catalog_cases.SCHEDULES[schedule]}
    assert_parity(catalog_cases.optimizer_case({"type": "SGD", "learning_rate": learning_rate}))
