"""What is not finite, for clients who want an error of it."""

import numpy as np
import pytest

from service.errors import NotFinite
from service.inference.finite import require_finite
from tests.inference.signatures import TWO, one


def test_finite_numbers_pass() -> None:
    """And whole ones."""
    require_finite({"y": np.ones((2, 2), np.float32)}, one(2))
    require_finite({"y": np.ones((2, 2), np.int32)}, one(2))


def test_rows_and_outputs_are_named() -> None:
    """Each value has its place, and the sentence lists the rows."""
    outputs = {"p": np.array([[1], [np.nan]], np.float32), "q": np.ones((2, 2, 2), np.float32)}
    outputs["q"][0, 1, 0] = np.inf
    with pytest.raises(NotFinite) as caught:
        require_finite(outputs, TWO)
    assert [fault.pointer for fault in caught.value.faults] == ["/predictions/1/p/0", "/predictions/0/q/1/0"]
    assert "2 rows (0, 1)" in caught.value.detail


def test_many_are_counted() -> None:
    """Twenty are named."""
    with pytest.raises(NotFinite, match=r"1000 rows \(0, 1, .*19, \.\.\.\)") as caught:
        require_finite({"y": np.full((1000, 2), np.nan)}, one(2))
    assert len(caught.value.faults) == 20
