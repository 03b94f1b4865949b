"""PNG and JPEG files become pixels of one size."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
import numpy.typing as npt

from service.data.table import MAX_SCANS

#: A small file can declare a huge picture; more than these are not unpacked.
MAX_PIXELS: Final = 50_000_000
_JPEG, _SCAN = b"\xff\xd8", b"\xff\xda"
_FORMATS: Final = ("PNG", "JPEG")
_MODES: Final = {1: "L", 3: "RGB", 4: "RGBA"}


class PictureError(Exception):
    """No picture comes of the file; the message is a sentence or two for the client."""


def pixels_of(content: bytes, height: int, width: int, channels: int) -> npt.NDArray[np.float32]:
    """The picture in a PNG or JPEG file as (height, width, channels), from 0 to 255.

    It stands as it was taken (EXIF's orientation), is grey (1 channel), RGB or RGBA, and is brought to the size as a
    whole, bilinearly. Raises PictureError.
    """
    # Pillow takes a tenth of a second and some megabytes, which only models of images need.
    from PIL import Image, ImageOps, UnidentifiedImageError

    # Pillow's own bound is a warning, or twice as large an error; the one here comes before anything is unpacked.
    Image.MAX_IMAGE_PIXELS = None
    if content.startswith(_JPEG) and content.count(_SCAN) > MAX_SCANS:
        raise PictureError(f"a JPEG image of more than {MAX_SCANS} scans came. Save it as a plain one.")
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            _check_size(image.size)
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I"):
                upright = Image.fromarray((np.asarray(upright).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
            sized = upright.convert(_MODES[channels]).resize((width, height), Image.Resampling.BILINEAR)
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        raise PictureError("what came is neither a PNG nor a JPEG file. Send an image as one of these.") from error
    except Exception as error:
        # Pillow's readers raise errors of many kinds where a file is broken.
        detail = f"the PNG or JPEG file that came is broken ({type(error).__name__}: {str(error)[:80]})"
        raise PictureError(f"{detail}. Send a whole one.") from error
    return np.asarray(sized, np.float32).reshape(height, width, channels)


def _check_size(size: tuple[int, int]) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        came = f"an image of {size[0]} x {size[1]} pixels came"
        raise PictureError(f"{came}; at most {MAX_PIXELS} pixels are read. Send a smaller one.")
