"""Templates hold what does not depend on the weights, and are made only where that is certain."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from service.inference import template

RANDOM = np.random.default_rng(0)


def a_file(weight: np.ndarray, *, extra: float = 1.0) -> onnx.ModelProto:
    """A file with a transposed weight, a constant of the structure, and one that is `extra`."""
    tensors = [
        numpy_helper.from_array(np.ascontiguousarray(weight.T), "w"),
        numpy_helper.from_array(np.array([2, 3], np.int64), "shape"),
        numpy_helper.from_array(np.array([extra], np.float32), "extra"),
    ]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Add", ["m", "extra"], ["y"])]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])
    return helper.make_model(helper.make_graph(nodes, "g", [x], [y], tensors))


def weights() -> np.ndarray:
    return RANDOM.normal(size=(2, 3)).astype(np.float32)


def test_a_filled_template_is_the_file_of_these_weights() -> None:
    """The third weights come to the same file by the template as by a conversion."""
    first, second, third = weights(), weights(), weights()
    made = template.make(a_file(first), [first], a_file(second), [second])
    assert made is not None
    assert made.fill([third]).SerializeToString() == a_file(third).SerializeToString()


def test_a_number_that_is_no_weight_makes_no_template() -> None:
    """What changes with the weights and is none of them cannot be foretold."""
    first, second = weights(), weights()
    assert template.make(a_file(first, extra=3), [first], a_file(second, extra=4), [second]) is None


def test_files_of_different_structure_make_no_template() -> None:
    """Two conversions that came out differently have nothing to be compared."""
    first, second = weights(), weights()
    other = a_file(second)
    other.graph.node[1].op_type = "Mul"
    assert template.make(a_file(first), [first], other, [second]) is None


def test_a_template_is_read_as_it_was_written(tmp_path: Path) -> None:
    """What is kept on disk fills to the same file; what is damaged is none."""
    first, second = weights(), weights()
    made = template.make(a_file(first), [first], a_file(second), [second])
    assert made is not None
    path = tmp_path / "cache" / "one"
    template.write(made, path)
    assert template.read(path) == made
    path.write_bytes(path.read_bytes()[:50])
    assert template.read(path) is None
    assert template.read(tmp_path / "missing") is None


def test_a_weight_inside_a_loop_is_found() -> None:
    """Tensors in the graphs that nodes hold count as well."""
    first, second = weights(), weights()
    files = []
    for weight in (first, second):
        inner = a_file(weight).graph
        loop = helper.make_node("Loop", ["n", "c"], ["o"], body=inner)
        outer = helper.make_graph([loop], "outer", [], [helper.make_tensor_value_info("o", TensorProto.FLOAT, None)])
        files.append(helper.make_model(outer))
    made = template.make(files[0], [first], files[1], [second])
    assert made is not None
    assert [place.weight for place in made.places] == [0]
