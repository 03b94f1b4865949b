"""Rows come in the right order, types and blocks, whether they are held in memory or stay on disk."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.training.rows import Layout, Memory, Rows, Stream, class_weights, epoch_order, stored_order

X = np.arange(24, dtype="float64").reshape(12, 2)
Y = np.arange(12)


def rows(count: int = 12, **changes: Any) -> Rows:
    return Rows.of(**{"x": [X[:count]], "y": [Y[:count]], "weight": None, "input_dtypes": ["float32"], **changes})


@pytest.mark.parametrize(
    ("layout", "packed"),
    [
        ((1, 1, 0), ("a", "b")),
        ((1, 1, 1), ("a", "b", "c")),
        ((2, 1, 0), (("a", "b"), "c")),
        ((1, 2, 2), ("a", ("b", "c"), ("d", "e"))),
    ],
)
def test_arrays_are_packed_as_steps_take_them(layout: tuple[int, int, int], packed: Any) -> None:
    """One of a kind comes by itself, several as a tuple."""
    inputs, outputs, weights = layout
    assert Layout(inputs=inputs, outputs=outputs, weights=weights).pack("abcde"[: sum(layout)]) == packed


def test_types_are_those_of_fit() -> None:
    """Inputs become what the network takes; targets of floats become Keras's floats, whole numbers stay."""
    mixed = Rows.of([X, Y], [X, Y], np.ones(12), ["float32", "int32"])
    assert mixed.dtypes == ("float32", "int32", "float32", "int64", "float32", "float32")
    assert [array.dtype.name for array in mixed.take(slice(0, 2))] == list(mixed.dtypes)


def test_one_weight_counts_for_each_output() -> None:
    """The layout has as many weights as outputs, or none."""
    assert Rows.of([X], [Y, Y], np.ones(12), ["float32"]).layout == Layout(inputs=1, outputs=2, weights=2)
    assert rows().layout.weights == 0


def test_a_row_has_bytes_in_the_types_of_the_steps() -> None:
    """Two float32 and an int64, whatever they were stored as."""
    assert rows().row_bytes == 2 * 4 + 8


def test_a_part_is_a_view() -> None:
    """The last rows of all are those that validate, and nothing is copied."""
    part = rows().part(9, 12)
    assert len(part) == 3
    assert np.shares_memory(part.arrays[0], X)
    assert part.take(slice(None))[1].tolist() == [9, 10, 11]


def fetched(source: Memory | Stream, order: Any, batch_size: int) -> list[list[float]]:
    """The targets of each step, as a loop would gather them."""
    steps = -(-len(order) // batch_size)
    per_block = source.steps_per_block or steps
    found: list[list[float]] = []
    for number in range(-(-steps // per_block)):
        block = source.block(order, number)
        y, places = block.arrays[1].numpy(), block.order.numpy()
        starts = range(0, block.rows, batch_size)
        found += [y[places[start : min(start + batch_size, block.rows)]].tolist() for start in starts]
    source.close()
    return found


@settings(deadline=None, max_examples=60)
@given(count=st.integers(1, 12), batch_size=st.integers(1, 15), bytes_=st.integers(1, 300), shuffled=st.booleans())
def test_blocks_have_the_batches_of_the_whole(count: int, batch_size: int, bytes_: int, shuffled: bool) -> None:
    """Whatever a block holds, each step has the rows, in the order, that it has of rows in memory."""
    order = epoch_order(1, 0, count) if shuffled else stored_order(count)
    expected = [order[start : start + batch_size].tolist() for start in range(0, count, batch_size)]
    assert fetched(Memory(rows(count)), order, batch_size) == expected
    assert fetched(Stream(rows(count), batch_size, bytes_), order, batch_size) == expected


def test_blocks_can_be_asked_for_in_any_order() -> None:
    """A resumed epoch begins in its middle; a block that was read ahead and is not wanted is let go."""
    stream, order = Stream(rows(), 2, 2 * 2 * 16), epoch_order(3, 1, 12)
    assert stream.steps_per_block == 2
    for number in (2, 0, 1, 1, 2):
        block = stream.block(order, number)
        assert block.arrays[1].numpy().tolist() == order[4 * number : 4 * number + 4].tolist()
    other = epoch_order(3, 2, 12)
    assert stream.block(other, 0).arrays[1].numpy().tolist() == other[:4].tolist()
    stream.close()


def test_blocks_have_one_shape() -> None:
    """The last is filled up, so that XLA compiles once; how many of its rows count is told."""
    stream = Stream(rows(10), 4, 4 * 16)
    blocks = [stream.block(stored_order(10), number) for number in range(3)]
    stream.close()
    assert {(tuple(block.arrays[0].shape), len(block.order)) for block in blocks} == {((4, 2), 4)}
    assert [block.rows for block in blocks] == [4, 4, 2]


def test_rows_on_disk_are_read_as_they_are_needed(tmp_path: Path) -> None:
    """A memory map gives the same as an array."""
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    stream = Stream(rows(x=[mapped]), 4, 4 * 16)
    order = epoch_order(5, 0, 12)
    found = np.concatenate([stream.block(order, number).arrays[0].numpy() for number in range(3)])
    stream.close()
    assert np.array_equal(found, X[order].astype("float32"))


def test_what_cannot_be_read_ends_the_training() -> None:
    """An error of the reading thread comes to whoever asks for its block."""

    class Torn:
        shape, dtype = (12, 2), np.dtype("float32")

        def __len__(self) -> int:
            return 12

        def __getitem__(self, wanted: Any) -> Any:
            if 11 in np.arange(12)[wanted]:
                raise OSError(5, "Input/output error")
            return X[wanted]

    torn: Any = Torn()
    stream = Stream(rows(x=[torn]), 4, 4 * 16)
    stream.block(stored_order(12), 0)
    stream.block(stored_order(12), 1)
    with pytest.raises(OSError, match="Input/output"):
        stream.block(stored_order(12), 2)
    stream.close()


def test_orders_depend_on_seed_and_epoch_alone() -> None:
    """Each epoch has one of its own; the numbers are pinned, as resumed jobs of later releases need the same."""
    assert epoch_order(7, 3, 6).tolist() == epoch_order(7, 3, 6).tolist()
    orders = {tuple(epoch_order(seed, epoch, 50)) for seed in range(3) for epoch in range(10)}
    assert len(orders) == 30
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert epoch_order(0, 0, 8).tolist() == [5, 0, 6, 1, 7, 2, 4, 3]
    assert epoch_order(0, 0, 8).dtype == stored_order(8).dtype == np.int32


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        (np.array([0, 1, 2, 1]), [0.5, 2.0, 1.0, 2.0]),
        (np.array([[0.0], [1.0], [2.0], [1.0]], "float32"), [0.5, 2.0, 1.0, 2.0]),
        (np.eye(3)[[0, 1, 2, 1]], [0.5, 2.0, 1.0, 2.0]),
        (np.array([0.4, 0.6, 1.6, 7.0]), [0.5, 2.0, 1.0, 1.0]),
        (np.array([-1, 3]), [1.0, 1.0]),
    ],
    ids=["numbers", "a column", "one-hot", "rounded", "unknown"],
)
def test_class_weights_become_weights_of_rows(y: Any, expected: list[float]) -> None:
    """Classes are numbers, columns of numbers or one-hot rows; one without a weight counts 1."""
    found = class_weights(y, {0: 0.5, 1: 2.0})
    assert found.tolist() == expected
    assert found.dtype == keras.config.floatx()
