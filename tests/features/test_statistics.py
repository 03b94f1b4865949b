"""What is gathered in batches is what NumPy finds in all values at once, in memory that has a bound."""

from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from service.features.statistics import Counts, Distinct, Moments, Sample, Words

Floats = npt.NDArray[np.float64]


def cut(values: Floats, places: list[int]) -> list[Floats]:
    return np.split(values, sorted(place % (values.shape[-1] + 1) for place in places), axis=-1)


VALUES = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 3), st.integers(1, 200)),
    elements=st.one_of(st.floats(-1e6, 1e6), st.just(float("nan"))),
)


@settings(max_examples=200, deadline=None)
@given(VALUES, st.lists(st.integers(0, 1000), max_size=5))
def test_moments_are_those_of_all_values(values: Floats, places: list[int]) -> None:
    """However the values are cut into batches, mean, spread and bounds are NumPy's, to twelve digits."""
    moments = Moments(len(values))
    for batch in cut(values, places):
        moments.add(batch)
    for row, own in enumerate(values):
        there = own[~np.isnan(own)]
        assert moments.count[row] == len(there)
        if len(there):
            scale = np.abs(there).max() or 1.0
            assert moments.mean[row] == pytest.approx(there.mean(), rel=1e-12, abs=1e-12 * scale)
            # The spread of values that are all but equal is lost in their own rounding, for NumPy too.
            assert moments.spread[row] == pytest.approx(there.std(), rel=1e-9, abs=1e-12 * scale)
            assert (moments.minimum[row], moments.maximum[row]) == (there.min(), there.max())


@pytest.mark.parametrize(
    ("batch", "offset"), [(1, 0.0), (7, 0.0), (7, 1e3), (1000, 0.0), (1000, 1e6), (65_536, 1e3), (65_536, 1e6)]
)
def test_many_values_lose_no_digits(batch: int, offset: float) -> None:
    """A hundred thousand values, in small and large batches and far from 0, have NumPy's moments to twelve digits."""
    values = np.random.default_rng(5).normal(offset, 3.0, 100_000 if batch > 1 else 10_000)
    moments = Moments(1)
    for start in range(0, len(values), batch):
        moments.add(values[np.newaxis, start : start + batch])
    assert moments.mean[0] == pytest.approx(values.mean(), rel=1e-12, abs=1e-12)
    assert moments.spread[0] == pytest.approx(values.std(), rel=1e-12)


def test_skewness() -> None:
    """An exponential distribution has the skewness 2, equal values have none, and batches make no difference."""
    values = np.random.default_rng(1).exponential(size=200_000)
    whole, cut_up = Moments(1), Moments(1)
    whole.add(values[np.newaxis])
    for batch in np.array_split(values, 17):
        cut_up.add(batch[np.newaxis])
    away = values - values.mean()
    expected = (away**3).mean() / (away**2).mean() ** 1.5
    assert whole.skewness[0] == pytest.approx(expected, rel=1e-9)
    assert cut_up.skewness[0] == pytest.approx(expected, rel=1e-9)
    same = Moments(1)
    same.add(np.full((1, 9), 4.0))
    assert (same.skewness[0], same.spread[0]) == (0.0, 0.0)


def test_huge_values_make_an_infinite_spread() -> None:
    """Nothing warns or fails where squares have no float64."""
    moments = Moments(1)
    moments.add(np.array([[1e300, -1e300]]))
    assert (moments.spread[0], moments.maximum[0], moments.skewness[0]) == (np.inf, 1e300, 0.0)


@settings(max_examples=100, deadline=None)
@given(arrays.arrays(np.float64, st.integers(1, 300), elements=st.floats(-1e9, 1e9)), st.lists(st.integers(0, 300)))
def test_medians_of_few_values_are_exact(values: Floats, places: list[int]) -> None:
    """Up to the sample's size the median is that of all values."""
    sample, first = Sample(300), 0
    for batch in cut(values, places):
        sample.add(batch, first + np.arange(len(batch)))
        first += len(batch)
    assert sample.median() == float(np.median(values))


def test_medians_of_many_values_are_those_of_a_sample() -> None:
    """The sample is the same however the rows are cut, and its median near that of all."""
    values = np.random.default_rng(2).normal(size=50_000)
    medians = []
    for batch in (50_000, 4096, 999):
        sample = Sample(5_000)
        for first in range(0, len(values), batch):
            part = values[first : first + batch]
            sample.add(part, first + np.arange(len(part)))
        medians.append(sample.median())
    assert len(set(medians)) == 1
    assert medians[0] == pytest.approx(float(np.median(values)), abs=0.05)


def test_the_median_of_whole_numbers_is_one_of_them() -> None:
    """Of an even number of whole numbers the lower one in the middle is taken."""
    sample = Sample()
    sample.add(np.array([9, 2, 4, 1]), np.arange(4))
    assert sample.median() == 2.0


def test_no_value_has_no_median() -> None:
    """Without values there is nothing in the middle."""
    sample = Sample()
    assert sample.median() is None
    sample.add(np.zeros(0), np.zeros(0, np.int64))
    assert sample.median() is None


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcdefg"), max_size=30), max_size=5))
def test_counts_rank_by_frequency_then_by_text(batches: list[list[str]]) -> None:
    """The most frequent text is first; of equally frequent ones that which sorts first."""
    counts = Counts(100)
    for batch in batches:
        one = Counter(batch)
        counts.add(list(one), np.array(list(one.values()), np.int64))
    every = Counter(text for batch in batches for text in batch)
    assert counts.most_frequent() == tuple(sorted(every, key=lambda text: (-every[text], text)))
    assert (counts.distinct, counts.total) == (len(every), every.total())
    assert counts.once == sum(count == 1 for count in every.values())
    assert counts.all_different == all(count == 1 for count in every.values())


def test_counts_have_a_bound() -> None:
    """Beyond its bound a count holds nothing any more, and says so."""
    counts = Counts(3)
    counts.add(["a", "b", "c", "d"], np.array([1, 1, 1, 1]))
    counts.add(["a"], np.array([5]))
    assert (counts.full, counts.distinct, counts.total, counts.most_frequent()) == (True, 0, 9, ())


def test_rare_words_are_forgotten() -> None:
    """Of more words than there is room for, those that come again and again stay, whatever comes between."""
    words = Words(most=1_000)
    for number in range(20_000):
        words.add([f"rare{number}", "often", "always", "always"])
    assert words.most_frequent(2) == ("always", "often")


def test_numbers_that_are_all_different() -> None:
    """Only whole numbers are compared; one that comes again, in whatever batch, is found."""
    distinct = Distinct(most=1_000)
    distinct.add(np.arange(500.0))
    distinct.add(np.arange(500.0, 900.0))
    assert distinct.all_distinct
    distinct.add(np.array([3.0]))
    assert not distinct.all_distinct
    fractions = Distinct(most=1_000)
    fractions.add(np.array([0.5, 1.0]))
    assert not fractions.all_distinct
