"""What "auto" designs passes every check of a submission, is built by Keras, and learns."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest

from service.architecture import build
from service.architecture.compilation import check_compile
from service.architecture.graph import read_architecture
from service.architecture.plan import make_plan, memory_estimate
from service.data.arrays import ArrayFacts
from service.errors import Fault
from service.features.design import design, design_for_arrays
from service.features.network import Tensor, with_features
from service.features.network import tensors as tensors_of
from service.features.preparation import Preparation, Target, Task
from service.training import engine
from service.training.assembly import compile_model
from service.training.callbacks import Callbacks
from service.training.checkpoint import Position
from service.training.engine import Training
from service.training.kept import Kept
from service.training.rows import Array, Rows
from tests.features.designs import (
    LONG,
    PHOTOGRAPH,
    PICTURE,
    STEPS,
    TOKENS,
    VECTOR,
    Checked,
    checked,
    facts,
    target,
    with_inputs,
    x_of,
    y_of,
)
from tests.features.features import category, image, number, preparation, sequence, text
from tests.training.trainings import Noted

TENSORS = {
    "vector": (VECTOR,),
    "tokens": (TOKENS,),
    "picture": (PICTURE,),
    "photograph": (PHOTOGRAPH,),
    "steps": (STEPS,),
    "long": (LONG,),
    "all": (VECTOR, TOKENS, PICTURE, STEPS),
}
TARGETS = {
    **{task.value: (target(task),) for task in Task},
    "vector": (target(Task.SEQUENCE, shape=(6,)),),
    "several": (target(Task.BINARY, "saved"), target(Task.NUMBER, "fare"), target(Task.CLASSES, "class")),
}


@pytest.mark.parametrize("targets", TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize("tensors", TENSORS.values(), ids=TENSORS)
def test_designs_pass_all_checks(tensors: Sequence[Tensor], targets: Sequence[Target]) -> None:
    """Every kind of data with every kind of target gets a design without a fault."""
    made = with_inputs(design(tensors, targets, 700), tensors)
    checked(made, *_facts(tensors, targets, 700), validates=True)


def test_forecasts_keep_the_place_of_each_step() -> None:
    """Where steps are to be told from steps nothing is averaged or dropped; very long ones are convolved."""
    forecast = replace(target(Task.SEQUENCE, shape=(3, 2)), center=20.0, spread=4.0)
    made = design((LONG,), (forecast,), 700)
    assert [layer["type"] for layer in made.architecture["layers"]] == [
        "Flatten",
        "Dense",
        "Dense",
        "Reshape",
        "Rescaling",
    ]
    assert made.architecture["layers"][-1] == {"type": "Rescaling", "scale": 4.0, "offset": 20.0}
    assert any("each keeps its place" in reason for reason in made.reasons)
    longer = design((replace(LONG, shape=(4_096, 5)),), (forecast,), 700)
    assert "Conv1D" in [layer["type"] for layer in longer.architecture["layers"]]
    described = design((LONG,), (target(Task.SEQUENCE, shape=(6,)),), 700)
    assert "GlobalAveragePooling1D" in [layer["type"] for layer in described.architecture["layers"]]


@pytest.mark.parametrize("validates", [True, False])
@pytest.mark.parametrize("rows", [10, 150, 2_000, 30_000, 1_000_000])
@pytest.mark.parametrize("tensors", TENSORS.values(), ids=TENSORS)
def test_few_rows_get_a_design_as_many_do(tensors: Sequence[Tensor], rows: int, validates: bool) -> None:
    """Whether there are ten rows or a million, and whether some of them validate or not."""
    targets = TARGETS["several"]
    made = with_inputs(design(tensors, targets, rows, validates=validates), tensors)
    plan = checked(made, *_facts(tensors, targets, rows), validates=validates).plan
    assert sum(layer.parameters for layer in plan.layers) < 2_000_000


@pytest.mark.parametrize("validates", [True, False])
def test_designs_are_plain_json(validates: bool) -> None:
    """A design is what it is after a way through JSON, so that a client can copy and post it."""
    made = design(TENSORS["all"], TARGETS["several"], 700, validates=validates)
    for part in (made.architecture, made.compile, made.fit):
        assert json.loads(json.dumps(part)) == part


def test_the_same_data_get_the_same_design() -> None:
    """Nothing is drawn."""
    assert design(TENSORS["all"], TARGETS["several"], 700) == design(TENSORS["all"], TARGETS["several"], 700)


def test_every_choice_has_a_reason() -> None:
    """Reasons are sentences that name the tensor or target of which they speak."""
    reasons = design((VECTOR, TOKENS), TARGETS["several"], 700).reasons
    assert all(reason.endswith(".") for reason in reasons)
    text = " ".join(reasons)
    for word in (
        "'remark'",
        "'saved'",
        "'fare'",
        "'class'",
        "Dense",
        "Dropout",
        "Adam",
        "Batches",
        "epochs",
        "val_loss",
    ):
        assert word in text


def test_a_single_tensor_and_target_need_no_names() -> None:
    """One tensor with one target is a list of layers, as a person would write it."""
    made = design((VECTOR,), (target(Task.BINARY),), 700)
    assert made.architecture.keys() == {"layers"}
    assert not any("name" in layer for layer in made.architecture["layers"])


def test_outputs_are_called_as_the_targets() -> None:
    """Several targets are outputs by their names, with a loss and metrics each."""
    made = design((VECTOR,), TARGETS["several"], 700)
    assert made.architecture["outputs"] == ["saved", "fare", "class"]
    assert made.compile["loss"] == {
        "saved": "binary_crossentropy",
        "fare": "mse",
        "class": "sparse_categorical_crossentropy",
    }


def test_names_of_columns_do_not_collide_with_those_of_layers() -> None:
    """A column may be called as a layer would have been."""
    columns = [replace(TOKENS, name=name) for name in ("trunk_1", "trunk_2", "joined", "a", "a_1")]
    made = with_inputs(design(columns, (target(Task.BINARY, "joined_2"),), 700), columns)
    x, y = _facts(columns, (target(Task.BINARY, "joined_2"),), 700)
    checked(made, x, y, validates=True)


def test_a_target_in_large_units_does_not_drown_the_others() -> None:
    """A squared error counts in standard deviations where there are other targets."""
    weights = design((VECTOR,), TARGETS["several"], 700).compile["loss_weights"]
    assert weights == {"saved": 1.0, "fare": 40.0**-2, "class": 1.0}


def test_a_number_is_answered_in_its_own_unit() -> None:
    """The last layer undoes what would have been a standardized target."""
    last = design((VECTOR,), (target(Task.NUMBER),), 700).architecture["layers"][-1]
    assert last == {"type": "Rescaling", "scale": 40.0, "offset": 250.0}


def test_a_constant_target_is_no_fault() -> None:
    """A spread of 0 would make every answer the same for good."""
    constant = replace(target(Task.NUMBER), spread=0.0)
    last = design((VECTOR,), (constant,), 700).architecture["layers"][-1]
    assert last["scale"] == 1.0


def test_only_photographs_are_mirrored() -> None:
    """Letters and digits mean something else in a mirror."""
    types = {
        one.shape: [layer["type"] for layer in design((one,), (target(Task.CLASSES),), 700).architecture["layers"]]
        for one in (PICTURE, PHOTOGRAPH)
    }
    assert {shape: "RandomFlip" in made for shape, made in types.items()} == {(8, 8, 1): False, (64, 48, 3): True}


def test_training_stops_by_the_rows_that_validate() -> None:
    """Without such rows it watches the loss, and says so."""
    validating, blind = (design((VECTOR,), (target(Task.BINARY),), 700, validates=one) for one in (True, False))
    assert [made.fit["callbacks"][0]["monitor"] for made in (validating, blind)] == ["val_loss", "loss"]
    assert blind.fit["epochs"] < validating.fit["epochs"]
    assert "validation" in " ".join(blind.reasons)


def test_a_batch_fits_in_memory() -> None:
    """Large pictures and long sequences go through in smaller batches than tables do."""
    large = replace(PHOTOGRAPH, shape=(512, 512, 3))
    longest = replace(LONG, shape=(4_096, 2))
    sizes = [design((one,), (target(Task.BINARY),), 10**6).fit["batch_size"] for one in (VECTOR, large, longest)]
    assert sizes == [512, 4, 16]
    for one, size in zip((large, longest), sizes[1:], strict=True):
        made = design((one,), (target(Task.BINARY),), 10**6)
        plan = checked(made, *_facts((one,), (target(Task.BINARY),), 10**6), validates=True).plan
        assert memory_estimate(plan, size, "adam") < 2**30


ARRAYS = {
    "table": np.linspace(-3, 9, 400).reshape(100, 4),
    "one number a row": np.linspace(0, 1, 100),
    "whole numbers": np.arange(400).reshape(100, 4),
    "words": np.arange(2000).reshape(100, 20),
    "grey pictures": np.arange(6400).reshape(100, 8, 8) % 256,
    "pictures": np.arange(19200).reshape(100, 8, 8, 3) % 256,
    "steps": np.linspace(-3, 9, 2400).reshape(100, 12, 2),
    "volumes": np.linspace(-3, 9, 2400).reshape(100, 2, 3, 2, 2),
}
ANSWERS = {
    "binary": np.arange(100) % 2,
    "a column of ones and zeros": np.arange(100).reshape(100, 1) % 2,
    "classes": np.arange(100) % 7,
    "one-hot": np.eye(4)[np.arange(100) % 4],
    "number": np.linspace(-5, 80, 100),
    "numbers": np.linspace(-5, 80, 300).reshape(100, 3),
    "steps": np.linspace(-5, 80, 1000).reshape(100, 5, 2),
    "constant": np.full(100, 3.5),
}


@pytest.mark.parametrize("y", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("x", ARRAYS.values(), ids=ARRAYS)
@pytest.mark.parametrize("names", [(None, None), ("a", "b")])
def test_arrays_get_a_design(x: Array, y: Array, names: tuple[str | None, str | None]) -> None:
    """Ready numbers of any shape get a network that takes them as they are, with names or without."""
    stored = facts("x", names[0], _stored(x)), facts("y", names[1], _stored(y))
    checked(design_for_arrays(stored[:1], stored[1:]), stored[:1], stored[1:], validates=False)


PREPARATIONS = {
    "vector": preparation(number(), category()),
    "words": preparation(text(enters="tokens")),
    "image": preparation(image()),
    "sequence": preparation(sequence()),
    "all": preparation(number(), category(), text("title", enters="tokens"), image(), sequence()),
}


@pytest.mark.parametrize("targets", TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize("of", PREPARATIONS.values(), ids=PREPARATIONS)
def test_the_layers_of_features_go_in_front(of: Preparation, targets: Sequence[Target]) -> None:
    """A design begins with the tensors that a preparation makes, by their names."""
    faults: list[Fault] = []
    made = design(tensors_of(of), targets, 700)
    network = read_architecture(with_features(made.architecture, of, "/architecture", faults), "/architecture", faults)
    assert network is not None, faults
    plan = make_plan(network, [], faults)
    assert plan is not None, faults
    assert [one.name for one in network.inputs] == [one.name for one in of.inputs]
    assert len(plan.output_shapes) == len(targets)
    compilation = check_compile(made.compile, plan.output_shapes, [], {}, "/compile", faults)
    assert compilation is not None, faults


def test_several_arrays_are_joined() -> None:
    """Inputs and outputs are called as the arrays are."""
    x = [facts("x", name, _stored(ARRAYS[name])) for name in ("table", "steps")]
    y = [facts("y", name, _stored(ANSWERS[name])) for name in ("binary", "number")]
    made = design_for_arrays(x, y, validates=True)
    assert made.architecture["inputs"] == ["table", "steps"]
    assert checked(made, x, y, validates=True).plan.output_shapes == {"binary": (1,), "number": (1,)}


def test_whole_numbers_that_need_not_be_words_are_quantities() -> None:
    """Pixels in a row, and columns with names, are not looked up."""
    pixels = facts("x", None, np.arange(6400, dtype="int32").reshape(100, 64) % 256)
    columns = facts("x", None, _stored(ARRAYS["words"]), tuple(map(str, range(20))))
    y = facts("y", None, _stored(ANSWERS["classes"]))
    for x in (pixels, columns):
        assert design_for_arrays([x], [y]).architecture["layers"][0] == {"type": "Normalization"}


def test_sorted_arrays_are_not_judged_by_their_last_rows() -> None:
    """Unless the client says what validates, nothing does, because arrays are often sorted by class."""
    x, y = facts("x", None, _stored(ARRAYS["table"])), facts("y", None, _stored(ANSWERS["classes"]))
    made = design_for_arrays([x], [y])
    assert "validation_split" not in made.fit
    assert made.fit["callbacks"][0]["monitor"] == "loss"


TRAINED = {
    "a table of classes": ((VECTOR,), (target(Task.CLASSES),)),
    "words": ((TOKENS,), (target(Task.BINARY),)),
    "pictures": ((PICTURE,), (target(Task.CLASSES),)),
    "few steps": ((STEPS,), (target(Task.NUMBER),)),
    "many steps": ((LONG,), (target(Task.BINARY),)),
    "several of all": ((VECTOR, TOKENS, PICTURE, STEPS), TARGETS["several"]),
    "steps as an answer": ((VECTOR,), (target(Task.SEQUENCE),)),
}


@pytest.mark.parametrize(("tensors", "targets"), TRAINED.values(), ids=TRAINED)
def test_designs_are_built_and_trained(tensors: Sequence[Tensor], targets: Sequence[Target]) -> None:
    """Keras builds the design, and the training engine runs it to the end."""
    rows = 48
    made = with_inputs(design(tensors, targets, rows), tensors)
    made = replace(made, fit={**made.fit, "epochs": 2})
    x, y = x_of(tensors, rows), y_of(targets, rows)
    passed = checked(made, *_facts(tensors, targets, rows), validates=True)
    model, history = _train(passed, x, y, {name: array[:16] for name, array in x.items()}, y)
    assert len(history) == 2
    assert all(np.isfinite(row["val_loss"]) for row in history if row["val_loss"] is not None)
    assert len(model.outputs) == len(targets)


def test_a_small_table_is_learned() -> None:
    """A hundred and fifty rows are enough to tell two classes that a curve divides."""
    draw = np.random.default_rng(3)
    values = draw.normal(size=(300, 2)).astype("float32")
    labels = (np.hypot(values[:, 0], values[:, 1]) < 1.1).astype("int32")
    tensor, wanted = replace(VECTOR, shape=(2,)), target(Task.BINARY)
    made = design((tensor,), (wanted,), 120)
    made = replace(made, fit={**made.fit, "epochs": 80})
    x, y = {"features": values}, {"saved": labels}
    stored = [facts("x", "x", values[:120])], [facts("y", None, labels[:120])]
    passed = checked(made, *stored, validates=True)
    model, _ = _train(passed, _part(x, 0, 120), _part(y, 0, 120), _part(x, 120, 150), _part(y, 120, 150))
    answers = np.asarray(model(values[150:]))[:, 0] > 0.5
    assert np.mean(answers == labels[150:]) > 0.85


def _facts(
    tensors: Sequence[Tensor], targets: Sequence[Target], rows: int
) -> tuple[list[ArrayFacts], list[ArrayFacts]]:
    """Facts of so many rows, from a few of them."""
    few = 12
    x, y = x_of(tensors, few), y_of(targets, few)
    alone = len(x) == len(y) == 1
    found_x = [facts("x", None if alone else name, array) for name, array in x.items()]
    found_y = [facts("y", None if len(y) == 1 else name, array) for name, array in y.items()]
    resized = ([replace(one, shape=(rows, *one.sample_shape)) for one in found] for found in (found_x, found_y))
    made_x, made_y = resized
    return made_x, made_y


def _stored(array: Array) -> Array:
    """The array as a data set keeps it: whole numbers as int32, others as float32."""
    return array.astype("int32" if np.array_equal(array, np.round(array)) else "float32")


def _part(arrays: dict[str, Array], first: int, last: int) -> dict[str, Array]:
    return {name: array[first:last] for name, array in arrays.items()}


def _train(
    passed: Checked, x: dict[str, Array], y: dict[str, Array], val_x: dict[str, Array], val_y: dict[str, Array]
) -> tuple[keras.Model, list[dict[str, float | None]]]:
    network, fitting = passed.plan.network, passed.fitting
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    model = build.build(network, passed.plan.input_shapes)
    compile_model(model, network, passed.compilation)
    dtypes = [one.dtype for one in network.inputs]
    few = min(map(len, val_x.values()))
    rows = Rows.of(list(x.values()), list(y.values()), None, dtypes)
    validation = Rows.of(list(val_x.values()), [array[:few] for array in val_y.values()], None, dtypes)
    engine.prepare(model, rows, fitting.batch_size)
    training = Training(
        model=model,
        fitting=fitting,
        seed=0,
        rows=rows,
        validation=validation,
        jit_compile=False,
        memory_bytes=2**30,
        kept=Kept(Path("nowhere"), model, {}),
    )
    noted, callbacks = Noted(), Callbacks(fitting, model)
    end = engine.fit(training, callbacks, Position(), noted)
    callbacks.end(end.epoch)
    return model, noted.rows
