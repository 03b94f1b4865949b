"""A stored table in pieces that are small both as they are and as what is made of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from service.data.table import batches
from service.features.preparation import Preparation

if TYPE_CHECKING:
    import pyarrow as pa

#: About how many bytes the arrays that a piece becomes have.
PIECE_BYTES: Final = 2**23
#: Both float32 and int32 take so many bytes.
_ITEM_BYTES: Final = 4


def pieces(folder: Path, columns: Sequence[str], row_bytes: int = 1) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The named columns of a stored table in the order of its rows, each piece with the number of its first row.

    `row_bytes` is what a row becomes in memory: a picture of a few bytes can become a million.
    """
    first, step = 0, max(1, PIECE_BYTES // row_bytes)
    for batch in batches(folder, columns):
        for start in range(0, batch.num_rows, step):
            piece = batch.slice(start, step)
            yield first, piece
            first += piece.num_rows


def row_bytes(preparation: Preparation) -> int:
    """What a row becomes as arrays, in bytes."""
    shapes = [*(one.shape for one in preparation.inputs), *(one.shape for one in preparation.targets)]
    return _ITEM_BYTES * sum(map(math.prod, shapes))
