"""What kerasd knows of a stored array without reading it again."""

from dataclasses import dataclass
from typing import Any, Literal

Part = Literal["x", "y", "sample_weight"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayFacts:
    """One array of a data set.

    `shape` includes the rows. `name` tells the inputs (or outputs) of a network with several apart; None when `x` (or
    `y`) is one array. `dtype` is "float32", "int32" or "int64". `minimum` and `maximum` are over all values; `integral`
    says that each value is a whole number.
    """

    part: Part
    name: str | None
    shape: tuple[int, ...]
    dtype: str
    minimum: float
    maximum: float
    integral: bool
    columns: tuple[str, ...] | None = None

    @property
    def rows(self) -> int:
        return self.shape[0]

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one row."""
        return self.shape[1:]

    @property
    def filename(self) -> str:
        return f"{self.part}.npy" if self.name is None else f"{self.part}.{self.name}.npy"

    def to_json(self) -> dict[str, Any]:
        return {
            "part": self.part,
            "name": self.name,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "integral": self.integral,
            "columns": None if self.columns is None else list(self.columns),
        }

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> "ArrayFacts":
        columns = row["columns"]
        return cls(
            **{**row, "shape": tuple(row["shape"]), "columns": None if columns is None else tuple(columns)},
        )
