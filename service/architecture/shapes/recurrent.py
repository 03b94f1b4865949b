"""Shapes of the layers that read a sequence step by step."""

from math import prod

from service.architecture.network import Layer, Shape
from service.architecture.shapes.convolution import AXES, convolved
from service.architecture.shapes.rule import LayerShape, Rule, expect_axes, known, tuple_of


def _steps_of(layer: Layer, shape: Shape, state: Shape) -> Shape:
    return (shape[0], *state) if layer.arguments["return_sequences"] else state


def _checked(layer: Layer, shape: Shape) -> tuple[int, int]:
    """Give the features and units, once the samples are known to be sequences that the layer can read."""
    expect_axes(layer, shape, ("timesteps", "features"))
    return known(layer, shape, 1, "number of features"), layer.arguments["units"]


def _recurrent(gates: int) -> Rule:
    def rule(layer: Layer, shape: Shape) -> LayerShape:
        features, units = _checked(layer, shape)
        return LayerShape(
            output_shape=_steps_of(layer, shape, (units,)),
            trainable=gates * units * (features + units + int(layer.arguments["use_bias"])),
        )

    return rule


def _gru(layer: Layer, shape: Shape) -> LayerShape:
    features, units = _checked(layer, shape)
    # With reset_after the recurrent part has a bias of its own, as in cuDNN.
    biases = int(layer.arguments["use_bias"]) * (2 if layer.arguments["reset_after"] else 1)
    return LayerShape(
        output_shape=_steps_of(layer, shape, (units,)),
        trainable=3 * units * (features + units + biases),
    )


def _conv_lstm(rank: int) -> Rule:
    def rule(layer: Layer, shape: Shape) -> LayerShape:
        spatial = ("steps",) if rank == 1 else AXES[rank][:-1]
        expect_axes(layer, shape, ("timesteps", *spatial, "channels"))
        for index in range(1, rank + 1):
            known(layer, shape, index, "size of each axis but the timesteps")
        channels, filters = known(layer, shape, -1, "number of channels"), layer.arguments["filters"]
        kernel = prod(tuple_of(layer, "kernel_size", rank))
        return LayerShape(
            output_shape=_steps_of(layer, shape, (*convolved(layer, shape[1:-1]), filters)),
            trainable=4 * filters * (kernel * (channels + filters) + int(layer.arguments["use_bias"])),
        )

    return rule


RULES: dict[str, Rule] = {
    "SimpleRNN": _recurrent(1),
    "LSTM": _recurrent(4),
    "GRU": _gru,
    **{f"ConvLSTM{rank}D": _conv_lstm(rank) for rank in AXES},
}
