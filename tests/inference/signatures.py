"""Signatures for the tests of what is read and written by media type."""

from service.inference.signature import Signature, TensorSpec

TWO = Signature(
    inputs=(TensorSpec(name="a", shape=(2,), dtype="float32"), TensorSpec(name="b", shape=(), dtype="int32")),
    outputs=(TensorSpec(name="p", shape=(1,), dtype="float32"), TensorSpec(name="q", shape=(2, 2), dtype="float32")),
)


def one(*shape: int | None, dtype: str = "float32") -> Signature:
    """A network with the one input `x`, and the output `y` of two numbers."""
    return Signature(
        inputs=(TensorSpec(name="x", shape=shape, dtype=dtype),),
        outputs=(TensorSpec(name="y", shape=(2,), dtype="float32"),),
    )
