"""A checked architecture as plain values: what the checks make, and what the builder builds."""

from dataclasses import dataclass
from typing import Any

#: One sample's shape, without the batch; None is a size that is not fixed.
Shape = tuple[int | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """An input of the network; `shape` is None until the data say what it is."""

    name: str
    shape: Shape | None
    dtype: str
    pointer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer, its arguments complete with Keras's defaults, and the names of the layers and inputs that feed it.

    Nested choices (activation, initializer ...) stay as catalog JSON: a name, or an object with `type`. A wrapper's
    `layer` argument is itself a Layer with no inputs.
    """

    name: str
    type: str
    arguments: dict[str, Any]
    inputs: tuple[str, ...]
    pointer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A whole architecture; `layers` stand in an order in which each comes after all that feed it."""

    inputs: tuple[Input, ...]
    layers: tuple[Layer, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedLayer:
    """What one layer will be: shapes without the batch, and parameters as Keras counts them."""

    name: str
    type: str
    output_shape: Shape
    parameters: int
    trainable_parameters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A network whose every shape is known."""

    network: Network
    layers: tuple[PlannedLayer, ...]
    input_shapes: dict[str, Shape]
    output_shapes: dict[str, Shape]
