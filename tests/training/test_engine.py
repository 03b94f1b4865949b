"""`fit` in compiled chunks is `Model.fit`: in what it takes, in what it tells, and in the bits that it leaves."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from service.architecture import catalog
from service.architecture.network import Input, Network
from service.training import engine
from service.training.checkpoint import Position
from service.training.rows import Memory, Stream, feed
from tests.training.trainings import Case, Noted, assert_parity, assert_same, by_engine, case, floats, named, ready, run

DENSE = {"type": "Dense", "units": 4, "activation": "tanh"}
DROPOUT = {"type": "Dropout", "rate": 0.4}
BATCHES = {"type": "BatchNormalization"}


def classified(**changes: Any) -> Case:
    """Three classes, told apart by logits."""
    loss = {"type": "SparseCategoricalCrossentropy", "from_logits": True}
    return case((4,), DENSE, out=3, y=(np.arange(10) * 3 % 7 % 3,), losses=(loss,), metrics=(("accuracy",),), **changes)


def two_by_two() -> Case:
    """Two inputs, two outputs with losses, metrics and weights of their own, and a weight for each row."""
    network = Network(
        inputs=tuple(Input(name=name, shape=(3,), dtype="float32", pointer="") for name in ("left", "right")),
        layers=(
            named("both", "Concatenate", {}, "left", "right"),
            named("body", "Dense", {"units": 4, "activation": "relu"}, "both"),
            named("number", "Dense", {"units": 1}, "body"),
            named("label", "Dense", {"units": 1, "activation": "sigmoid"}, "body"),
        ),
        outputs=("number", "label"),
    )
    x = floats(10, 3, seed=1), floats(10, 3, seed=2)
    y = floats(10, 1, seed=3), (floats(10, 1, seed=4) > 0).astype("float32")
    return Case(
        network=network,
        shapes={"left": (3,), "right": (3,)},
        x=x,
        y=y,
        losses=("mse", "binary_crossentropy"),
        metrics=(("mae",), ("accuracy", "AUC")),
        loss_weights=(1.0, 0.25),
    )


WEIGHT = np.linspace(0.2, 3, 10).astype("float32")
FITS: dict[str, Case] = {
    "last batch of one row": case((3,), DENSE, batch_size=3),
    "all batches full": case((3,), DENSE, DROPOUT, BATCHES, batch_size=5, optimizer="adam"),
    "all batches full, in the validation": case((3,), DENSE, BATCHES, batch_size=2, validation_split=0.3),
    "batch larger than the data": case((3,), DENSE, batch_size=64),
    "batch of one": case((3,), DENSE, DROPOUT, BATCHES, batch_size=1),
    "shuffled": case((3,), DENSE, DROPOUT, shuffle=True, epochs=3),
    "shuffled and weighted": case((3,), DENSE, weight=WEIGHT, shuffle=True),
    "validation_split": case((3,), DENSE, DROPOUT, BATCHES, validation_split=0.3, metrics=(("mae",),)),
    "validation_freq": case((3,), DENSE, validation_split=0.3, validation_freq=2, epochs=5),
    "validation_batch_size": case((3,), DENSE, validation_split=0.4, validation_batch_size=3, batch_size=2),
    "validation_data": case((3,), DENSE, validation=((floats(7, 3),), (floats(7, 1),), None)),
    "validation_data, weighted": case(
        (3,), DENSE, weight=WEIGHT, validation=((floats(7, 3),), (floats(7, 1),), WEIGHT[:7])
    ),
    "sample_weight and validation_split": case((3,), DENSE, weight=WEIGHT, validation_split=0.3, metrics=(("mae",),)),
    "class_weight": classified(class_weight={0: 0.5, 2: 4.0}),
    "class_weight and validation_split": classified(class_weight={1: 3.0}, validation_split=0.3),
    "two inputs and outputs": two_by_two(),
    "two inputs and outputs, weighted": two_by_two().but(weight=WEIGHT, validation_split=0.2, shuffle=False),
    "LSTM with dropout": case((4, 3), {"type": "LSTM", "units": 3, "dropout": 0.3, "recurrent_dropout": 0.2}),
}


@pytest.mark.parametrize("name", FITS)
def test_what_fit_takes(name: str) -> None:
    """Batches, orders, weights, validations, inputs and outputs of every kind end as in Keras."""
    assert_parity(FITS[name])


CALLBACKS: dict[str, list[Any]] = {
    "stop": [{"type": "EarlyStopping", "monitor": "loss", "min_delta": 0.05, "patience": 1}],
    "stop and restore": [
        {"type": "EarlyStopping", "monitor": "val_loss", "patience": 2, "restore_best_weights": True},
    ],
    "stop late": [{"type": "EarlyStopping", "monitor": "loss", "min_delta": 9.0, "start_from_epoch": 3}],
    "reduce": [{"type": "ReduceLROnPlateau", "monitor": "loss", "patience": 1, "min_delta": 0.1, "cooldown": 1}],
    "reduce and stop": [
        {"type": "ReduceLROnPlateau", "monitor": "val_loss", "factor": 0.5, "patience": 0},
        {"type": "EarlyStopping", "monitor": "val_loss", "patience": 3, "restore_best_weights": True},
    ],
}


@pytest.mark.parametrize("name", CALLBACKS)
def test_callbacks(name: str) -> None:
    """Each callback stops, restores and reduces in the epoch in which it does so in `fit`."""
    wild = {"type": "SGD", "learning_rate": 0.9}
    assert_parity(
        case(
            (3,), DENSE, optimizer=wild, epochs=12, validation_split=0.3, callbacks=CALLBACKS[name], metrics=(("mae",),)
        )
    )


def test_nan_ends_the_training_inside_an_epoch() -> None:
    """TerminateOnNaN stops after the step whose loss is not finite, and the epoch ends there."""
    boom = {"type": "SGD", "learning_rate": 1e5}
    outcome = assert_parity(case((3,), optimizer=boom, epochs=9, callbacks=["TerminateOnNaN"]))
    assert len(outcome.rows) < 9
    assert outcome.rows[-1]["loss"] is None


LAYERS = st.sampled_from(
    [
        {"type": "Dense", "units": 3, "activation": "gelu", "kernel_regularizer": "L2"},
        {"type": "Dense", "units": 2, "use_bias": False, "kernel_constraint": "UnitNorm"},
        {
            "type": "Dense",
            "units": 5,
            "activation": "softmax",
            "bias_initializer": "ones",
            "activity_regularizer": "L1",
        },
        DROPOUT,
        {"type": "GaussianNoise", "stddev": 0.1},
        BATCHES,
        {"type": "LayerNormalization"},
        {"type": "PReLU"},
    ]
)
OPTIMIZERS = st.sampled_from([entry.type for entry in catalog.entries("optimizer")])
LOSSES = st.sampled_from(["mse", "mae", "huber", "log_cosh", "cosine_similarity"])
METRICS = st.lists(st.sampled_from(["mae", "mse", "RootMeanSquaredError", "R2Score"]), max_size=3, unique=True)


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    # Each example trains twice, so that to look for a smaller one takes minutes.
    phases=(Phase.generate,),
)
@given(
    layers=st.lists(LAYERS, min_size=1, max_size=4),
    optimizer=OPTIMIZERS,
    loss=LOSSES,
    metrics=METRICS,
    batch_size=st.integers(1, 12),
    split=st.sampled_from([None, 0.2, 0.5]),
    weighted=st.booleans(),
)
def test_whatever_is_combined(
    layers: list[dict[str, Any]],
    optimizer: str,
    loss: str,
    metrics: list[str],
    batch_size: int,
    split: float | None,
    weighted: bool,
) -> None:
    """Drawn combinations of layers, optimizer, loss, metrics, batches and weights end as in `fit`."""
    assert_parity(
        case(
            (3,),
            *layers,
            optimizer=optimizer,
            losses=(loss,),
            metrics=(tuple(metrics),),
            batch_size=batch_size,
            weight=WEIGHT if weighted else None,
            **({} if split is None else {"validation_split": split}),
        )
    )


def test_nan_ends_a_training_under_xla_in_the_same_step() -> None:
    """Also where the last batch, which XLA compiles by itself, would be next."""
    y = np.ones((10, 1), "float32")
    y[5] = np.inf
    one = case((3,), epochs=2, callbacks=["TerminateOnNaN"]).but(y=(y,))
    graph, xla = by_engine(one), by_engine(one, jit_compile=True)
    for outcome in (graph, xla):
        assert [row["loss"] for row in outcome.rows] == [None]
        assert dict(outcome.variables)["sgd/iteration"] == 2


@pytest.mark.parametrize("shuffle", [False, True])
def test_rows_that_are_streamed_give_the_same_bits(monkeypatch: pytest.MonkeyPatch, shuffle: bool) -> None:
    """Data over their budget come in several blocks, the last of them not full, and nothing else changes."""
    one = case((3,), DENSE, DROPOUT, rows=26, shuffle=shuffle, validation_split=0.25, metrics=(("mae",),))
    held = by_engine(one)
    blocks: list[int] = []

    def small(rows: Any, batch_size: int, _: int) -> Memory | Stream:
        stream = Stream(rows, batch_size, block_bytes=2 * batch_size * rows.row_bytes)
        blocks.append(-(-len(rows) // (stream.steps_per_block * batch_size)))
        return stream

    monkeypatch.setattr(engine, "feed", small)
    assert_same(held, by_engine(one))
    assert blocks == [3, 1]


def test_what_is_larger_than_its_budget_is_streamed() -> None:
    """The budget decides, to the byte."""
    rows = ready(case((3,), DENSE))[0].rows
    size = len(rows) * rows.row_bytes
    assert isinstance(feed(rows, 4, size), Memory)
    streamed = feed(rows, 4, size - 1)
    assert isinstance(streamed, Stream)
    streamed.close()


def test_chunks_do_not_change_the_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Step by step, or many at a time: what is computed is the same, and each chunk is looked at."""
    one = case((3,), DENSE, DROPOUT, rows=40, validation_split=0.25)
    whole = by_engine(one)
    monkeypatch.setattr(engine, "CHUNK_SECONDS", 1e-9)
    watch = Noted()
    assert_same(whole, by_engine(one, watch=watch))
    # The end of an epoch is told as such.
    assert watch.looks == [(epoch, step) for epoch in (0, 1) for step in range(1, 8)]
    assert watch.lasts == [False, True]


