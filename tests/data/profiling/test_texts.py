"""Texts are hashed and split into words many at a time."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from service.data.profiling.texts import hashes_of_texts, word_counts

TEXTS = st.lists(st.text(max_size=20) | st.text("ab", min_size=250, max_size=270), max_size=12)


@given(TEXTS, st.integers(0, 5))
def test_a_text_has_one_hash_wherever_it_stands(texts: list[str], skip: int) -> None:
    """Equal texts have equal hashes, different ones different, in a slice of an array as in one of their own."""
    together = hashes_of_texts(pa.array([*["x"] * skip, *texts], pa.string()).slice(skip)).tolist()
    alone = [hashes_of_texts(pa.array([text]))[0] for text in texts]
    assert together == alone
    assert len(set(together)) == len(set(texts))


def test_texts_that_differ_by_zeros_or_at_the_end_of_eight_bytes_differ() -> None:
    """The length counts, and each byte."""
    texts = ["", "\0", "\0\0", "a" * 7, "a" * 8, "a" * 9, "a" * 7 + "\0", "b" + "a" * 256, "c" + "a" * 256]
    assert len(set(hashes_of_texts(pa.array(texts)).tolist())) == len(texts)


@given(st.lists(st.text(alphabet="ab \t\n.é", max_size=12), max_size=8), st.integers(0, 3))
def test_words_are_what_stands_between_spaces(texts: list[str], skip: int) -> None:
    """A text begins anew after the one before it."""
    counts = word_counts(pa.array([*["x y"] * skip, *texts], pa.string()).slice(skip))
    assert counts.tolist() == [len(text.split()) for text in texts]
