"""What a profile tells of images and sequences."""

from __future__ import annotations

import io
import warnings
from collections import Counter
from typing import Any, Final

import numpy as np

from service.data.profiling.bounds import Bounds, finite
from service.data.profiling.cells import Cells

#: Of so many images of a column the header is read.
MAX_HEADERS: Final = 1_000


class Images:
    """Formats, modes and sizes by the headers of the first images, and the bytes of all."""

    def __init__(self, bounds: Bounds) -> None:
        self._shown = bounds.shown
        self._formats: Counter[str] = Counter()
        self._modes: Counter[str] = Counter()
        self._sizes: Counter[tuple[int, int]] = Counter()
        self.headers = self.unreadable = 0
        self._files = self._bytes = self._largest = 0

    def add(self, cells: Cells) -> None:
        import pyarrow.compute as pc

        sizes = pc.binary_length(cells.array.drop_null()).to_numpy()
        self._files += len(sizes)
        self._bytes += int(sizes.sum())
        self._largest = max(self._largest, int(sizes.max(initial=0)))
        for image in cells.array:
            if self.headers == MAX_HEADERS:
                break
            if image.is_valid:
                self._read_header(image.as_py())

    def to_json(self) -> dict[str, Any]:
        return {
            "headers": self.headers,
            "unreadable": self.unreadable,
            "formats": dict(self._formats.most_common()),
            "modes": dict(self._modes.most_common()),
            "sizes": [
                {"width": width, "height": height, "count": count}
                for (width, height), count in sorted(self._sizes.items(), key=lambda item: (-item[1], item[0]))
            ][: self._shown],
            "bytes": {"mean": self._bytes / self._files if self._files else None, "maximum": self._largest},
        }

    def _read_header(self, content: bytes) -> None:
        from PIL import Image

        self.headers += 1
        try:
            # A picture of very many dots is warned of as it is opened; none of its dots are read here.
            with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(content)) as image:
                self._formats[str(image.format)] += 1
                self._modes[image.mode] += 1
                self._sizes[image.size] += 1
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            self.unreadable += 1


class Steps:
    """How long sequences are, and for each channel what its numbers are."""

    def __init__(self, bounds: Bounds) -> None:
        self._shown = bounds.shown
        self._sequences = self._steps = self._longest = 0
        self._shortest: int | None = None
        self._minima: Any = np.inf
        self._maxima: Any = -np.inf
        self._sums: Any = 0.0
        self._numbers: Any = 0

    def add(self, cells: Cells) -> None:
        array = cells.array
        lengths = array.value_lengths().drop_null().to_numpy()
        channels = array.type.value_type.list_size
        steps = array.flatten().flatten().to_numpy(zero_copy_only=False).reshape(-1, channels).astype(np.float64)
        present = np.isfinite(steps)
        if len(lengths):
            shortest = int(lengths.min())
            self._shortest = shortest if self._shortest is None else min(self._shortest, shortest)
        self._sequences += len(lengths)
        self._steps += int(lengths.sum())
        self._longest = max(self._longest, int(lengths.max(initial=0)))
        self._minima = np.minimum(self._minima, np.where(present, steps, np.inf).min(axis=0, initial=np.inf))
        self._maxima = np.maximum(self._maxima, np.where(present, steps, -np.inf).max(axis=0, initial=-np.inf))
        self._sums = self._sums + np.where(present, steps, 0).sum(axis=0)
        self._numbers = self._numbers + present.sum(axis=0)

    def to_json(self) -> dict[str, Any]:
        mean = self._steps / self._sequences if self._sequences else None
        channels = np.size(self._numbers) if self._sequences else 0
        means = self._sums / np.maximum(1, self._numbers)
        values = zip(*(np.atleast_1d(one) for one in (self._minima, self._maxima, means, self._numbers)), strict=True)
        return {
            "lengths": {"minimum": self._shortest, "mean": mean, "maximum": self._longest},
            "channels": channels,
            "values": [
                {"minimum": finite(low), "maximum": finite(high), "mean": finite(mean) if count else None}
                for low, high, mean, count in list(values)[: min(channels, self._shown)]
            ],
        }
