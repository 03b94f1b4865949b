"""What counts as a word, and what words for faults look like."""

import pytest

from service.features.wording import listed, shown, similar
from service.features.words import tokens_of, words_of


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Don't stop! It's 2024.", ["don't", "stop", "it's", "2024"]),
        ("snake_case e-mail a.b", ["snake", "case", "e", "mail", "a", "b"]),
        ("'quoted' rock 'n' roll", ["quoted", "rock", "n", "roll"]),
        ("Bjørn\u2019s Straße", ["bjørn\u2019s", "straße"]),
        ("cafe\u0301", ["café"]),
        ("Привет, мир", ["привет", "мир"]),
        ("東京 都", ["東京", "都"]),
        ("...  \n", []),
        ("", []),
    ],
)
def test_words_are_runs_of_letters_and_digits(text: str, tokens: list[str]) -> None:
    """In small letters, of any script; apostrophes belong to them, other signs do not."""
    assert tokens_of(text) == tokens


def test_a_bag_has_each_word_once() -> None:
    """In the order in which they come first."""
    assert words_of("b a b c a", "bag") == ["b", "a", "c"]
    assert words_of("b a b", "tokens") == ["b", "a", "b"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"),
        (True, "true"),
        ({"a": 1}, "An object"),
        ([1, 2], "A list of 2"),
        ("é" * 70, f'The text "{"é" * 60}"...'),
        ("a\ud800", 'The text "a?"'),
        (b"ab", "Binary content of 2 bytes"),
        (10**1000, "An integer of 3322 bits"),
        (1.5, "The number 1.5"),
        ({1}, "A set"),
    ],
)
def test_values_are_shown_briefly(value: object, words: str) -> None:
    """As JSON writes them, however large they are."""
    assert shown(value) == words


def test_names_are_listed_and_compared() -> None:
    """A few of many; the nearest, whatever their case, or none."""
    assert listed(["a", "b"]) == "'a', 'b'"
    assert listed(["a", "b", "c"], most=1) == "'a' and 2 more"
    assert similar("oslo", ["Oslo", "Rome"]) == " Did you mean 'Oslo'?"
    assert similar("x", ["Oslo"]) == ""
