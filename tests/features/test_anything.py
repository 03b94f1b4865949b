"""Whatever JSON a client sends, the answer is values or faults, and never another error."""

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from service.architecture.graph import read_architecture
from service.data.fault_list import FaultList
from service.errors import Fault, Invalid
from service.features.columns import of_records
from service.features.encode import encode_inputs
from service.features.network import with_features
from tests.features.features import category, date, hashed, image, number, preparation, sequence, text

ALL = preparation(
    number(fill=1.0, scale="log"),
    number("tall", type="int64"),
    number("true", type="bool"),
    category(),
    category("code", type="int64"),
    category("day", type="timestamp", unknown="other"),
    category("job", enters="embedding", output_dim=2, missing="error"),
    date(),
    date("seen", type="string"),
    hashed(),
    text(),
    text("title", enters="tokens"),
    image(),
    sequence(),
    sequence("beat", channels=1, centers=(0.0,), spreads=(1.0,)),
)
HARD_TEXTS = ("1e999", "2024-02-30", "9999-12-31T23:59-23:00", "0001-01-01T00:00+23:00", "data:,", "NA", "\ud800")
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**310), 2**63, -0.0])
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(HARD_TEXTS)
)
ANY = st.recursive(
    LEAVES, lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=3), one, max_size=3)
)
COLUMNS = st.sampled_from([*(one.column for one in ALL.features), "x", "\ud800"])


def found_in(faults: FaultList) -> list[Fault]:
    try:
        faults.raise_if_any()
    except Invalid as error:
        return list(error.faults)
    return []


@given(st.lists(st.dictionaries(COLUMNS, ANY, max_size=15) | ANY, min_size=1, max_size=4))
def test_records_become_arrays_or_faults(records: list[Any]) -> None:
    """Arrays have the shapes and types of the inputs, and are finite; faults can be sent, and name a row."""
    faults = FaultList()
    arrays = encode_inputs(of_records(records, ALL, "/instances", faults), ALL, faults, "/instances")
    for one in ALL.inputs:
        assert arrays[one.name].shape == (len(records), *one.shape)
        assert arrays[one.name].dtype == one.dtype
    found = found_in(faults)
    assert orjson.dumps([[fault.pointer, fault.detail] for fault in found])
    assert all(fault.pointer.startswith("/instances/") or not fault.pointer for fault in found)
    if not found:
        assert all(bool((abs(array) < 1e39).all()) for array in arrays.values())


NAMES = st.sampled_from(["features", "photo", "title", "pulse", "beat", "numbers", "a", "dense", "", "\ud800"])
FED = NAMES | st.lists(NAMES, max_size=3) | ANY
LAYER = st.fixed_dictionaries(
    {"type": st.sampled_from(["Dense", "Input", "Flatten", "Concatenate", "Nothing"]) | ANY},
    optional={"name": NAMES | ANY, "inputs": FED, "units": ANY, "shape": st.just([1]) | ANY, "dtype": ANY},
)
ARCHITECTURES = (
    st.fixed_dictionaries(
        {"layers": st.lists(LAYER, max_size=4) | ANY}, optional={"inputs": FED | st.lists(LAYER), "outputs": FED}
    )
    | ANY
)


@given(ARCHITECTURES, st.sampled_from([ALL, preparation(number()), preparation(image())]))
def test_architectures_become_networks_or_faults(architecture: Any, of: Any) -> None:
    """Where there is no network, something is said."""
    faults: list[Fault] = []
    made = with_features(architecture, of, "/architecture", faults)
    network = None if faults else read_architecture(made, "/architecture", faults)
    assert (network is None) == bool(faults)
    assert orjson.dumps([[fault.pointer, fault.detail] for fault in faults])
