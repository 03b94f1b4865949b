"""`compile` becomes one checked value for each output, or the list of all its faults."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from service.architecture.compilation import Compilation, check_compile
from service.architecture.network import Shape
from service.data.arrays import ArrayFacts
from service.errors import Fault

ONE: dict[str, Shape] = {"out": (3,)}
TWO: dict[str, Shape] = {"a": (1,), "b": (3,)}


def targets(
    *sample: int, name: str | None = None, low: float = 0, high: float = 1, integral: bool = True
) -> ArrayFacts:
    shape = (100, *sample)
    return ArrayFacts(part="y", name=name, shape=shape, dtype="float32", minimum=low, maximum=high, integral=integral)


def check(
    value: object,
    outputs: Mapping[str, Shape] = ONE,
    y: tuple[ArrayFacts, ...] = (),
    activations: Mapping[str, str | None] | None = None,
) -> tuple[Compilation | None, list[Fault]]:
    faults: list[Fault] = []
    return check_compile(value, outputs, y, activations or {}, "/compile", faults), faults


def accepted(*arguments: Any, **named: Any) -> Compilation:
    compilation, faults = check(*arguments, **named)
    assert faults == []
    assert compilation is not None
    return compilation


def refused(*arguments: Any, **named: Any) -> list[Fault]:
    compilation, faults = check(*arguments, **named)
    assert compilation is None
    assert faults
    return faults


def the_fault(*arguments: Any, **named: Any) -> Fault:
    faults = refused(*arguments, **named)
    assert len(faults) == 1, faults
    return faults[0]


def test_the_defaults_are_those_of_keras() -> None:
    """Without more than a loss: RMSprop, no metrics, and each output's loss counts once."""
    compilation = accepted({"loss": "mse"})
    assert compilation.optimizer == "RMSprop"
    assert compilation.loss == {"out": "MeanSquaredError"}
    assert compilation.metrics == {"out": ()}
    assert compilation.loss_weights == {"out": 1.0}


@pytest.mark.parametrize("word", [True, False, "auto"])
def test_jit_compile_is_keras_s_word(word: object) -> None:
    """It survives the way through JSON."""
    compilation = accepted({"loss": "mse", "jit_compile": word})
    assert compilation.jit_compile is word
    assert Compilation.from_json(compilation.to_json()) == compilation


@pytest.mark.parametrize("word", [1, None, "yes", [True]])
def test_jit_compile_is_nothing_else(word: object) -> None:
    """The fault says what can be said."""
    fault = the_fault({"loss": "mse", "jit_compile": word})
    assert fault.pointer == "/compile/jit_compile"
    assert '"auto"' in fault.detail


def test_a_compilation_of_the_first_release_is_read() -> None:
    """It had no jit_compile, which is "auto"."""
    row = accepted({"loss": "mse"}).to_json()
    del row["jit_compile"]
    assert Compilation.from_json(row) == accepted({"loss": "mse"})


@pytest.mark.parametrize(
    "loss",
    ["mse", ["mse", "mse"], {"b": "mse", "a": "mse"}],
    ids=["one for all", "list", "by name"],
)
def test_a_loss_reaches_every_output_in_the_plans_order(loss: object) -> None:
    """One loss, a list and an object by output name all give each output its loss."""
    assert list(accepted({"loss": loss}, TWO).loss.items()) == [("a", "MeanSquaredError"), ("b", "MeanSquaredError")]


def test_a_loss_object_is_one_loss_for_all_outputs() -> None:
    """An object with `type` is a loss with arguments, not losses by output name."""
    compilation = accepted({"loss": {"type": "Huber", "delta": 2.0}}, TWO)
    assert compilation.loss["a"] == compilation.loss["b"]
    assert compilation.loss["a"]["delta"] == 2.0


def test_an_output_may_be_called_type() -> None:
    """An object whose keys are the outputs is read by output name, even when one is "type"."""
    assert accepted({"loss": {"type": "mae"}}, {"type": (3,)}).loss == {"type": "MeanAbsoluteError"}


@pytest.mark.parametrize(
    "metrics",
    [["mae"], [["mae"]], {"out": "mae"}, {"out": ["mae"]}],
    ids=["flat", "nested", "name to metric", "name to list"],
)
def test_metrics_of_one_output_have_keras_forms(metrics: object) -> None:
    """A single output takes a flat list, a list in a list, or an object by its name."""
    assert accepted({"loss": "mse", "metrics": metrics}).metrics == {"out": ("mae",)}


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ([["mae", "mse"], []], {"a": ("mae", "mse"), "b": ()}),
        (["mae", None], {"a": ("mae",), "b": ()}),
        ({"b": ["mae"]}, {"a": (), "b": ("mae",)}),
        ([], {"a": (), "b": ()}),
    ],
    ids=["lists", "entries", "by name", "none"],
)
def test_metrics_of_several_outputs_have_keras_forms(metrics: object, expected: object) -> None:
    """Several outputs take an entry for each, or an object that may leave outputs out."""
    assert accepted({"loss": "mse", "metrics": metrics}, TWO).metrics == expected


