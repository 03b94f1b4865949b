"""The rows that a job trains or validates on, and the blocks of them that are in memory at a time.

Data that fit into the job's budget are one block. Larger ones stay on disk, mapped, and come in blocks of some tens
of megabytes, the next one read while the present one is worked on. What is computed does not depend on which it is.
"""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

#: About how many bytes a block of data that stay on disk has at most.
BLOCK_BYTES = 32 * 2**20
#: About how many blocks are in memory at a time: one, the next one, and what it takes to read and to order that.
_BLOCKS_IN_MEMORY = 8

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a flat list of arrays, inputs first, becomes what Keras's steps take: (x, y) or (x, y, sample_weight)."""

    inputs: int
    outputs: int
    weights: int

    def pack(self, arrays: Sequence[Any]) -> tuple[Any, ...]:
        x = _one_or_all(arrays[: self.inputs])
        y = _one_or_all(arrays[self.inputs : self.inputs + self.outputs])
        if not self.weights:
            return x, y
        return x, y, _one_or_all(arrays[self.inputs + self.outputs :])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Arrays of the same length, (rows, ...): those of x, then of y, then of sample_weight; memory maps as they are."""

    arrays: tuple[Array, ...]
    dtypes: tuple[str, ...]
    layout: Layout

    @classmethod
    def of(
        cls,
        x: Sequence[Array],
        y: Sequence[Array],
        weight: Array | None,
        input_dtypes: Sequence[str],
        class_weight: Mapping[int, float] | None = None,
    ) -> "Rows":
        """Put the arrays together as `Model.fit` does.

        Inputs become what the network's inputs are. Other arrays of floats become Keras's float type, whole numbers
        stay. One `weight` per row counts for each output. Class weights become weights of the rows.
        """
        if class_weight is not None:
            weight = class_weights(y[0], class_weight)
        weights = [] if weight is None else [weight] * len(y)
        floats = keras.config.floatx()
        others = [floats if array.dtype.kind == "f" else array.dtype.name for array in (*y, *weights)]
        return cls(
            arrays=(*x, *y, *weights),
            dtypes=(*input_dtypes, *others),
            layout=Layout(inputs=len(x), outputs=len(y), weights=len(weights)),
        )

    def __len__(self) -> int:
        return len(self.arrays[0])

    def part(self, start: int, stop: int) -> "Rows":
        return Rows(arrays=tuple(array[start:stop] for array in self.arrays), dtypes=self.dtypes, layout=self.layout)

    @property
    def row_bytes(self) -> int:
        """What one row takes in memory."""
        return sum(
            math.prod(array.shape[1:]) * np.dtype(dtype).itemsize
            for array, dtype in zip(self.arrays, self.dtypes, strict=True)
        )

    def take(self, rows: Array | slice) -> tuple[Array, ...]:
        """Read some rows, in the order given, in the types that the steps take."""
        return tuple(
            np.ascontiguousarray(array[rows], dtype=dtype)
            for array, dtype in zip(self.arrays, self.dtypes, strict=True)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Rows in memory, as tensors: step i takes those at `order[i * batch_size : (i + 1) * batch_size]`.

    `order` can be longer than `rows`: it is filled up where each block must have the same shape.
    """

    arrays: tuple[Any, ...]
    order: Any
    rows: int


class Memory:
    """All rows as one block."""

    def __init__(self, rows: Rows) -> None:
        self._rows = len(rows)
        self._arrays = tuple(tf.constant(array) for array in rows.take(slice(None)))
        self._order: Any = None
        self._key: Any = None

    #: How many steps a block has; None means all.
    steps_per_block: int | None = None

    def block(self, order: Array, number: int) -> Block:
        """The rows in the order given; `number` is 0."""
        if self._key is not order:
            self._key, self._order = order, tf.constant(order)
        return Block(arrays=self._arrays, order=self._order, rows=self._rows)

    def close(self) -> None:
        """Nothing to let go of."""


