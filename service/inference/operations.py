"""TensorFlow's operations that tf2onnx does not know, or takes for others, put together from ONNX's own.

A handler replaces a node of tf2onnx's graph; one that it leaves as it is, is refused by its name.
"""

from typing import Any

import numpy as np
import onnx
import tf2onnx
from onnx import numpy_helper


def _erfc(context: Any, node: Any, name: str, args: Any) -> None:
    """Erfc(x) = 1 - Erf(x): `gelu` needs it."""
    erf = context.make_node("Erf", list(node.input))
    _replace(context, node, "Sub", [_one(context, node), erf.output[0]])


def _expm1(context: Any, node: Any, name: str, args: Any) -> None:
    """Expm1(x) = Exp(x) - 1: `celu` needs it."""
    exp = context.make_node("Exp", list(node.input))
    _replace(context, node, "Sub", [exp.output[0], _one(context, node)])


def _dense_bincount(context: Any, node: Any, name: str, args: Any) -> None:
    """Count how often each of the first `depth` whole numbers is in a row, or whether it is: `CategoryEncoding`.

    As in TensorFlow, other numbers are not counted. They get a place of their own after the last, and it is cut off.
    """
    depth = _bins(node)
    # Left as it is, the operation is refused by its name.
    if depth is None:
        return
    numbers = _in_range(context, node.input[0], depth)
    if node.get_attr_value("binary_output"):
        counted = _marked(context, numbers, depth + 1)
    else:
        counted = _counted(context, numbers, depth + 1)
    context.set_shape(node.output[0], [-1, depth])
    _replace(context, node, "Slice", [counted, *(_constant(context, [place]) for place in (0, depth, 1))])


def _one_hot(context: Any, node: Any, name: str, args: Any) -> None:
    """Zeros for a number below 0, as in TensorFlow: ONNX's own operation counts such numbers from the last."""
    depth, on, off = (one.get_tensor_value(as_list=False) for one in node.inputs[1:])
    numbers = _in_range(context, node.input[0], int(depth))
    values = context.make_const(tf2onnx.utils.make_name("values"), np.array([off, on])).output[0]
    inputs = [numbers, _constant(context, int(depth)), values]
    _replace(context, node, "OneHot", inputs, axis=node.get_attr_value("axis"))


def _bins(node: Any) -> int | None:
    """The bins of a DenseBincount: min(most, max(fewest, the largest number + 1)), of which Keras fixes both bounds."""
    least = node.inputs[1]
    bounds = [one for one in least.inputs if one.is_const()] if least.type == "Min" else []
    highest = next((one for one in least.inputs if one.type == "Max"), None)
    fewest = [one for one in highest.inputs if one.is_const()] if highest is not None else []
    found = {int(one.get_tensor_value()) for one in (*bounds, *fewest)}
    return found.pop() if bounds and fewest and len(found) == 1 else None


def _in_range(context: Any, numbers: str, depth: int) -> str:
    """Numbers as int64, those below 0 and those from `depth` on being `depth`."""
    wide = context.make_node("Cast", [numbers], attr={"to": onnx.TensorProto.INT64}).output[0]
    last = _constant(context, depth)
    negative = context.make_node("Less", [wide, _constant(context, 0)]).output[0]
    positive = context.make_node("Where", [negative, last, wide]).output[0]
    inside: str = context.make_node("Min", [positive, last]).output[0]
    return inside


def _marked(context: Any, numbers: str, depth: int) -> str:
    """Ones at the numbers of each row; nothing as large as rows x numbers x depth is ever in memory."""
    sizes = context.make_node("Shape", [numbers]).output[0]
    rows = context.make_node("Slice", [sizes, _constant(context, [0]), _constant(context, [1])]).output[0]
    shape = context.make_node("Concat", [rows, _constant(context, [depth])], attr={"axis": 0}).output[0]
    zeros, ones = (
        context.make_node(
            "ConstantOfShape", [size], attr={"value": numpy_helper.from_array(np.array([value], np.float32))}
        ).output[0]
        for size, value in ((shape, 0), (sizes, 1))
    )
    marked: str = context.make_node("ScatterElements", [zeros, numbers, ones], attr={"axis": 1}).output[0]
    return marked


def _counted(context: Any, numbers: str, depth: int) -> str:
    values = context.make_const(tf2onnx.utils.make_name("values"), np.array([0, 1], np.float32)).output[0]
    ones = context.make_node("OneHot", [numbers, _constant(context, depth), values]).output[0]
    counted: str = context.make_node("ReduceSum", [ones, _constant(context, [1])], attr={"keepdims": 0}).output[0]
    return counted


def _constant(context: Any, value: int | list[int]) -> str:
    made: str = context.make_const(tf2onnx.utils.make_name("number"), np.array(value, np.int64)).output[0]
    return made


def _one(context: Any, node: Any) -> str:
    dtype = tf2onnx.utils.map_onnx_to_numpy_type(context.get_dtype(node.input[0]))
    constant: str = context.make_const(tf2onnx.utils.make_name("one"), np.array(1, dtype)).output[0]
    return constant


def _replace(context: Any, node: Any, operation: str, inputs: list[str], **attributes: Any) -> None:
    known = {"shapes": [context.get_shape(node.output[0])], "dtypes": [context.get_dtype(node.output[0])]}
    context.remove_node(node.name)
    context.make_node(operation, inputs, attr=attributes, outputs=node.output, name=node.name, **known)


HANDLERS: dict[str, Any] = {
    "Erfc": (_erfc, []),
    "Expm1": (_expm1, []),
    "DenseBincount": (_dense_bincount, []),
    "OneHot": (_one_hot, []),
}
