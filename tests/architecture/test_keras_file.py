"""`.keras` files from clients: three members, each within its bounds, and nothing else."""

import json
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.architecture import keras_file
from service.architecture.keras_file import KerasFile
from service.errors import Invalid, KerasdError, MalformedRequest, TooLarge

METADATA = {"keras_version": "3.15.1", "date_saved": "2026-03-01@12:00:00"}
CONFIG = {"class_name": "Sequential", "config": {"layers": []}}
LIMIT = 10_000


def whole(**members: bytes | None) -> dict[str, bytes]:
    """The members of a file, some of them other ones, or left out."""
    content: dict[str, Any] = {
        "metadata.json": json.dumps(METADATA).encode(),
        "config.json": json.dumps(CONFIG).encode(),
        "model.weights.h5": b"weights",
    }
    content |= {name.replace("__", "."): value for name, value in members.items()}
    return {name: value for name, value in content.items() if value is not None}


def write(path: Path, members: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as archive:
        warnings.simplefilter("ignore")
        for name, content in members:
            archive.writestr(name, content)
    return path


def read(folder: Path, members: dict[str, bytes]) -> KerasFile:
    return take(write(folder / "body", list(members.items())))


def take(path: Path) -> KerasFile:
    """What a file says, and its weights in the file `weights` beside it."""
    found = keras_file.read(path)
    path.with_name("weights").unlink(missing_ok=True)
    keras_file.unpack_weights(path, path.with_name("weights"), LIMIT)
    return found


def test_a_file_says_what_is_in_it(tmp_path: Path) -> None:
    """The configuration comes parsed, and the weights lie in a file, as they came."""
    found = read(tmp_path, whole())
    assert found == KerasFile(config=CONFIG, keras_version="3.15.1", saved_at="2026-03-01@12:00:00")
    assert (tmp_path / "weights").read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("members", "pointer", "words"),
    [
        (whole(config__json=None), "/config.json", "no config.json"),
        (whole(metadata__json=None), "/metadata.json", "no metadata.json"),
        ({"model.weights.h5": b""}, "/metadata.json", "no metadata.json"),
        (whole() | {"../../etc/passwd": b""}, "/..~1..~1etc~1passwd", "nothing else"),
        (whole() | {"/config.json": b""}, "/~1config.json", "nothing else"),
        (
            whole() | {"assets/layers/text/vocabulary.txt": b""},
            "/assets~1layers~1text~1vocabulary.txt",
            "a layer reads",
        ),
        (whole() | {"model.weights.json": b""}, "/model.weights.json", "nothing else"),
        (whole(metadata__json=b"[]"), "/metadata.json", "an object was expected"),
        (whole(metadata__json=b"{}"), "/metadata.json/keras_version", "Keras null"),
        (whole(metadata__json=b'{"keras_version": "2.15.0"}'), "/metadata.json/keras_version", "what Keras 3 writes"),
        (whole(metadata__json=b'{"keras_version": [3]}'), "/metadata.json/keras_version", "a list of 1"),
        (whole(config__json=b"3"), "/config.json", "an object was expected"),
    ],
)
def test_what_is_no_such_file_is_a_fault(tmp_path: Path, members: dict[str, bytes], pointer: str, words: str) -> None:
    """Each fault says what came and where."""
    with pytest.raises(Invalid) as refused:
        read(tmp_path, members)
    assert refused.value.faults[0].pointer == pointer
    assert words in refused.value.faults[0].detail


def test_all_strange_members_are_told_at_once(tmp_path: Path) -> None:
    """What is missing and what should not be there come together."""
    with pytest.raises(Invalid) as refused:
        read(tmp_path, {"saved_model.pb": b"", "variables": b""})
    assert len(refused.value.faults) == 5


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a": "\\ud800"}', b'{"a": NaN}'])
def test_json_that_does_not_parse_is_malformed(tmp_path: Path, content: bytes) -> None:
    """Nesting without end, half characters and NaN count as no JSON."""
    with pytest.raises(MalformedRequest) as refused:
        read(tmp_path, whole(config__json=content))
    assert refused.value.faults[0].pointer == "/config.json"


def test_members_are_bounded(tmp_path: Path) -> None:
    """Each member has a size that it may not exceed unpacked; zeros pack a thousandfold."""
    with pytest.raises(TooLarge, match=r"config\.json"):
        read(tmp_path, whole(config__json=b" " * (2**23 + 1)))
    with pytest.raises(TooLarge, match=r"metadata\.json"):
        read(tmp_path, whole(metadata__json=b" " * (2**16 + 1)))
    with pytest.raises(TooLarge, match=r"model\.weights\.h5"):
        read(tmp_path, whole(model__weights__h5=bytes(LIMIT + 1)))
    assert read(tmp_path, whole(model__weights__h5=bytes(LIMIT))).keras_version == "3.15.1"


@pytest.mark.parametrize("declared", [7, 0, 2**31])
def test_what_a_member_declares_is_not_believed(tmp_path: Path, declared: int) -> None:
    """A member that declares another size than it has is an error, and never brings more than it may."""
    path = write(tmp_path / "body", list(whole(model__weights__h5=bytes(LIMIT + 1)).items()))
    body = bytearray(path.read_bytes())
    entry = body.rindex(b"PK\x01\x02")
    struct.pack_into("<L", body, entry + 24, declared)
    path.write_bytes(body)
    with pytest.raises(KerasdError):
        take(path)


def test_a_member_that_comes_twice_is_a_fault(tmp_path: Path) -> None:
    """Two readers could take one each."""
    path = write(tmp_path / "body", [*whole().items(), ("config.json", b"{}")])
    with pytest.raises(Invalid, match="came twice"):
        take(path)


def test_uncommon_methods_and_encryption_are_faults(tmp_path: Path) -> None:
    """All of such members are told."""
    path = write(tmp_path / "body", list(whole().items()), zipfile.ZIP_BZIP2)
    with pytest.raises(Invalid) as refused:
        take(path)
    assert len(refused.value.faults) == 3
    body = bytearray(write(path, list(whole().items())).read_bytes())
    body[body.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(body)
    with pytest.raises(Invalid, match="encrypted"):
        take(path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_ends_in_a_known_error(tmp_path: Path, data: st.DataObject) -> None:
    """Bytes that are changed or missing anywhere give a problem, or the file that it was."""
    path = write(tmp_path / "body", list(whole().items()))
    body = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(body[: data.draw(st.sampled_from([len(body), len(body) - 1, len(body) // 2]))])
    try:
        found = take(path)
    except KerasdError:
        return
    assert found.config == CONFIG
    assert (tmp_path / "weights").read_bytes() == b"weights"
