"""The digest that follows the writing of arrays says what reading them again would say."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.data.array_writer import Intake
from service.data.arrays import ArrayFacts
from service.data.content_digest import ContentDigest
from service.data.read_options import ReadOptions
from service.data.store import content_sha256

HALVES, WHOLE = np.array([[0.5], [1.5], [2.5], [3.5]]), np.array([[1.0], [2.0], [3.0], [4.0]])


def written(intake: Intake, part: Any, array: np.ndarray[Any, Any], stored: str, step: int = 1) -> ArrayFacts:
    """An array that comes `step` rows at a time, and whose number of rows was known before."""
    writer = intake.open(part, stored=stored, rows=len(array))
    assert writer is not None
    for first in range(0, len(array), step):
        writer.append(array[first : first + step])
    return writer.finish()


@pytest.mark.parametrize(
    ("array", "stored", "dtype"),
    [
        (HALVES.astype("float32"), "float32", "float32"),
        (HALVES, "float64", "float32"),
        (WHOLE.astype("float32"), "float32", "int32"),
        (WHOLE * 2**40, "float64", "int64"),
        (WHOLE * 1e30, "float64", "float32"),
        (np.concatenate([WHOLE, HALVES]).astype("float32"), "float32", "float32"),
        (np.concatenate([WHOLE, HALVES]), "float64", "float32"),
        (WHOLE.astype("uint8"), "int32", "int32"),
        (WHOLE.astype("int64"), "int64", "int32"),
        (np.array([[1], [2], [2**40], [3]]), "int64", "int64"),
        (np.array([[2**40], [1]]), "int64", "int64"),
        (HALVES.astype(">f8"), "float64", "float32"),
    ],
)
def test_it_follows_every_way_to_a_final_type(
    tmp_path: Path, array: np.ndarray[Any, Any], stored: str, dtype: str
) -> None:
    """Whether the type is known at once, in the middle or at the end, the digest is that of the file."""
    intake = Intake(tmp_path, ReadOptions())
    facts = written(intake, "x", array, stored)
    assert facts.dtype == dtype
    assert intake.digest.of([facts]) == content_sha256(tmp_path, [facts])
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), array.astype(dtype))
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    array=hnp.arrays(
        st.sampled_from([np.dtype("float64"), np.dtype("float32"), np.dtype("int64"), np.dtype("uint32")]),
        st.integers(1, 12),
        elements={"min_value": 0, "max_value": 2**20},
    ),
    step=st.integers(1, 12),
    part=st.sampled_from(["x", "y", "sample_weight"]),
)
def test_it_follows_chunks_of_any_size(tmp_path: Path, array: np.ndarray[Any, Any], step: int, part: str) -> None:
    """However the rows come, the digest and the values are the same."""
    intake = Intake(tmp_path, ReadOptions())
    stored = {"float32": "float32", "float64": "float64"}.get(array.dtype.name, "int64")
    facts = written(intake, part, array, stored, step)
    assert intake.digest.of([facts]) == content_sha256(tmp_path, [facts])
    np.testing.assert_allclose(np.load(tmp_path / facts.filename).ravel(), array, rtol=1e-7, atol=1e-30)


def test_arrays_in_another_order_are_not_what_it_followed(tmp_path: Path) -> None:
    """y before x has to be read again, as the digest of a data set has x first."""
    intake = Intake(tmp_path, ReadOptions())
    y, x = written(intake, "y", WHOLE, "float64"), written(intake, "x", HALVES, "float64")
    assert intake.digest.of([x, y]) is None
    assert intake.digest.of([y, x]) == content_sha256(tmp_path, [y, x])


def test_an_array_of_unknown_length_is_not_followed(tmp_path: Path) -> None:
    """The number of rows stands before the values."""
    intake = Intake(tmp_path, ReadOptions())
    writer = intake.open("x", stored="float64")
    assert writer is not None
    writer.append(HALVES)
    assert intake.digest.of([writer.finish()]) is None


def test_no_arrays_have_the_digest_of_nothing() -> None:
    """It has followed all of them."""
    assert ContentDigest().of([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
