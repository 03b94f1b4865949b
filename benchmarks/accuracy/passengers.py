"""A table of passengers as somebody might have typed it: numbers, categories, a date, words, gaps, and who was saved.

It is drawn from a seed, so that everybody has the same rows. Who is saved depends on several columns at once and on
luck: nobody can be right about all of them.
"""

import math
import random
from collections.abc import Iterator
from typing import Any

#: What a record holds, in the order of a file's columns; `saved` is the target.
COLUMNS = (
    *("class", "sex", "age", "siblings", "parents", "fare", "harbour", "deck", "booked", "occupation"),
    "saved",
)
TARGET = "saved"

_HARBOURS = (("Southampton", 0.7), ("Cherbourg", 0.2), ("Queenstown", 0.1))
_DECKS = {1: "ABCDE", 2: "DEF", 3: "EFG"}
_PLACES = ("in London", "in Liverpool", "on a farm", "at the railway", "in a town", "abroad", "near the coast")
#: A trade, and how it moves the odds of its people.
_TRADES = (
    *(("farmer", -0.4), ("clerk", 0.0), ("merchant", 0.2), ("teacher", 0.3), ("carpenter", -0.3), ("miner", -0.5)),
    *(("physician", 0.7), ("sailor", 1.4), ("servant", 0.1), ("engineer", 0.0), ("musician", -0.6), ("widow", 0.5)),
)
_RANKS = (("", 0.0), ("young ", 0.1), ("retired ", -0.6), ("chief ", 0.3), ("assistant ", 0.0))


def passengers(rows: int = 900, seed: int = 1912) -> list[dict[str, Any]]:
    """Return the records; None is a gap. The same arguments give the same records on every machine."""
    draw = random.Random(seed)
    return [_passenger(draw) for _ in range(rows)]


def _passenger(draw: random.Random) -> dict[str, Any]:
    ticket = draw.choices((1, 2, 3), (0.25, 0.22, 0.53))[0]
    sex = draw.choices(("male", "female"), (0.63, 0.37))[0]
    age = min(80.0, max(0.5, round(draw.gauss(44 - 5.5 * ticket, 13.5) * 2) / 2))
    siblings = _small(draw, 0.45)
    parents = _small(draw, 0.6 if age < 16 else 0.25)
    fare = round(math.exp(draw.gauss(5.2 - 1.05 * ticket, 0.45)) * (1 + 0.4 * (siblings + parents)), 2)
    harbour = draw.choices([name for name, _ in _HARBOURS], [part for _, part in _HARBOURS])[0]
    trade, trade_odds = draw.choice(_TRADES)
    rank, rank_odds = draw.choices(_RANKS, (6, 1, 1, 1, 1))[0]
    odds = _odds(ticket, sex, age, siblings + parents, fare) + trade_odds + rank_odds
    return {
        "class": ticket,
        "sex": sex,
        "age": _gap(draw, age, 0.2),
        "siblings": siblings,
        "parents": parents,
        "fare": _gap(draw, fare, 0.02),
        "harbour": _gap(draw, harbour, 0.01),
        "deck": _gap(draw, draw.choice(_DECKS[ticket]), 0.15 if ticket == 1 else 0.8),
        "booked": f"1912-{draw.randint(1, 4):02}-{draw.randint(1, 28):02}",
        "occupation": f"{rank}{trade} {draw.choice(_PLACES)}",
        TARGET: "yes" if draw.random() < 1 / (1 + math.exp(-1.6 * odds)) else "no",
    }


def _odds(ticket: int, sex: str, age: float, family: int, fare: float) -> float:
    """The logarithm of the odds of being saved, before the trade counts."""
    odds = -1.9 + 0.8 * (3 - ticket) * (1.2 if sex == "male" else 0.8) + (2.6 if sex == "female" else 0.0)
    odds += 1.8 * math.exp(-((age / 12) ** 2)) - 0.015 * max(0.0, age - 45)
    odds -= 0.5 * max(0, family - 2)
    return odds + 0.25 * math.log(fare / 30)


def _small(draw: random.Random, chance: float) -> int:
    """A number of relatives: each further one is as likely as the first."""
    return sum(1 for _ in _while(draw, chance))


def _while(draw: random.Random, chance: float) -> Iterator[None]:
    for _ in range(6):
        if draw.random() >= chance:
            return
        yield None


def _gap(draw: random.Random, value: Any, chance: float) -> Any:
    return None if draw.random() < chance else value
