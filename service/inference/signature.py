"""What a version takes and gives: the name, the shape and the dtype of each input and output."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

#: Who answers a version's predictions: its ONNX file, or TensorFlow where the conversion did not hold.
Engine = Literal["onnxruntime", "tensorflow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One input or output; `shape` is one sample's, without the batch, and None is a size that is not fixed."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    def takes(self, shape: Sequence[int]) -> bool:
        """Whether one sample can have this shape; a size that is not fixed is at least 1."""
        return len(shape) == len(self.shape) and all(
            size > 0 if due is None else size == due for size, due in zip(shape, self.shape, strict=True)
        )

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "shape": list(self.shape), "dtype": self.dtype}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> "TensorSpec":
        return cls(name=row["name"], shape=tuple(row["shape"]), dtype=row["dtype"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """The inputs and outputs of a version, in the order in which the architecture names them."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "inputs": [spec.to_json() for spec in self.inputs],
            "outputs": [spec.to_json() for spec in self.outputs],
        }

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> "Signature":
        return cls(
            inputs=tuple(TensorSpec.from_json(spec) for spec in row["inputs"]),
            outputs=tuple(TensorSpec.from_json(spec) for spec in row["outputs"]),
        )
