"""ArrayWriter turns rows into one .npy file and finds every value that cannot be kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.data.array_writer import ArrayWriter, Intake
from service.data.arrays import ArrayFacts
from service.data.fault_list import FaultList
from service.data.read_options import ReadOptions
from service.errors import Invalid, TooLarge


def written(folder: Path, facts: ArrayFacts) -> np.ndarray[Any, Any]:
    return np.load(folder / facts.filename)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    array=hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=4, max_side=5),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    ),
    step=st.integers(1, 4),
)
def test_floats_written_in_any_chunks_read_equal(tmp_path: Path, array: np.ndarray[Any, Any], step: int) -> None:
    """Lists of float32 values come back equal, however many rows each chunk has."""
    array = array + np.float32(0.5) * (np.abs(array) < 1000)
    writer = ArrayWriter(tmp_path, "x", "left", stored="float64")
    for first in range(0, len(array), step):
        writer.append(array[first : first + step].tolist())
    facts = writer.finish()
    assert len(writer.faults) == 0
    assert facts.shape == array.shape
    np.testing.assert_array_equal(written(tmp_path, facts), array)
    assert (facts.minimum, facts.maximum) == (array.min(), array.max())


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    array=hnp.arrays(np.int64, hnp.array_shapes(max_dims=3, max_side=5), elements=st.integers(-(2**53) + 1, 2**53 - 1))
)
def test_whole_numbers_read_equal_and_take_the_smallest_integer_type(
    tmp_path: Path, array: np.ndarray[Any, Any]
) -> None:
    """Whole numbers are kept exactly: int32 where all fit, int64 otherwise."""
    writer = ArrayWriter(tmp_path, "y")
    writer.append(array.tolist())
    facts = writer.finish()
    fits = array.min() >= -(2**31) and array.max() < 2**31
    assert facts.dtype == ("int32" if fits else "int64")
    assert facts.integral
    np.testing.assert_array_equal(written(tmp_path, facts), array)


def test_file_is_little_endian_c_order_and_alone(tmp_path: Path) -> None:
    """One .npy file remains in the folder; it can be mapped."""
    writer = ArrayWriter(tmp_path, "x")
    writer.append([[1.5, 2], [3, 4]])
    facts = writer.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert mapped.flags.c_contiguous
    assert mapped.dtype.str == "<f4"
    assert facts == ArrayFacts(
        part="x", name=None, shape=(2, 2), dtype="float32", minimum=1.5, maximum=4.0, integral=False
    )


@pytest.mark.parametrize(("part", "shape"), [("x", (3, 1)), ("y", (3,)), ("sample_weight", (3,))])
def test_scalar_rows_get_a_dimension_in_x_only(tmp_path: Path, part: Any, shape: tuple[int, ...]) -> None:
    """A row that is one number has the sample shape (1,) in x and () elsewhere."""
    writer = ArrayWriter(tmp_path, part)
    writer.append([1.5, 2, 3])
    facts = writer.finish()
    assert facts.shape == shape
    assert written(tmp_path, facts).shape == shape


def test_weights_are_floats_even_if_whole(tmp_path: Path) -> None:
    """sample_weight is float32 always."""
    writer = ArrayWriter(tmp_path, "sample_weight")
    writer.append([1, 2])
    assert writer.finish().dtype == "float32"


@pytest.mark.parametrize(
    ("rows", "pointer", "words"),
    [
        ([[1, 2], [3]], "/x/1", "A list of 1 came; 2 were expected"),
        ([[1, 2], 3], "/x/1", "3 came; a list of 2"),
        ([[1, 2], [3, None]], "/x/1/1", "null came"),
        ([[1, 2], ["3", 4]], "/x/1/0", "The text '3' came"),
        ([[1, 2], [True, 4]], "/x/1/0", "true came"),
        ([[1, 2], [{}, 4]], "/x/1/0", "An object came"),
        ([[1, 2], [[1], 4]], "/x/1/0", "A list came"),
        ([[1, 2], [float("nan"), 4]], "/x/1/0", "nan came"),
        ([[1, 2], [10**5000, 4]], "/x/1/0", "A huge number came"),
        ([[1.5, 2], [1e39, 4]], "/x/1/0", "kept as float32"),
        ([[1, 2], [2**53, 4]], "/x/1/0", "lose digits"),
        ([[], []], "/x", "Rows of shape [0]"),
        ([[[[[[[[[[1]]]]]]]]]], "/x", "at most 8 dimensions"),
        ([], "/x", "no rows"),
    ],
)
def test_faults_name_the_value(tmp_path: Path, rows: list[Any], pointer: str, words: str) -> None:
    """Each bad value is one fault, with its row and its place in the row; no file remains."""
    writer = ArrayWriter(tmp_path, "x")
    writer.append(rows)
    writer.finish()
    with pytest.raises(Invalid) as raised:
        writer.faults.raise_if_any()
    (fault,) = raised.value.faults
    assert fault.pointer == pointer
    assert words in fault.detail
    assert not (tmp_path / "x.npy").exists()


def test_all_faults_are_counted_and_twenty_told(tmp_path: Path) -> None:
    """After 20 faults the rest is a number."""
    writer = ArrayWriter(tmp_path, "y")
    writer.append([0.5])
    for _ in range(5):
        writer.append([None] * 10)
    with pytest.raises(Invalid) as raised:
        writer.faults.raise_if_any()
    assert len(raised.value.faults) == FaultList.LIMIT + 1
    assert raised.value.faults[0].pointer == "/y/1"
    assert raised.value.faults[-1].detail == "... and 30 more"


def test_arrays_with_bad_cells_are_counted_too(tmp_path: Path) -> None:
    """An ndarray's bad values are named by place, and counted beyond the first 20."""
    writer = ArrayWriter(tmp_path, "x", stored="float64")
    writer.append(np.zeros((2, 3)))
    writer.append(np.full((10, 3), np.inf))
    writer.append(np.zeros((2, 4)))
    assert len(writer.faults) == 31
    writer.finish()


