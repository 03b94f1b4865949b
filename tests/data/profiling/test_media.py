"""Images are described by their headers, sequences by their lengths and channels."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from service.data.profile import profile_table
from tests.data.profiling.tables import write


def picture(size: tuple[int, int], mode: str = "RGB", form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size).save(file, form)
    return file.getvalue()


def test_images_have_formats_modes_and_sizes(tmp_path: Path) -> None:
    """The most frequent size stands first; what is no image is told as a warning."""
    images = [picture((8, 6)), picture((8, 6), "L"), picture((4, 5), form="JPEG"), None, b"GIF89a?", b""]
    _, profile = profile_table(write(tmp_path, {"photo": pa.array(images, pa.binary())}))
    (column,) = profile["columns"]
    assert (column["kind"], column["missing"], column["headers"], column["unreadable"]) == ("image", 1, 5, 2)
    assert column["formats"] == {"PNG": 2, "JPEG": 1}
    assert column["modes"] == {"RGB": 2, "L": 1}
    assert column["sizes"] == [{"width": 8, "height": 6, "count": 2}, {"width": 4, "height": 5, "count": 1}]
    assert column["bytes"]["maximum"] == max(len(image) for image in images if image)
    (warning,) = profile["warnings"]
    assert (warning["code"], warning["columns"]) == ("unreadable_images", ["photo"])
    assert warning["evidence"] == {"count": 2, "headers": 5}


def test_a_picture_of_very_many_dots_is_described_without_being_drawn(tmp_path: Path) -> None:
    """Pillow warns of it, or refuses it; neither is a fault of ours."""
    bomb = bytearray(picture((1, 1)))
    for side in (12_000, 60_000):
        bomb[16:24] = side.to_bytes(4, "big") * 2
        _, profile = profile_table(write(tmp_path, {"photo": pa.array([bytes(bomb)], pa.binary())}))
        assert profile["columns"][0]["headers"] == 1


def test_the_same_image_twice_is_told_whatever_its_name(tmp_path: Path) -> None:
    """Images are compared by their bytes; missing ones are not the same."""
    images = [picture((size, 2)) for size in range(1, 12)]
    columns = {
        "photo": pa.array([*images, None, None, images[3]], pa.binary()),
        "name": [f"{n}.png" for n in range(14)],
    }
    _, profile = profile_table(write(tmp_path, columns))
    (warning,) = profile["warnings"]
    assert (warning["code"], warning["columns"]) == ("duplicate_images", ["photo"])
    assert warning["evidence"] == {"count": 1, "exact": True, "followed": 1.0, "pairs": [[3, 13]]}


def test_sequences_have_lengths_and_channels(tmp_path: Path) -> None:
    """Numbers that are missing do not count, and neither do missing sequences."""
    steps: list[Any] = [[[1.0, 10.0], [3.0, np.nan]], None, [[-1.0, 20.0]], []]
    array = pa.array(steps, pa.list_(pa.list_(pa.float32(), 2)))
    _, profile = profile_table(write(tmp_path, {"a": array}, batch_rows=2))
    (column,) = profile["columns"]
    assert (column["kind"], column["missing"], column["distinct"], column["channels"]) == ("sequence", 1, 3, 2)
    assert column["lengths"] == {"minimum": 0, "mean": 1, "maximum": 2}
    assert column["values"] == [
        {"minimum": -1.0, "maximum": 3.0, "mean": 1.0},
        {"minimum": 10.0, "maximum": 20.0, "mean": 15.0},
    ]
    json.dumps(profile, allow_nan=False)
