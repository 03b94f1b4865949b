"""How many rows an engine sees at once: as many as fit into a cache, or as the weights are large."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from service.inference.predictor import CACHE_BYTES, MOST_ROWS, rows_at_once
from service.inference.signature import Engine


@dataclass(frozen=True, kw_only=True)
class Version:
    """What the predictor is given of a version."""

    id: str = "ver_00000000000000000000000000"
    engine: Engine = "onnxruntime"
    summary: list[dict[str, Any]] = field(default_factory=list)
    parameters: int = 0


def version(*shapes: list[int | None], parameters: int = 0, engine: Engine = "onnxruntime") -> Version:
    return Version(summary=[{"output_shape": shape} for shape in shapes], parameters=parameters, engine=engine)


@pytest.mark.parametrize(
    ("asked", "due"),
    [
        (version([None, 20], [None, 64], [None, 1]), MOST_ROWS),
        (version([None, 28, 28, 1], [None, 26, 26, 16]), CACHE_BYTES // (26 * 26 * 16 * 4)),
        (version([None, 224, 224, 64]), 1),
        (version([None, 224, 224, 64], parameters=138_000_000), 138_000_000 // (224 * 224 * 64)),
        (version([None, None, 64]), MOST_ROWS),
        (version(), MOST_ROWS),
        (version([None, 224, 224, 64], engine="tensorflow"), MOST_ROWS),
    ],
)
def test_rows_go_by_the_largest_layer_and_the_weights(asked: Version, due: int) -> None:
    """A size that is not fixed counts as one; another process is sent many rows at a time."""
    assert rows_at_once(asked) == due