@pytest.mark.parametrize(
    ("weights", "expected"),
    [(None, {"a": 1.0, "b": 1.0}), ([2, 0.5], {"a": 2.0, "b": 0.5}), ({"b": 1, "a": 3}, {"a": 3.0, "b": 1.0})],
)
def test_loss_weights_are_complete(weights: object, expected: object) -> None:
    """Each output gets its weight from a list or an object, and 1 when none are given."""
    assert accepted({"loss": "mse", "loss_weights": weights}, TWO).loss_weights == expected


def test_a_single_output_takes_a_number_as_loss_weight() -> None:
    """Keras takes a bare number for one output."""
    assert accepted({"loss": "mse", "loss_weights": 2}).loss_weights == {"out": 2.0}


def test_a_compilation_survives_json() -> None:
    """What is written as JSON is read back equal."""
    compilation = accepted({"loss": ["mse", "mae"], "metrics": [["mae"], [{"type": "AUC"}]], "optimizer": "adam"}, TWO)
    assert Compilation.from_json(json.loads(json.dumps(compilation.to_json()))) == compilation


def test_all_faults_come_at_once_each_at_its_place() -> None:
    """A client learns of every fault in one answer, by a pointer to each."""
    value = {"loss": ["mse", "nope"], "optimizer": "nope", "metrics": {"c": "mae"}, "loss_weights": [1, "x"], "run": 1}
    pointers = {fault.pointer for fault in refused(value, TWO)}
    assert pointers == {
        "/compile/loss/1",
        "/compile/optimizer",
        "/compile/metrics/c",
        "/compile/loss_weights/1",
        "/compile/run",
    }


@pytest.mark.parametrize(
    ("value", "pointer", "words"),
    [
        ("mse", "/compile", "object"),
        ({}, "/compile/loss", "no loss"),
        ({"loss": ["mse"]}, "/compile/loss", "1 entries"),
        ({"loss": {"a": "mse"}}, "/compile/loss", "'b' has no loss"),
        ({"loss": "mse", "metrics": "mae"}, "/compile/metrics", '["accuracy"]'),
        ({"loss": "mse", "metrics": ["mae", "mae", "mae"]}, "/compile/metrics", "3 entries"),
        ({"loss": "mse", "metrics": [["mae"] * 33, []]}, "/compile/metrics/0", "at most 32"),
        ({"loss": "mse", "loss_weights": 2}, "/compile/loss_weights", "1 entries"),
        ({"loss": "mse", "loss_weights": {"a": 2}}, "/compile/loss_weights", "'b' has no loss weight"),
        ({"loss": "mse", "loss_weights": [True, 1]}, "/compile/loss_weights/0", "true"),
        ({"loss": "mse", "loss_weights": [1e300, 1]}, "/compile/loss_weights/0", "1e+09"),
    ],
)
def test_a_misshapen_value_is_refused(value: object, pointer: str, words: str) -> None:
    """Each wrong form gives one fault, at its place, that says what came or what to give."""
    fault = the_fault(value, TWO)
    assert fault.pointer == pointer
    assert words in fault.detail


def test_without_outputs_the_names_are_still_checked() -> None:
    """When the architecture is faulty, the faults of compile come along with its own."""
    value = {"loss": {"a": "nope"}, "metrics": ["nope"], "loss_weights": {"a": "x"}, "optimizer": "nope"}
    places = ["/compile/optimizer", "/compile/loss/a", "/compile/metrics/0", "/compile/loss_weights/a"]
    assert [fault.pointer for fault in refused(value, {})] == places
    assert check({"loss": "mse"}, {}) == (None, [])


@pytest.mark.parametrize(
    ("loss", "output", "y"),
    [
        ("sparse_categorical_crossentropy", (3,), targets(high=2)),
        ("sparse_categorical_crossentropy", (3,), targets(1, high=2)),
        ("sparse_categorical_crossentropy", (None, 3), targets(7, high=2)),
        ({"type": "SparseCategoricalCrossentropy", "ignore_class": -1}, (3,), targets(low=-1, high=2)),
        ({"type": "SparseCategoricalCrossentropy", "ignore_class": 255}, (3,), targets(high=255)),
        ("categorical_crossentropy", (3,), targets(3)),
        ("binary_crossentropy", (1,), targets()),
        ("binary_crossentropy", (1,), targets(1, integral=False)),
        ("binary_crossentropy", (5,), targets(5)),
        ("mse", (1,), targets(low=-9, high=9, integral=False)),
        ("mse", (4, 1), targets(4)),
        ("mse", (4,), targets(4, 1)),
        ("mse", (None, 2), targets(6, 2)),
    ],
)
def test_fitting_targets_are_accepted(loss: object, output: Shape, y: ArrayFacts) -> None:
    """Each loss takes the shapes and values that Keras means for it."""
    accepted({"loss": loss}, {"out": output}, (y,))


