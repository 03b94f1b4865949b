"""HDF5 files from clients: plain arrays of the expected shapes are taken, and nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from service.architecture import keras_weights
from service.architecture.keras_weights import fill
from service.errors import Fault, Invalid, MalformedRequest

#: What the network's layers are called in the file that Keras has just written, and in the client's.
PLACES = {"dense": "dense_1", "normalization": "normalization"}
ARRAYS = {
    "dense/vars/0": np.zeros((3, 2), np.float32),
    "dense/vars/1": np.zeros(2, np.float32),
    "normalization/vars/0": np.zeros((), np.int64),
}
Change = Callable[[Any], object]


def write(path: Path, arrays: dict[str, np.ndarray[Any, Any]]) -> Path:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[f"layers/{name}"] = array
        file.create_group("vars").attrs["name"] = "model"
    return path


def theirs(folder: Path, change: Change = bool) -> Path:
    """A client's file of numbers that differ, with one thing changed."""
    arrays = {
        name.replace("dense/", "dense_1/"): np.arange(array.size, dtype=array.dtype).reshape(array.shape) + 1
        for name, array in ARRAYS.items()
    }
    path = write(folder / "theirs.h5", arrays)
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def taken(folder: Path, source: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The network's weights, once the client's are in their place."""
    target = write(folder / "ours.h5", ARRAYS)
    fill(source, target, PLACES)
    with h5py.File(target, "r") as file:
        return {name: file[f"layers/{name}"][()] for name in ARRAYS}


def faults_of(folder: Path, change: Change) -> tuple[Fault, ...]:
    with pytest.raises(Invalid) as refused:
        taken(folder, theirs(folder, change))
    return refused.value.faults


def test_weights_are_taken_to_the_bit(tmp_path: Path) -> None:
    """Each array goes to the layer that has its place here, whatever that is called there."""
    found = taken(tmp_path, theirs(tmp_path))
    np.testing.assert_array_equal(found["dense/vars/0"], np.arange(1, 7, dtype=np.float32).reshape(3, 2))
    np.testing.assert_array_equal(found["dense/vars/1"], np.float32([1, 2]))
    assert (found["normalization/vars/0"], found["normalization/vars/0"].dtype) == (1, np.int64)


def test_counts_may_be_narrower(tmp_path: Path) -> None:
    """With other backends than TensorFlow, Keras counts in 32 bits."""
    place = "layers/normalization/vars/0"
    found = taken(tmp_path, theirs(tmp_path, replace(place, data=np.int32(7))))
    assert (found["normalization/vars/0"], found["normalization/vars/0"].dtype) == (7, np.int64)
    for other in (np.uint64(7), np.float32(7), np.bool_(True)):
        assert faults_of(tmp_path, replace(place, data=other))[0].pointer == f"/model.weights.h5/{place}"


def test_an_optimizers_state_is_not_looked_at(tmp_path: Path) -> None:
    """Keras writes it into the same file."""
    assert taken(tmp_path, theirs(tmp_path, lambda file: file.create_dataset("optimizer/vars/0", data=3)))


def test_infinities_are_weights_too(tmp_path: Path) -> None:
    """A network that has gone wrong is the client's to judge."""

    def change(file: Any) -> None:
        file["layers/dense_1/vars/1"][...] = [np.nan, np.inf]

    np.testing.assert_array_equal(taken(tmp_path, theirs(tmp_path, change))["dense/vars/1"], [np.nan, np.inf])


def replace(path: str, **options: Any) -> Change:
    """Puts another array in the place of one."""

    def change(file: Any) -> None:
        del file[path]
        file.create_dataset(path, **options)

    return change


def link(path: str, to: Any) -> Change:
    def change(file: Any) -> None:
        if path in file:
            del file[path]
        file[path] = to

    return change


def make_virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((2,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (2,))
    del file["layers/dense_1/vars/1"]
    file.create_virtual_dataset("layers/dense_1/vars/1", layout)


def make_cycle(file: Any) -> None:
    file["layers/dense_1/again"] = file["layers"]


def without_values(file: Any) -> None:
    del file["layers/dense_1/vars/0"]
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_LATE)
    space = h5py.h5s.create_simple((3, 2))
    h5py.h5d.create(file["layers/dense_1/vars"].id, b"0", h5py.h5t.IEEE_F32LE, space, properties)


KERNEL, BIAS = "layers/dense_1/vars/0", "layers/dense_1/vars/1"
TWO = np.ones(2, np.float32)


@pytest.mark.parametrize(
    ("change", "place", "words"),
    [
        (link(BIAS, h5py.ExternalLink("/etc/passwd", "x")), BIAS, "A link came"),
        (link(BIAS, h5py.SoftLink("/layers/dense_1/vars/0")), BIAS, "A link came"),
        (link("layers", h5py.ExternalLink("/etc/passwd", "x")), "layers", "A link came"),
        (link("optimizer", h5py.SoftLink("/layers")), "optimizer", "A link came"),
        (make_virtual, BIAS, "lie outside this file"),
        (replace(BIAS, shape=(2,), dtype="f4", external=[("/etc/passwd", 0, 8)]), BIAS, "lie outside this file"),
        (replace(BIAS, data=TWO, chunks=(1,)), BIAS, "in pieces"),
        (replace(BIAS, data=TWO, compression="gzip"), BIAS, "compressed"),
        (replace(KERNEL, shape=(2**20, 2**20), dtype="f4", compression="gzip"), KERNEL, "compressed"),
        (replace(KERNEL, shape=(2**20, 2**20), dtype="f4"), KERNEL, "[1048576, 1048576] came"),
        (replace(BIAS, data=[b"a", b"b"]), BIAS, "Data of type"),
        (replace(BIAS, data=["a", "b"], dtype=h5py.string_dtype()), BIAS, "Data of type"),
        (replace(BIAS, shape=(2,), dtype=h5py.ref_dtype), BIAS, "Data of type"),
        (replace(BIAS, shape=(2,), dtype=h5py.vlen_dtype(np.float32)), BIAS, "Data of type"),
        (replace(BIAS, shape=(2,), dtype=[("a", "f4")]), BIAS, "Data of type"),
        (replace(BIAS, shape=(2,), dtype="(1000,)f4"), BIAS, "Data of type"),
        (replace(BIAS, shape=(2,), dtype="c8"), BIAS, "Data of type"),
        (replace(BIAS, data=h5py.Empty("f4")), BIAS, "Data of type"),
        (replace(BIAS, data=TWO.astype("f8")), BIAS, "float64 of shape [2] came"),
        (replace(BIAS, data=TWO.astype(">f4")), BIAS, ">f4"),
        (replace(BIAS, data=TWO.astype("f2")), BIAS, "float16"),
        (replace(BIAS, data=np.ones((1, 2), np.float32)), BIAS, "[1, 2] came"),
        (replace(KERNEL, data=np.ones((2, 3), np.float32)), KERNEL, "the layer needs float32 of shape [3, 2]"),
        (without_values, KERNEL, "not in the file"),
        (lambda file: file.__delitem__(BIAS), BIAS, "There is no such array"),
        (lambda file: file.__delitem__("layers"), "layers/dense_1/vars/0", "There is no such array"),
        (
            lambda file: file.create_dataset("layers/dense_1/vars/2", data=1.0),
            "layers/dense_1/vars/2",
            "no layer of this",
        ),
        (lambda file: file.create_dataset("layers/other/vars/0", data=1.0), "layers/other/vars/0", "no layer of this"),
        (lambda file: file.create_dataset("mine/vars/0", data=1.0), "mine", "Keras writes no 'mine'"),
        (lambda file: file.__setitem__("layers/named", np.dtype("f4")), "layers/named", "A named type"),
        (make_cycle, "", "More came"),
    ],
)
def test_what_keras_does_not_write_is_a_fault(tmp_path: Path, change: Change, place: str, words: str) -> None:
    """Links, values elsewhere, packed or strange data, other shapes: each is told at its place."""
    fault = next(fault for fault in faults_of(tmp_path, change) if words in fault.detail)
    assert fault.pointer.startswith(f"/model.weights.h5/{place}".rstrip("/"))


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    """Two arrays that are wrong are two faults, and a hundred are not all told."""

    def change(file: Any) -> None:
        replace(BIAS, data=1.0)(file)
        replace(KERNEL, data=1.0)(file)

    assert [fault.pointer for fault in faults_of(tmp_path, change)] == [
        f"/model.weights.h5/{KERNEL}",
        f"/model.weights.h5/{BIAS}",
    ]

    def add_many(file: Any) -> None:
        for index in range(100):
            file[f"layers/more/{index}"] = index

    assert len(faults_of(tmp_path, add_many)) == 20


def test_the_number_of_objects_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of very many groups is given up."""
    monkeypatch.setattr(keras_weights, "MAX_OBJECTS", 50)

    def add_many(file: Any) -> None:
        for index in range(60):
            file.create_group(f"optimizer/{index}")

    assert "More came" in faults_of(tmp_path, add_many)[0].detail


def test_a_name_of_half_a_character_is_malformed(tmp_path: Path) -> None:
    """HDF5 holds any bytes as names."""

    def change(file: Any) -> None:
        group = file["layers"]
        group.id.links.create_soft(b"\xff\xfe", b"/x")

    with pytest.raises(MalformedRequest):
        taken(tmp_path, theirs(tmp_path, change))


@pytest.mark.parametrize("content", [b"", b"weights", b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" + bytes(4000)])
def test_what_is_no_hdf5_file_is_malformed(tmp_path: Path, content: bytes) -> None:
    """The server's own paths are not told."""
    path = tmp_path / "theirs.h5"
    path.write_bytes(content)
    with pytest.raises(MalformedRequest) as refused:
        taken(tmp_path, path)
    assert str(tmp_path) not in refused.value.detail
    assert refused.value.faults[0].pointer == "/model.weights.h5"


def test_a_truncated_file_is_malformed(tmp_path: Path) -> None:
    """However much of it is missing."""
    whole = theirs(tmp_path).read_bytes()
    path = tmp_path / "cut.h5"
    for length in range(0, len(whole) - 1, 97):
        path.write_bytes(whole[:length])
        with pytest.raises(MalformedRequest):
            taken(tmp_path, path)


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    """Also where the file was refused."""
    source = theirs(tmp_path, link(BIAS, h5py.SoftLink("/x")))
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(Invalid):
        taken(tmp_path, source)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
