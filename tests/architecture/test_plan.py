"""A plan has every shape and count, or every fault is told at once."""

from typing import Any

import pytest

from service.architecture.network import Input, Layer, Network, Plan, Shape
from service.architecture.plan import DEFAULT_LIMITS, Limits, make_plan, memory_estimate, operations_estimate, summary
from service.data.arrays import ArrayFacts
from service.errors import Fault
from tests.architecture.shape_cases import layer


def network(*layers: tuple[str, dict[str, Any]], shape: Shape | None = None) -> Network:
    """A chain of layers named `a`, `b` ... behind the one input `x`."""
    made, before = [], "x"
    for index, (type_name, arguments) in enumerate(layers):
        plain = layer(type_name, arguments)
        name, pointer = "abcdefgh"[index], f"/architecture/layers/{index}"
        made.append(Layer(name=name, type=type_name, arguments=plain.arguments, inputs=(before,), pointer=pointer))
        before = name
    only = Input(name="x", shape=shape, dtype="float32", pointer="/architecture/layers/0")
    return Network(inputs=(only,), layers=tuple(made), outputs=(before,))


def two_inputs(left: Shape | None = None, right: Shape | None = None) -> Network:
    """A Concatenate of the inputs `left` and `right`."""
    inputs = tuple(
        Input(name=name, shape=shape, dtype="float32", pointer=f"/architecture/inputs/{name}")
        for name, shape in (("left", left), ("right", right))
    )
    plain = layer("Concatenate", {}, inputs=2)
    joined = Layer(
        name="joined",
        type="Concatenate",
        arguments=plain.arguments,
        inputs=("left", "right"),
        pointer="/architecture/l",
    )
    return Network(inputs=inputs, layers=(joined,), outputs=("joined",))


def array(*sample: int, name: str | None = None, low: float = 0, high: float = 1, integral: bool = False) -> ArrayFacts:
    """The facts of ten rows of x."""
    return ArrayFacts(
        part="x", name=name, shape=(10, *sample), dtype="float32", minimum=low, maximum=high, integral=integral
    )


def planned(*args: Any) -> Plan:
    """The plan of what is right."""
    faults: list[Fault] = []
    plan = make_plan(*args, faults)
    assert faults == []
    assert plan is not None
    return plan


def faults_of(net: Network, *x: ArrayFacts, limits: Limits = DEFAULT_LIMITS) -> dict[str, str]:
    """The faults of what is wrong, by pointer; there is no plan then."""
    faults: list[Fault] = []
    assert make_plan(net, x, faults, limits) is None
    assert len({fault.pointer for fault in faults}) == len(faults) > 0
    return {fault.pointer: fault.detail for fault in faults}


MLP = (("Dense", {"units": 8}), ("BatchNormalization", {}), ("Dense", {"units": 3}))


def test_the_input_takes_its_shape_from_the_data() -> None:
    """One array without a name goes to the single input, whatever its name."""
    plan = planned(network(*MLP), [array(4)])
    assert plan.input_shapes == {"x": (4,)}
    assert plan.output_shapes == {"c": (3,)}
    assert [(one.parameters, one.trainable_parameters) for one in plan.layers] == [(40, 40), (32, 16), (27, 27)]


def test_a_dry_run_needs_no_data() -> None:
    """Where the inputs have shapes, the plan needs no arrays."""
    assert planned(network(("LSTM", {"units": 2}), shape=(None, 4)), []).output_shapes == {"a": (2,)}


def test_a_dry_run_without_a_shape_asks_for_an_input() -> None:
    """Without data and shape there is nothing to plan with, and the sentence says what to give."""
    assert '"shape": [...]' in faults_of(network(*MLP))["/architecture/layers/0"]


def test_a_given_shape_matches_the_data_where_it_is_fixed() -> None:
    """None in a given shape takes any size, and stays None in the plan."""
    assert planned(network(("LSTM", {"units": 2}), shape=(None, 4)), [array(7, 4)]).input_shapes == {"x": (None, 4)}


@pytest.mark.parametrize(
    ("shape", "sample", "words"),
    [((5,), (4,), "or leave its shape out"), ((28, 28, 1), (28, 28), "Reshape to [28, 28, 1]")],
)
def test_a_given_shape_that_the_data_contradict_is_a_fault(shape: Shape, sample: tuple[int, ...], words: str) -> None:
    """The fault points at the shape, and suggests a Reshape where the sizes allow one."""
    assert words in faults_of(network(("Flatten", {}), shape=shape), array(*sample))["/architecture/layers/0/shape"]


def test_arrays_go_to_inputs_by_name() -> None:
    """With several inputs each takes the array of its name."""
    plan = planned(two_inputs(), [array(2, name="right"), array(3, name="left")])
    assert plan.input_shapes == {"left": (3,), "right": (2,)}
    assert plan.output_shapes == {"joined": (5,)}


def test_missing_and_extra_arrays_are_both_told() -> None:
    """Each array too many and each input without one is a fault of its own."""
    faults = faults_of(two_inputs(), array(2, name="left"), array(2, name="rigth"))
    assert "'right'" in faults["/data/x"]
    assert "'rigth'" in faults["/data/x/rigth"]


def test_one_array_does_not_serve_two_inputs() -> None:
    """The sentence names the inputs for which arrays are wanted."""
    assert "'left', 'right'" in faults_of(two_inputs(), array(2))["/data/x"]


def test_every_faulty_layer_is_told_and_those_behind_it_are_not() -> None:
    """Two branches with a fault each give two faults; the layer fed by one of them gives none."""
    base = network(("Conv2D", {"filters": 1, "kernel_size": 3}), ("Flatten", {}), ("LSTM", {"units": 2}))
    conv, flatten, lstm = base.layers
    recurrent = Layer(name="r", type="LSTM", arguments=lstm.arguments, inputs=("x",), pointer="/architecture/layers/2")
    faults = faults_of(Network(inputs=base.inputs, layers=(conv, flatten, recurrent), outputs=("b", "r")), array(4))
    assert faults.keys() == {"/architecture/layers/0", "/architecture/layers/2"}


