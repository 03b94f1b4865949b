"""Tables for the tests of features: written as they are kept, and one as people have them."""

import random
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from service.data.read_options import ReadOptions
from service.data.table import ColumnFacts, Kind, TableWriter, Type, arrow_of, type_of

_KINDS: dict[Type, Kind] = {
    "float64": Kind.NUMERIC,
    "int64": Kind.NUMERIC,
    "bool": Kind.CATEGORY,
    "string": Kind.CATEGORY,
    "timestamp": Kind.DATE,
    "image": Kind.IMAGE,
    "sequence": Kind.SEQUENCE,
}


def stored(folder: Path, columns: Mapping[str, Any], batch_rows: int = 1000, **kinds: Kind) -> tuple[ColumnFacts, ...]:
    """Keep columns, each a list or an Arrow array, as a table; the kinds that are not named are those of the types."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table({name: _array(values) for name, values in columns.items()})
    with TableWriter(folder, table.schema, ReadOptions()) as writer:
        for batch in table.to_batches(max_chunksize=batch_rows):
            writer.write(batch)
    types = {field.name: type_of(field.type) for field in table.schema}
    return tuple(
        ColumnFacts(name=name, type=stored, kind=kinds.get(name, _KINDS[stored])) for name, stored in types.items()
    )


def _array(values: Any) -> pa.Array:
    if isinstance(values, Sequence) and any(isinstance(value, datetime) for value in values):
        return pa.array(values, arrow_of("timestamp"))
    if isinstance(values, Sequence) and any(isinstance(value, list) for value in values):
        channels = next(len(step) for value in values if value for step in value)
        return pa.array(values, arrow_of("sequence", channels))
    return pa.array(values)


def passengers(rows: int, seed: int = 0) -> dict[str, list[Any]]:
    """A mixed table of passengers, of whom women, children and the first class survive more often."""
    draw = random.Random(seed)
    table: dict[str, list[Any]] = {name: [] for name in PASSENGER_KINDS}
    for number in range(rows):
        sex, grade = draw.choice(["male", "female"]), draw.choice([1, 2, 3])
        age = draw.uniform(1, 80)
        chance = 0.15 + 0.5 * (sex == "female") + 0.15 * (grade == 1) + 0.2 * (age < 12)
        table["id"].append(number + 1)
        table["name"].append(f"{'Mr' if sex == 'male' else 'Mrs'} {draw.choice(_NAMES)} {draw.choice(_NAMES)}")
        table["sex"].append(sex)
        table["grade"].append(grade)
        table["age"].append(None if draw.random() < 0.2 else round(age, 1))
        table["fare"].append(round(draw.lognormvariate(2.5, 1.2), 2))
        table["port"].append(None if draw.random() < 0.01 else draw.choice("SCQ"))
        table["boarded"].append(datetime.fromisoformat("2012-04-10") + timedelta(minutes=draw.randrange(5000)))
        table["crew"].append(False)
        table["survived"].append("yes" if draw.random() < chance else "no")
    return table


PASSENGER_KINDS = {
    "id": Kind.NUMERIC,
    "name": Kind.TEXT,
    "sex": Kind.CATEGORY,
    "grade": Kind.CATEGORY,
    "age": Kind.NUMERIC,
    "fare": Kind.NUMERIC,
    "port": Kind.CATEGORY,
    "boarded": Kind.DATE,
    "crew": Kind.CATEGORY,
    "survived": Kind.CATEGORY,
}
_NAMES = ["Braund", "Cumings", "Futrelle", "Allen", "Moran", "McCarthy", "Palsson", "Nasser", "Sandstrom", "Bonnell"]