def test_booleans_in_y_are_zero_and_one(tmp_path: Path) -> None:
    """true and false may be labels."""
    writer = ArrayWriter(tmp_path, "y")
    writer.append([True, False])
    facts = writer.finish()
    assert written(tmp_path, facts).tolist() == [1, 0]


def test_unsigned_numbers_beyond_int64_are_a_fault(tmp_path: Path) -> None:
    """A uint64 that int64 cannot hold is named."""
    writer = ArrayWriter(tmp_path, "x", stored="int64")
    writer.append(np.array([[1], [2**63]], np.uint64))
    writer.finish()
    with pytest.raises(Invalid, match="1"):
        writer.faults.raise_if_any()


def test_negative_weights_are_a_fault(tmp_path: Path) -> None:
    """A weight below 0 is named by its row."""
    writer = ArrayWriter(tmp_path, "sample_weight")
    writer.append([1, -1])
    writer.finish()
    with pytest.raises(Invalid) as raised:
        writer.faults.raise_if_any()
    assert raised.value.faults[0].pointer == "/sample_weight/1"


@pytest.mark.parametrize("options", [ReadOptions(max_rows=2), ReadOptions(max_bytes=16)])
def test_limits_hold_while_rows_come(tmp_path: Path, options: ReadOptions) -> None:
    """The row or the byte too many ends the reading."""
    writer = Intake(tmp_path, options).open("x")
    assert writer is not None
    writer.append([1, 2])
    with pytest.raises(TooLarge):
        writer.append([3])


def test_more_than_64_arrays_are_a_fault(tmp_path: Path) -> None:
    """A data set has 64 arrays at most."""
    intake = Intake(tmp_path, ReadOptions())
    for index in range(65):
        intake.open("x", f"input{index}")
    assert len(intake.faults) == 1
    assert len(intake.writers) == 64


def test_faults_are_found_in_every_chunk_after_the_first(tmp_path: Path) -> None:
    """Values beyond float32 and negative weights are told wherever they are, also when others were wrong before."""
    writer = ArrayWriter(tmp_path, "sample_weight", stored="float64")
    for rows in ([0.5], [1e39], [np.nan], [-1.0], [2e39], [1.0]):
        writer.append(np.array(rows))
    writer.finish()
    with pytest.raises(Invalid) as raised:
        writer.faults.raise_if_any()
    assert [fault.pointer for fault in raised.value.faults] == [f"/sample_weight/{row}" for row in (1, 2, 3, 4)]
    assert list(tmp_path.iterdir()) == []


def test_whole_floats_that_are_too_large_are_found_when_the_first_broken_one_comes(tmp_path: Path) -> None:
    """Until then they might have become integers; the rows are those of the beginning."""
    writer = ArrayWriter(tmp_path, "x", stored="float64")
    writer.append(np.array([[1.0], [1e39], [2.0]]))
    assert len(writer.faults) == 0
    writer.append(np.array([[0.5]]))
    writer.finish()
    with pytest.raises(Invalid) as raised:
        writer.faults.raise_if_any()
    assert [fault.pointer for fault in raised.value.faults] == ["/x/1/0"]


def test_zeros_keep_their_sign_among_fractions(tmp_path: Path) -> None:
    """What was whole for a while is kept to the bit."""
    writer = ArrayWriter(tmp_path, "y", stored="float32")
    writer.append(np.array([-0.0, 1.0], "float32"))
    writer.append(np.array([0.5], "float32"))
    facts = writer.finish()
    assert np.signbit(written(tmp_path, facts)).tolist() == [True, False, False]


def test_integers_that_outgrow_int32_are_exact(tmp_path: Path) -> None:
    """Those before them are written anew."""
    writer = ArrayWriter(tmp_path, "y", stored="int64")
    for value in (-1, 2**31 - 1, 2**62 + 1, -(2**31)):
        writer.append(np.array([value]))
    facts = writer.finish()
    assert facts.dtype == "int64"
    assert written(tmp_path, facts).tolist() == [-1, 2**31 - 1, 2**62 + 1, -(2**31)]


def test_to_finish_twice_is_no_error(tmp_path: Path) -> None:
    """The facts are the same, and so are the faults."""
    writer = ArrayWriter(tmp_path, "y")
    assert writer.finish() is writer.finish()
    assert len(writer.faults) == 1


def test_an_array_that_was_dropped_leaves_nothing(tmp_path: Path) -> None:
    """Its file goes, and nothing is finished for it."""
    intake = Intake(tmp_path, ReadOptions())
    writer = intake.open("x", stored="float32")
    assert writer is not None
    writer.append(np.array([[0.5]]))
    intake.drop("x", None)
    assert list(tmp_path.iterdir()) == []
    assert intake.writers == {}