def test_a_fault_points_at_the_argument_to_blame() -> None:
    """One argument to blame is named in the pointer, also inside a wrapper."""
    conv = {"type": "Conv1D", "filters": 1, "kernel_size": 9}
    assert faults_of(network(("TimeDistributed", {"layer": conv})), array(2, 4, 1)).keys() == {
        "/architecture/layers/0/layer/kernel_size"
    }


def test_earlier_faults_do_not_hide_a_plan() -> None:
    """Faults that were there before belong to others."""
    faults = [Fault(pointer="/compile", detail="Other.")]
    assert make_plan(network(*MLP), [array(4)], faults) is not None
    assert len(faults) == 1


EMBEDDING = network(("Embedding", {"input_dim": 5, "output_dim": 2}))


def test_an_embedding_takes_its_indexes() -> None:
    """Whole numbers from 0 to input_dim - 1 are served."""
    assert planned(EMBEDDING, [array(7, high=4, integral=True)]).output_shapes == {"a": (7, 2)}


@pytest.mark.parametrize(
    ("low", "high", "integral", "pointer", "words"),
    [
        (0, 4, False, "/architecture/layers/0", "no whole numbers"),
        (-1, 4, True, "/architecture/layers/0", "from -1"),
        (0, 5, True, "/architecture/layers/0/input_dim", "at least 6"),
    ],
)
def test_an_embedding_refuses_other_values(low: float, high: float, integral: bool, pointer: str, words: str) -> None:
    """Fractions, negative numbers and numbers too high are told before training starts."""
    assert words in faults_of(EMBEDDING, array(7, low=low, high=high, integral=integral))[pointer]


@pytest.mark.parametrize(
    ("low", "high", "integral", "pointer", "words"),
    [
        (0, 0.5, False, "/architecture/layers/0", "no whole numbers"),
        (0, 5, True, "/architecture/layers/0/num_tokens", "Make num_tokens at least 6"),
    ],
)
def test_categories_are_counted_from_0(low: float, high: float, integral: bool, pointer: str, words: str) -> None:
    """CategoryEncoding refuses numbers for which it has no place."""
    encoding = network(("CategoryEncoding", {"num_tokens": 5}))
    assert planned(encoding, [array(7, high=4, integral=True)]).output_shapes == {"a": (5,)}
    assert words in faults_of(encoding, array(7, low=low, high=high, integral=integral))[pointer]


def test_a_normalization_stands_before_all_weights() -> None:
    """Behind weightless layers and other Normalizations it can learn from the data."""
    layers = (("Normalization", {}), ("Flatten", {}), ("Normalization", {}), ("Dense", {"units": 1}))
    assert planned(network(*layers), [array(2, 3)]).output_shapes == {"d": (1,)}


def test_a_normalization_behind_weights_needs_mean_and_variance() -> None:
    """What stands behind weights is unknown before training; given numbers are fine there."""
    behind = faults_of(network(("Dense", {"units": 2}), ("Normalization", {})), array(2))
    assert "BatchNormalization" in behind["/architecture/layers/1"]
    given = {"mean": 0.0, "variance": 1.0}
    assert planned(network(("Dense", {"units": 2}), ("Normalization", given)), [array(2)])


def test_limits_are_told_before_a_tensor_exists() -> None:
    """Layers, parameters and memory have limits; the largest layer is named."""
    assert "3 layers" in faults_of(network(*MLP), array(4), limits=Limits(max_layers=2))["/architecture"]
    assert "40 of them in 'a'" in faults_of(network(*MLP), array(4), limits=Limits(max_parameters=98))["/architecture"]
    assert "bytes" in faults_of(network(*MLP), array(4), limits=Limits(max_memory_bytes=100))["/architecture"]


def test_memory_is_weights_and_activations() -> None:
    """Weights count with gradient and slots, activations forth and back for each row, and None as 1."""
    plan = planned(network(("Dense", {"units": 3}), shape=(None, 4)), [])
    assert memory_estimate(plan, 10, "SGD") == 15 * 4 * 3 + 3 * 4 * 10 * 2
    assert memory_estimate(plan, 10, "Adam") - memory_estimate(plan, 10, "sgd") == 15 * 4 * 2


def test_the_summary_is_ready_for_json() -> None:
    """Inputs and layers come in order, with null for the rows."""
    assert summary(planned(network(("Dense", {"units": 3})), [array(4)])) == [
        {
            "name": "x",
            "type": "Input",
            "output_shape": [None, 4],
            "parameters": 0,
            "trainable_parameters": 0,
            "inputs": [],
        },
        {
            "name": "a",
            "type": "Dense",
            "output_shape": [None, 3],
            "parameters": 15,
            "trainable_parameters": 15,
            "inputs": ["x"],
        },
    ]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([{"type": "Dense", "output_shape": [None, 5], "parameters": 10}], 40),
        ([{"type": "Conv2D", "output_shape": [None, 3, 2, 8], "parameters": 10}], 240),
        ([{"type": "Conv1D", "output_shape": [None, None, 8], "parameters": 10}], 40),
        ([{"type": "Embedding", "output_shape": [None, 7, 8], "parameters": 10}], 0),
    ],
)
def test_operations_count_each_parameter_at_every_place(rows: list[dict[str, Any]], expected: int) -> None:
    """A kernel is used wherever the layer looks; a table is only looked up."""
    assert operations_estimate(rows, 4) == expected
