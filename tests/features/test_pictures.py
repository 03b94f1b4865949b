"""PNG and JPEG files become pixels of one size; files that are none, or far too large, are told."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.features.pictures import PictureError, pixels_of


def written(pixels: Any, mode: str = "RGB", form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8), mode).save(buffer, form, **options)
    return buffer.getvalue()


def declared(width: int, height: int) -> bytes:
    """A small PNG file that says that its picture is large."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


GREY = np.arange(6, dtype=np.uint8).reshape(2, 3) * 50


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_pixels_are_from_0_to_255(form: str) -> None:
    """Grey ones of the size that they have come through, in PNG exactly."""
    found = pixels_of(written(GREY, "L", form), 2, 3, 1)
    assert (found.shape, found.dtype) == ((2, 3, 1), np.float32)
    np.testing.assert_allclose(found[..., 0], GREY, atol=0 if form == "PNG" else 30)


def test_colours_are_red_green_and_blue() -> None:
    """A grey picture has three alike, a coloured one has one of its brightness; RGBA has the fourth."""
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 255
    assert pixels_of(written(red), 2, 2, 3)[0, 0].tolist() == [255, 0, 0]
    assert pixels_of(written(red), 2, 2, 1)[0, 0].tolist() == [76]
    assert pixels_of(written(GREY, "L"), 2, 3, 3)[1, 2].tolist() == [250, 250, 250]
    assert pixels_of(written(red), 2, 2, 4)[0, 0].tolist() == [255, 0, 0, 255]


def test_the_whole_picture_is_brought_to_the_size() -> None:
    """Nothing is cut off: one half is black and one is white, before and after."""
    halves = np.zeros((10, 40), np.uint8)
    halves[:, 20:] = 255
    found = pixels_of(written(halves, "L"), 4, 4, 1)[..., 0]
    assert found[:, [0, 3]].tolist() == [[0, 255]] * 4


def test_pictures_stand_as_they_were_taken() -> None:
    """A camera that was turned says so in EXIF."""
    exif = Image.Exif()
    exif[0x0112] = 6
    halves = np.zeros((16, 16), np.uint8)
    halves[:8] = 255
    turned = pixels_of(written(halves, "L", "JPEG", exif=exif, quality=100), 2, 2, 1)[..., 0]
    np.testing.assert_allclose(turned, [[0, 255]] * 2, atol=40)


def test_sixteen_bits_become_eight() -> None:
    """The brightest of PNG's long numbers is white, and the middle grey."""
    buffer = io.BytesIO()
    Image.fromarray(np.array([[0, 32768, 65535]], np.uint16)).save(buffer, "PNG")
    assert pixels_of(buffer.getvalue(), 1, 3, 1).ravel().tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "neither a PNG nor a JPEG file"),
        (b"no picture at all", "neither a PNG nor a JPEG file"),
        (written(GREY, "L", "GIF"), "neither a PNG nor a JPEG file"),
        (written(GREY, "L", "BMP"), "neither a PNG nor a JPEG file"),
        (written(GREY, "L")[:20], "is broken"),
        (written(np.zeros((64, 64)), "L")[:50], "is broken"),
        (written(np.zeros((64, 64, 3)), form="JPEG")[:-40], "is broken"),
        (declared(10_000, 10_000), "10000 x 10000 pixels"),
        (declared(60_000, 60_000), "60000 x 60000 pixels"),
    ],
)
def test_what_cannot_be_read_is_told(content: bytes, words: str) -> None:
    """Other formats, broken files, and pictures that would fill the memory."""
    with pytest.raises(PictureError, match=words):
        pixels_of(content, 2, 2, 3)


def test_a_jpeg_file_of_many_scans_is_refused() -> None:
    """Each scan is a pass over all pixels, which a small file can ask for by the thousand."""
    with pytest.raises(PictureError, match="more than 500 scans"):
        pixels_of(written(GREY, "L", "JPEG") + b"\xff\xda" * 501, 2, 3, 1)
