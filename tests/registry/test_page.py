"""Pages and their cursors."""

import pytest

from service.errors import Invalid
from service.registry.page import after, cut


def test_the_last_page_has_no_cursor() -> None:
    """As many items as were asked for, and not one more, are the end."""
    page = cut(["c", "b"], 2, str)
    assert page.items == ("c", "b")
    assert page.next_cursor is None


def test_one_item_too_many_proves_a_next_page() -> None:
    """The cursor leads to what comes after the last item shown."""
    page = cut(["c", "b", "a"], 2, str)
    assert page.items == ("c", "b")
    assert after(page.next_cursor, str) == "b"


def test_no_items_are_one_empty_page() -> None:
    """A list with nothing in it has neither items nor a next page."""
    page = cut([], 2, str)
    assert page.items == ()
    assert page.next_cursor is None


def test_without_a_cursor_there_is_no_key() -> None:
    """The first page begins with the newest."""
    assert after(None, str) is None


@pytest.mark.parametrize("cursor", ["*", "a", "grüße", "_w", "am9iXzE"])
def test_a_made_up_cursor_is_refused_with_advice(cursor: str) -> None:
    """What is not base64, not ASCII or not a key of this list is the client's fault, and is told how to mend it."""
    with pytest.raises(Invalid, match="pass it on unchanged"):
        after(cursor, int)