def test_xla_agrees_with_itself_and_nearly_with_the_graph() -> None:
    """Compiled by XLA, a training repeats to the bit; without dropout it is the graph's but for rounding."""
    one = case((3,), DENSE, batch_size=4, epochs=3, optimizer="adam", metrics=(("mae",),))
    first = by_engine(one, jit_compile=True)
    assert_same(first, by_engine(one, jit_compile=True))
    for row, graph in zip(first.rows, by_engine(one).rows, strict=True):
        assert row == pytest.approx(graph, rel=1e-4)


def test_metrics_come_in_the_order_of_fit() -> None:
    """Sorted by their names, and the validation's after them."""
    one = case((3,), DENSE, validation_split=0.3, metrics=(("mse", "mae"),))
    assert list(by_engine(one).rows[0]) == ["loss", "mae", "mse", "val_loss", "val_mae", "val_mse"]


def test_a_training_that_has_ended_is_not_gone_on_with() -> None:
    """From a position at the end nothing is trained, and the model stays as it is."""
    training, callbacks = ready(case((3,), DENSE))
    before = [weight.numpy() for weight in training.model.weights]
    outcome = run(training, callbacks, Position(epoch=1, row={"loss": 1.0}, ended=True), Noted())
    assert outcome.rows == []
    for weight, was in zip(training.model.weights, before, strict=True):
        assert np.array_equal(weight.numpy(), was)


@pytest.mark.parametrize(("given_", "expected"), [(1.5, 1.5), (float("nan"), None), (float("-inf"), None)])
def test_numbers_that_json_cannot_carry_are_none(given_: float, expected: float | None) -> None:
    """NaN and the infinities are told as None."""
    assert engine.finite_or_none(given_) == expected