class Stream:
    """Blocks of rows that are read from disk, each while the one before it is worked on."""

    def __init__(self, rows: Rows, batch_size: int, block_bytes: int = BLOCK_BYTES) -> None:
        self._source = rows
        self._batch_size = batch_size
        steps = math.ceil(len(rows) / batch_size)
        self.steps_per_block = max(1, min(steps, block_bytes // max(1, rows.row_bytes * batch_size)))
        self._rows_per_block = self.steps_per_block * batch_size
        self._within = tf.range(self._rows_per_block, dtype=tf.int32)
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rows")
        self._coming: tuple[Any, int, Future[Block]] | None = None
        self._present: tuple[Any, int, Block] | None = None

    def block(self, order: Array, number: int) -> Block:
        """The block of that number, counted from 0, of an epoch in the order given; the same again if it is present."""
        present = self._present
        if present is not None and present[0] is order and present[1] == number:
            return present[2]
        # The one before is let go of first, so that no more than two are in memory, and one that is being read.
        self._present = present = None
        block = self._awaited(order, number)
        self._present = (order, number, block)
        if (number + 1) * self._rows_per_block < len(order):
            self._coming = (order, number + 1, self._reader.submit(self._read, order, number + 1))
        return block

    def close(self) -> None:
        """End the reading."""
        self._reader.shutdown(cancel_futures=True)

    def _awaited(self, order: Array, number: int) -> Block:
        coming, self._coming = self._coming, None
        if coming is not None and coming[0] is order and coming[1] == number:
            return coming[2].result()
        return self._read(order, number)

    def _read(self, order: Array, number: int) -> Block:
        wanted = order[number * self._rows_per_block : (number + 1) * self._rows_per_block]
        # Rows are read as they lie on disk, and put into their order in memory.
        sequence = np.argsort(wanted, kind="stable")
        place = np.empty_like(sequence)
        place[sequence] = np.arange(len(sequence))
        arrays = [array[place] for array in self._source.take(wanted[sequence])]
        missing = self._rows_per_block - len(wanted)
        if missing:
            arrays = [np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)]) for array in arrays]
        return Block(arrays=tuple(tf.constant(array) for array in arrays), order=self._within, rows=len(wanted))


def feed(rows: Rows, batch_size: int, memory_bytes: int) -> Memory | Stream:
    """Hold the rows in memory if they fit into `memory_bytes`, and read them in blocks that do otherwise."""
    if len(rows) * rows.row_bytes <= memory_bytes:
        return Memory(rows)
    return Stream(rows, batch_size, min(BLOCK_BYTES, memory_bytes // _BLOCKS_IN_MEMORY))


def epoch_order(seed: int, epoch: int, rows: int) -> Array:
    """The order of the rows in an epoch, counted from 0: a function of these three numbers and of nothing else."""
    # NumPy swaps the same places whatever lies there; in 4 bytes each, not 8, which counts where there are millions.
    order = stored_order(rows)
    np.random.Generator(np.random.Philox(key=[seed, epoch])).shuffle(order)
    return order


def stored_order(rows: int) -> Array:
    """The order in which the rows were stored."""
    return np.arange(rows, dtype=np.int32 if rows < 2**31 else np.int64)


def class_weights(y: Array, class_weight: Mapping[int, float]) -> Array:
    """The weight of each row: that of its class, the number in y or the place of the largest entry of its one-hot row.

    A class without a weight counts 1.
    """
    classes = np.asarray(y)
    if classes.ndim > 1:
        classes = classes[..., 0] if classes.shape[-1] == 1 else np.argmax(classes, axis=-1)
    numbers = np.round(classes).astype(np.int32)
    known = np.array(sorted(class_weight), dtype=np.int32)
    weights = np.array([class_weight[number] for number in known], dtype=keras.config.floatx())
    place = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
    return np.where(known[place] == numbers, weights[place], np.ones((), weights.dtype))


def _one_or_all(arrays: Sequence[Any]) -> Any:
    return arrays[0] if len(arrays) == 1 else tuple(arrays)
