"""The parts of dates that can be features."""

from typing import Final

import numpy as np
import numpy.typing as npt

PARTS: Final = ("year", "month", "day", "weekday", "hour", "minute")


def date_part(moments: npt.NDArray[np.datetime64], part: str) -> npt.NDArray[np.int64]:
    """A part of each moment: a year, month or day as it is written, the weekday from 0 (Monday) to 6, hour or minute.

    No moment may be NaT, of which no integer is made.
    """
    days = moments.astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    number: npt.NDArray[np.int64]
    match part:
        case "year":
            number = months.astype("datetime64[Y]").astype(np.int64) + 1970
        case "month":
            number = months.astype(np.int64) % 12 + 1
        case "day":
            number = (days - months.astype("datetime64[D]")).astype(np.int64) + 1
        case "weekday":
            # The first of January 1970 was a Thursday.
            number = (days.astype(np.int64) + 3) % 7
        case "hour":
            number = (moments - days).astype("timedelta64[h]").astype(np.int64)
        case "minute":
            number = (moments - days).astype("timedelta64[m]").astype(np.int64) % 60
        case _:
            raise ValueError(f"a date has no {part!r}")
    return number
