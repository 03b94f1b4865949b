"""A layout is remembered for the very same JSON and as many bytes, of the same version, and for nothing else."""

import numpy as np
import pytest

from service.inference import layouts as module
from service.inference.layouts import Layouts

HEAD = b'{"inputs": []}'
X = np.arange(6, dtype="float32").reshape(3, 2)
Y = np.arange(3, dtype="int64").reshape(3, 1)


def content(*arrays: np.ndarray, head: bytes = HEAD) -> bytes:
    return head + b"".join(array.tobytes() for array in arrays)


def noted(**arrays: np.ndarray) -> Layouts[str]:
    layouts: Layouts[str] = Layouts()
    layouts.note("ver_1", content(*arrays.values()), len(HEAD), arrays, "said")
    return layouts


def test_the_same_words_are_read_at_once() -> None:
    """With other numbers behind them."""
    found = noted(x=X, y=Y).read("ver_1", content(X + 1, Y * 2), len(HEAD))
    assert found is not None
    arrays, said = found
    assert said == "said"
    assert list(arrays) == ["x", "y"]
    for name, expected in (("x", X + 1), ("y", Y * 2)):
        np.testing.assert_array_equal(arrays[name], expected)
        assert arrays[name].dtype == expected.dtype


@pytest.mark.parametrize(
    ("version", "body", "length"),
    [
        ("ver_2", content(X), len(HEAD)),
        ("ver_1", content(X)[:-1], len(HEAD)),
        ("ver_1", content(X) + b"0", len(HEAD)),
        ("ver_1", content(X, head=HEAD[:-1] + b" "), len(HEAD)),
        ("ver_1", content(X), len(HEAD) - 1),
        ("ver_1", HEAD, len(HEAD)),
        ("ver_1", b"", 0),
    ],
)
def test_anything_else_is_read_anew(version: str, body: bytes, length: int) -> None:
    """Another version, another size, another word."""
    layouts = noted(x=X)
    assert layouts.read("ver_1", content(X), len(HEAD)) is not None
    assert layouts.read(version, body, length) is None


def test_tensors_in_the_json_are_not_remembered() -> None:
    """Their numbers are among the words."""
    layouts: Layouts[str] = Layouts()
    layouts.note("ver_1", content(X), len(HEAD), {"x": X, "y": Y}, "said")
    layouts.note("ver_1", HEAD, len(HEAD), {"x": X}, "said")
    layouts.note("ver_1", HEAD, len(HEAD), {"x": X[:0]}, "said")
    assert layouts.read("ver_1", content(X), len(HEAD)) is None
    assert layouts.read("ver_1", HEAD, len(HEAD)) is None


def test_there_is_an_end_to_what_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that number their requests say something new each time; long JSON is not kept either."""
    monkeypatch.setattr(module, "MOST", 10)
    layouts: Layouts[str] = Layouts()
    for number in range(1000):
        head = b'{"id": %d}' % number
        layouts.note("ver_1", content(X, head=head), len(head), {"x": X}, "said")
        assert layouts.read("ver_1", content(X, head=head), len(head)) is not None
        assert len(layouts._known) <= 10
    long = b" " * (module.LONGEST + 1)
    layouts.note("ver_1", content(X, head=long), len(long), {"x": X}, "said")
    assert layouts.read("ver_1", content(X, head=long), len(long)) is None
