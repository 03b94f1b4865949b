"""A made-up table as people have them: numbers, names, words and dates, with gaps; whether each passenger was rescued.

`python -m tests.passengers > examples/passengers.csv` writes it.
"""

import csv
import sys
from datetime import date, timedelta
from typing import Any, Final, TextIO

import numpy as np

ROWS: Final = 900
COLUMNS: Final = (
    "passenger",
    "cabin_class",
    "sex",
    "age",
    "relatives",
    "fare",
    "port",
    "booked_on",
    "remark",
    "rescued",
)
PORTS: Final = ("Bergen", "Cork", "Lisbon")
_TRADES: Final = ("farmer", "cook", "teacher", "sailor", "merchant", "nurse", "tailor", "student")
_WITH: Final = ("travels alone", "travels with a child", "travels with the family", "asked for a lower berth")


def passengers(rows: int = ROWS, seed: int = 1912) -> list[dict[str, Any]]:
    """So many passengers; the same ones for the same seed. A missing value is None."""
    draw = np.random.default_rng(seed)
    return [_passenger(number, draw) for number in range(1, rows + 1)]


def write(people: list[dict[str, Any]], file: TextIO) -> None:
    """Write passengers as CSV, missing values as empty cells."""
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(people)


def _passenger(number: int, draw: np.random.Generator) -> dict[str, Any]:
    cabin_class = int(draw.choice([1, 2, 3], p=[0.24, 0.21, 0.55]))
    sex = str(draw.choice(["female", "male"], p=[0.36, 0.64]))
    age = round(float(np.clip(draw.normal(41 - 6 * cabin_class, 14), 0.5, 80)), 1)
    relatives = int(draw.poisson(0.9))
    fare = round(float(np.exp(draw.normal(4.6 - 0.85 * cabin_class, 0.45)) * (1 + 0.3 * relatives)), 2)
    port = str(draw.choice(PORTS, p=[0.25, 0.15, 0.6]))
    company = "travels alone" if relatives == 0 else str(draw.choice(_WITH[1:3]))
    remark = f"{draw.choice(_TRADES)}, {company if draw.random() < 0.8 else _WITH[3]}"
    chance = 2.6 * (sex == "female") - 1.05 * (cabin_class - 2) - 0.035 * (age - 30) + 0.8 * ("child" in remark)
    chance += 0.5 * (port == "Lisbon") - 0.35 * max(0, relatives - 3) - 1.6
    rescued = "yes" if draw.random() < 1 / (1 + np.exp(-1.4 * chance)) else "no"
    booked_on = date(1912, 1, 5) + timedelta(days=int(draw.integers(0, 90)))
    return {
        "passenger": f"P{number:04d}",
        "cabin_class": cabin_class,
        "sex": sex,
        "age": None if draw.random() < 0.2 else age,
        "relatives": relatives,
        "fare": fare,
        "port": None if draw.random() < 0.01 else port,
        "booked_on": booked_on.isoformat(),
        "remark": remark,
        "rescued": rescued,
    }


if __name__ == "__main__":
    write(passengers(), sys.stdout)
