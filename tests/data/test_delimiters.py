"""The delimiter of a CSV file is found out by its first lines."""

import pytest

from service.data.delimiters import delimiter_of


@pytest.mark.parametrize(
    ("head", "delimiter"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b\n1,5;2,5\n", ";"),
        ("a\tb\nx, y\tz\n", "\t"),
        ("a|b|c\n1|2|3\n", "|"),
        ('"a,b";c\n1;2\n', ";"),
        ("name\nBob\n", ","),
        ("a,b;c,d\n1,2;3,4\n", ","),
        ("a,b\n1,2,3\n", ","),
        ("a;b", ";"),
        ("a;b\n" + "x" * 200_000 + ";y\n", ";"),
        ("", ","),
    ],
)
def test_the_delimiter_is_what_each_line_has_as_often(head: str, delimiter: str) -> None:
    """Delimiters in quotes do not count, nor do those that lines have by chance."""
    assert delimiter_of(head.encode()) == delimiter
