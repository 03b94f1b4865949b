"""Counts are exact within their bounds, and estimates keep the errors that they tell."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.data.profiling.bounds import mixed
from service.data.profiling.sketches import Distinct, Frequent


def hashes(numbers: object) -> np.ndarray:
    return mixed(np.asarray(numbers, np.uint64))


@given(st.lists(st.lists(st.integers(0, 60), max_size=40)), st.integers(70, 100))
def test_few_different_values_are_counted_exactly(parts: list[list[int]], bound: int) -> None:
    """In whatever parts they come, and however often each."""
    distinct = Distinct(bound)
    for part in parts:
        distinct.add(hashes(part))
    assert (distinct.count, distinct.error) == (len({number for part in parts for number in part}), 0)


def test_many_different_values_are_estimated_within_the_error() -> None:
    """A hundred thousand values by a thousand hashes, within three standard errors; repetitions change nothing."""
    distinct = Distinct(1_000)
    for first in range(0, 100_000, 10_000):
        distinct.add(hashes(range(first, first + 10_000)))
    once = distinct.count
    assert 0.03 < distinct.error < 0.032
    assert abs(once - 100_000) < 3 * distinct.error * 100_000
    distinct.add(hashes(range(0, 100_000, 7)))
    assert distinct.count == once


def test_the_bound_itself_is_exact() -> None:
    """One more makes an estimate."""
    distinct = Distinct(100)
    distinct.add(hashes(range(100)))
    assert (distinct.count, distinct.error) == (100, 0)
    distinct.add(hashes([100]))
    assert distinct.error > 0
    assert 50 < distinct.count < 200


def add(frequent: Frequent, texts: list[str]) -> None:
    counts = Counter(texts)
    frequent.add(np.array([*counts, ""], object)[:-1], np.array(list(counts.values()), np.int64))


@given(st.lists(st.lists(st.sampled_from("abcdefghijklmnop"), max_size=30), max_size=12), st.integers(2, 20))
def test_counts_are_too_low_by_the_error_at_most(parts: list[list[str]], bound: int) -> None:
    """Every text that came more often than the error is there."""
    frequent = Frequent(bound)
    for part in parts:
        add(frequent, part)
    true = Counter(text for part in parts for text in part)
    assert len(frequent.counts) <= bound
    for text, count in true.items():
        assert count - frequent.error <= frequent.counts.get(text, 0) <= count
    if len(true) <= bound:
        assert (frequent.counts, frequent.error) == (dict(true), 0)


def test_the_most_frequent_stand_first_and_equals_in_order() -> None:
    """So that one table gives one list."""
    frequent = Frequent(10)
    add(frequent, list("bbaacdd"))
    assert frequent.most(3) == [("a", 2), ("b", 2), ("d", 2)]