@pytest.mark.parametrize(
    ("loss", "output", "y", "pointer", "advice"),
    [
        ("sparse_categorical_crossentropy", (3,), targets(high=5), "/data/y", "6 units"),
        ("sparse_categorical_crossentropy", (3,), targets(low=-1, high=2), "/data/y", "count from 0"),
        ("sparse_categorical_crossentropy", (3,), targets(high=2, integral=False), "/data/y", "fractions"),
        ("sparse_categorical_crossentropy", (3,), targets(3), "/compile/loss", "use categorical_crossentropy"),
        ("sparse_categorical_crossentropy", (3,), targets(4), "/compile/loss", "(rows)"),
        ("sparse_categorical_crossentropy", (1,), targets(), "/compile/loss", "binary_crossentropy"),
        ("categorical_crossentropy", (3,), targets(high=2), "/compile/loss", "sparse_categorical_crossentropy"),
        ("categorical_crossentropy", (3,), targets(4), "/compile/loss", "units of the output"),
        ("categorical_crossentropy", (1,), targets(1), "/compile/loss", "binary_crossentropy"),
        ("binary_crossentropy", (1,), targets(high=4), "/compile/loss", "sparse_categorical_crossentropy with 5 units"),
        ("binary_crossentropy", (1,), targets(low=-1), "/data/y", "rescale"),
        ("binary_crossentropy", (3,), targets(), "/compile/loss", "sparse_categorical_crossentropy"),
        ("mse", (3,), targets(1, integral=False), "/compile/loss", "(rows, 1)"),
        (
            {"type": "CategoricalGeneralizedCrossEntropy"},
            (3,),
            targets(1, high=2),
            "/compile/loss",
            "reshape y",
        ),
    ],
)
def test_a_loss_that_misfits_its_targets_says_how_to_mend_it(
    loss: object, output: Shape, y: ArrayFacts, pointer: str, advice: str
) -> None:
    """Each misfit is one fault, at the loss or at y, with the remedy."""
    fault = the_fault({"loss": loss}, {"out": output}, (y,))
    assert fault.pointer == pointer
    assert advice in fault.detail


@pytest.mark.parametrize(
    ("loss", "units", "activation", "advice"),
    [
        ("sparse_categorical_crossentropy", 3, "linear", '"softmax"'),
        ("binary_crossentropy", 1, "linear", '"sigmoid"'),
        ("binary_crossentropy", 1, "softmax", '"sigmoid"'),
    ],
)
def test_an_output_whose_activation_defeats_the_loss_is_refused(
    loss: str, units: int, activation: str, advice: str
) -> None:
    """A cross-entropy needs probabilities, also when no data have come yet."""
    fault = the_fault({"loss": loss}, {"out": (units,)}, (), {"out": activation})
    assert fault.pointer == "/compile/loss"
    assert advice in fault.detail


def test_a_linear_output_goes_with_logits() -> None:
    """With `from_logits` a cross-entropy takes what a linear output gives."""
    loss = {"type": "BinaryCrossentropy", "from_logits": True}
    accepted({"loss": loss}, {"out": (1,)}, (targets(),), {"out": "linear"})


def test_targets_of_several_outputs_are_matched_by_name() -> None:
    """Each output learns the array of its own name."""
    y = (targets(name="b", high=2), targets(name="a"))
    accepted({"loss": ["binary_crossentropy", "sparse_categorical_crossentropy"]}, TWO, y)


def test_a_misfit_of_one_output_points_at_its_own_loss_and_array() -> None:
    """With several outputs, a fault names the output's own place."""
    y = (targets(name="b", high=7), targets(2, name="a"))
    losses = {"a": "binary_crossentropy", "b": "sparse_categorical_crossentropy"}
    assert [fault.pointer for fault in refused({"loss": losses}, TWO, y)] == ["/compile/loss/a", "/data/y/b"]


@pytest.mark.parametrize(
    ("outputs", "y", "pointers"),
    [
        (TWO, (targets(),), ["/data/y"]),
        (TWO, (targets(name="a"),), ["/data/y"]),
        (ONE, (targets(3, name="other"),), ["/data/y/other", "/data/y"]),
        (ONE, (targets(3, name="out"), targets(name="o/x")), ["/data/y/o~1x"]),
    ],
    ids=["unnamed for two", "one missing", "wrong name", "one extra"],
)
def test_missing_and_extra_targets_are_faults(
    outputs: Mapping[str, Shape], y: tuple[ArrayFacts, ...], pointers: list[str]
) -> None:
    """Every output needs an array in y, and every array an output."""
    assert [fault.pointer for fault in refused({"loss": "mse"}, outputs, y)] == pointers
