"""Zip files of images: whole ones become rows, and everything else is told by its name."""

import io
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from service.data.image_archive import read_image_archive, wrong_image
from service.data.profile import profile_table
from service.data.read_options import ReadOptions
from service.data.table import Kind, Origin, batches, stored_origins, stored_types
from service.data.table_readers import TableOptions, table_sha256
from service.errors import Fault, Invalid, KerasdError, MalformedRequest, TooLarge
from tests.data.test_members import zipped


def take(folder: Path, body: bytes, **limits: Any) -> list[dict[str, Any]]:
    (folder / "body").write_bytes(body)
    read_image_archive(folder / "body", folder, TableOptions(limits=ReadOptions(**limits)))
    return [row for batch in batches(folder) for row in batch.to_pylist()]


def faults_of(folder: Path, body: bytes) -> tuple[Fault, ...]:
    with pytest.raises(Invalid) as raised:
        take(folder, body)
    return raised.value.faults


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8))


def image(size: tuple[int, int] = (4, 3), kind: str = "PNG", mode: str = "RGB", **how: Any) -> bytes:
    file = io.BytesIO()
    noise(*size).convert(mode).save(file, kind, **how)
    return file.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data))


def png(width: int, height: int, pixels: bytes) -> bytes:
    """A PNG of grey pixels whose header says what it likes."""
    header = chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def test_folders_become_labels(tmp_path: Path) -> None:
    """The digits of scikit-learn come back with their labels, their bytes and their pixels, sorted by name."""
    digits = load_digits()
    files = {}
    for number, (pixels, label) in enumerate(zip(digits.images[:100], digits.target[:100], strict=True)):
        file = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
        files[f"digits/{label}/{number:03}.png"] = file.getvalue()
    rows = take(tmp_path, zipped(files))
    assert stored_types(tmp_path) == {"filename": "string", "label": "string", "image": "image"}
    assert stored_origins(tmp_path) == {"filename": Origin.FILENAME}
    assert [row["filename"] for row in rows] == sorted(files)
    assert all(row["image"] == files[row["filename"]] for row in rows)
    assert {row["label"] for row in rows} == {str(label) for label in range(10)}
    for row in rows:
        number = int(row["filename"][-7:-4])
        assert row["label"] == str(digits.target[number])
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(row["image"]))), digits.images[number])


def test_folders_are_categories_also_where_they_are_numbers(tmp_path: Path) -> None:
    """The folders 0 to 9 are classes, and no quantity; a client can still say so."""
    take(tmp_path, zipped({f"{number % 10}/{number}": image() for number in range(50)}))
    kinds = {column.name: column.kind.value for column in profile_table(tmp_path)[0]}
    assert kinds == {"filename": "category", "label": "category", "image": "image"}
    kinds = {column.name: column.kind.value for column in profile_table(tmp_path, {"label": Kind.NUMERIC})[0]}
    assert kinds["label"] == "numeric"


def test_photographs_are_read(tmp_path: Path) -> None:
    """JPEG files keep their bytes; without folders there is no label."""
    paths = [Path(name) for name in load_sample_images().filenames]
    rows = take(tmp_path, zipped({path.name: path.read_bytes() for path in paths}))
    assert rows == [{"filename": path.name, "image": path.read_bytes()} for path in sorted(paths)]


@pytest.mark.parametrize("names", [["a/1.png", "2.png"], ["1.png"]])
def test_there_are_labels_only_if_all_files_lie_in_folders(tmp_path: Path, names: list[str]) -> None:
    """One file beside the folders is enough."""
    assert [*take(tmp_path, zipped(dict.fromkeys(names, image())))[0]] == ["filename", "image"]


def test_the_last_folder_is_the_label(tmp_path: Path) -> None:
    """Folders above it are part of the file's name only."""
    rows = take(tmp_path, zipped({"all/train/cats/1.png": image(), "all/test/dogs/2.png": image()}))
    assert [(row["filename"], row["label"]) for row in rows] == [
        ("all/test/dogs/2.png", "dogs"),
        ("all/train/cats/1.png", "cats"),
    ]


def test_the_order_of_packing_makes_no_difference(tmp_path: Path) -> None:
    """The same files make the same table, to the bit."""
    files = {f"{number}.png": image() for number in range(5)}
    take(tmp_path, zipped(files))
    first = table_sha256(tmp_path)
    take(tmp_path, zipped(dict(reversed(files.items())), zipfile.ZIP_STORED))
    assert table_sha256(tmp_path) == first


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_png_is_read(mode: str) -> None:
    """Bits, greys, palettes, transparency and 16 bits."""
    file = io.BytesIO()
    picture = noise(9, 9)
    (Image.fromarray(np.asarray(picture).astype(np.uint16)) if mode == "I;16" else picture.convert(mode)).save(
        file, "PNG"
    )
    assert wrong_image(file.getvalue()) is None


@pytest.mark.parametrize("how", [{}, {"progressive": True}, {"quality": 1}, {"quality": 100, "subsampling": 0}])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_every_kind_of_jpeg_is_read(mode: str, how: dict[str, Any]) -> None:
    """Greys, colours and print colours; baseline and progressive."""
    assert wrong_image(image((40, 30), "JPEG", mode, **how)) is None


def test_animations_are_images() -> None:
    """An animated PNG counts with its first picture."""
    file = io.BytesIO()
    frames = [noise(8, 8, seed) for seed in range(3)]
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    assert wrong_image(file.getvalue()) is None


def test_photographs_of_several_pictures_are_images() -> None:
    """What many telephones write is a JPEG with a preview behind it, and counts with its first picture."""
    file = io.BytesIO()
    frames = [noise(8, 8, seed).convert("RGB") for seed in range(2)]
    frames[0].save(file, "MPO", save_all=True, append_images=frames[1:])
    assert wrong_image(file.getvalue()) is None


def test_odd_remarks_in_an_image_are_no_fault() -> None:
    """A damaged EXIF block says nothing of the pixels."""
    assert wrong_image(image((8, 8), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01broken")) is None


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_truncated_images_are_damaged(kind: str) -> None:
    """An image that is cut anywhere but in its closing mark is no image."""
    data = image((60, 40), kind)
    for length in range(2, len(data) - 12, 7):
        assert wrong_image(data[:length]) is not None
    assert "damaged" in str(wrong_image(data[: len(data) // 2]))


def test_every_other_file_is_named(tmp_path: Path) -> None:
    """All files that are no images are told at once, and what they seem to be."""
    others = {kind.lower(): image(kind=kind) for kind in ("GIF", "BMP", "TIFF", "WEBP")}
    body = zipped(
        {
            "cats/1.png": image(),
            "cats/notes.txt": b"Cats I have known",
            "cats/empty.png": b"",
            **{f"cats/2.{kind}": data for kind, data in others.items()},
        }
    )
    faults = {fault.pointer: fault.detail for fault in faults_of(tmp_path, body)}
    assert [*faults] == [f"/cats~1{name}" for name in ("2.bmp", "2.gif", "2.tiff", "2.webp", "empty.png", "notes.txt")]
    assert faults["/cats~1notes.txt"] == (
        "'cats/notes.txt': A file of another kind came; a PNG or JPEG image was expected. "
        "Save the image anew as PNG or JPEG, or leave it out."
    )
    assert "A WebP image" in faults["/cats~12.webp"]
    assert "An empty file" in faults["/cats~1empty.png"]


def test_only_the_first_faults_are_described(tmp_path: Path) -> None:
    """The rest is counted."""
    faults = faults_of(tmp_path, zipped({f"{number:02}.txt": b"no" for number in range(25)}))
    assert len(faults) == 21
    assert faults[-1].detail == "... and 5 more"


@pytest.mark.parametrize("body", [zipped({}), zipped({"a/": b"", "a/.DS_Store": b""})])
def test_an_empty_zip_file_is_a_fault(tmp_path: Path, body: bytes) -> None:
    """What counts are files."""
    (fault,) = faults_of(tmp_path, body)
    assert "holds no files" in fault.detail


@pytest.mark.parametrize(("width", "height"), [(50_001, 1000), (10_000, 10_000), (2**31 - 1, 2**31 - 1)])
def test_images_of_too_many_pixels_are_not_unpacked(width: int, height: int) -> None:
    """The header decides, however large what it declares."""
    tracemalloc.start()
    try:
        assert "pixels" in str(wrong_image(png(width, height, b"\0" * 1000)))
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_header_that_promises_more_than_comes_is_damage() -> None:
    """Pixels that are missing are not made up."""
    assert wrong_image(png(10, 10, b"\0" * 110)) is None
    assert "damaged" in str(wrong_image(png(10, 10, b"\0" * 50)))
    assert wrong_image(png(0, 10, b"\0")) is not None


def test_texts_in_an_image_do_not_fill_the_memory() -> None:
    """A bomb in a PNG's remarks is damage."""
    bomb = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**26), 9))
    data = png(1, 1, b"\0\0")
    assert "damaged" in str(wrong_image(data[:33] + bomb + data[33:]))


def test_a_jpeg_of_very_many_scans_is_not_unpacked() -> None:
    """Each scan would cost as much time as the whole image does."""
    data = image((64, 64), "JPEG", progressive=True)
    start = data.index(b"\xff\xda")
    assert "scans" in str(wrong_image(data[:start] + data[start:-2] * 501 + data[-2:]))


def test_large_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that declares more bytes than an image may have is a fault of its own."""
    monkeypatch.setattr("service.data.image_archive.MAX_FILE_BYTES", 100)
    (fault,) = faults_of(tmp_path, zipped({"a.png": image((50, 50)), "b.png": image((1, 1), mode="L")}))
    assert fault.pointer == "/a.png"
    assert "100 is the most" in fault.detail


def test_limits_are_held(tmp_path: Path) -> None:
    """Rows are counted, and bytes before anything is unpacked."""
    body = zipped({f"{number}.png": image() for number in range(3)})
    with pytest.raises(TooLarge, match="more than 2 rows"):
        take(tmp_path, body, max_rows=2)
    with pytest.raises(TooLarge, match="once unpacked"):
        take(tmp_path, body, max_bytes=100)


def test_nothing_is_written_by_a_members_name(tmp_path: Path) -> None:
    """A name that leads out of the folder is a fault, and leads nowhere."""
    inner = tmp_path / "inner"
    inner.mkdir()
    (fault,) = faults_of(inner, zipped({"../out.png": image(), "in.png": image()}))
    assert fault.pointer == "/..~1out.png"
    assert [path.name for path in tmp_path.rglob("*")] == ["inner", "body"]


def test_one_image_at_a_time_is_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many images need no more memory than a batch of them does."""
    monkeypatch.setattr("service.data.members.MAX_BATCH_BYTES", 2**20)
    body = zipped({f"{number:03}.png": image((200, 200), mode="RGBA") for number in range(200)})
    assert len(body) > 8 * 2**20
    (tmp_path / "body").write_bytes(body)
    tracemalloc.start()
    try:
        read_image_archive(tmp_path / "body", tmp_path, TableOptions())
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()
    assert sum(batch.num_rows for batch in batches(tmp_path)) == 200


def test_a_table_beside_the_images_says_more_of_them(tmp_path: Path) -> None:
    """Its rows find their images by name, and its columns keep their types, between the name and the image."""
    pictures = {f"photos/{name}.png": image() for name in "abc"}
    table = b"image,age,label\nc.png,3,cat\na.png,1.5,dog\nphotos/b.png,,cat\n"
    rows = take(tmp_path, zipped({**pictures, "labels.csv": table}))
    assert stored_types(tmp_path) == {"filename": "string", "age": "float64", "label": "string", "image": "image"}
    assert [[*row.values()][:3] for row in rows] == [
        ["photos/a.png", 1.5, "dog"],
        ["photos/b.png", None, "cat"],
        ["photos/c.png", 3.0, "cat"],
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"body", "table.arrow"}


@pytest.mark.parametrize("table", [b"id\tsize\n1\t10\n2\t20\n", b"id\tsize\n2\t20\n1\t10\n"])
def test_a_table_can_leave_suffixes_out(tmp_path: Path, table: bytes) -> None:
    """Numbers are names too; without a label of its own the folders are."""
    rows = take(tmp_path, zipped({"cats/1.jpg": image(kind="JPEG"), "dogs/2.jpg": image(), "sizes.tsv": table}))
    assert [[*row.values()][:3] for row in rows] == [["cats/1.jpg", "cats", 10], ["dogs/2.jpg", "dogs", 20]]


def test_a_table_can_be_json_lines(tmp_path: Path) -> None:
    """As collections of images often have them."""
    table = b'{"file_name": "b.png", "weight": 2.5}\n{"file_name": "a.png", "weight": 1}\n'
    rows = take(tmp_path, zipped({"a.png": image(), "b.png": image(), "metadata.jsonl": table}))
    assert [row["weight"] for row in rows] == [1.0, 2.5]


def test_rows_and_images_that_find_no_other_are_faults(tmp_path: Path) -> None:
    """All are told, with the file and the row."""
    table = b"file,label\na.png,x\na.png,y\n,z\nq.png,w\n"
    faults = faults_of(tmp_path, zipped({"a.png": image(), "b.png": image(), "labels.csv": table}))
    assert [fault.pointer for fault in faults] == [
        "/labels.csv/1/file",
        "/labels.csv/2/file",
        "/labels.csv/3/file",
        "/b.png",
    ]
    assert faults[0].detail == "'labels.csv': Rows 1 and 2 name the same image, 'a.png'. Leave one out."
    assert faults[2].detail.startswith("'labels.csv': 'q.png' came in row 4, column 'file'; the name of one image in")
    assert faults[3].detail == "'b.png': No row of 'labels.csv' names this image. Add one."


@pytest.mark.parametrize(
    ("table", "pointer", "detail"),
    [
        (b"x,y\n1,2\n", "/labels.csv", "None of the columns 'x', 'y' names the images"),
        (b"file,image\na.png,2\n", "/labels.csv", "The column 'image' came, which each image has anyway"),
        (b"file,x\na.png\n", "/labels.csv/0", "1 cells came in row 1"),
        (b"file,x\na.png,\xff\n", "/labels.csv", "is not UTF-8"),
        (b"", "/labels.csv", "'labels.csv': "),
    ],
)
def test_a_table_that_cannot_be_used_is_told_by_its_name(
    tmp_path: Path, table: bytes, pointer: str, detail: str
) -> None:
    """What is wrong with it is said as for a table alone."""
    fault = faults_of(tmp_path, zipped({"a.png": image(), "labels.csv": table}))[0]
    assert fault.pointer == pointer
    assert detail in fault.detail


def test_names_that_several_images_have_name_none(tmp_path: Path) -> None:
    """The whole path always does."""
    pictures = {"x/1.png": image(), "y/1.png": image()}
    table = b"file,v\nx/1.png,5\ny/1.png,6\n"
    assert [row["v"] for row in take(tmp_path, zipped({**pictures, "t.csv": table}))] == [5, 6]
    faults = faults_of(tmp_path, zipped({**pictures, "t.csv": b"file,v\n1.png,5\nx/1.png,6\n"}))
    assert [fault.pointer for fault in faults] == ["/t.csv/0/file", "/y~11.png"]


def test_several_tables_are_no_images(tmp_path: Path) -> None:
    """It would not be known which of them tells of the images."""
    faults = faults_of(tmp_path, zipped({"a.png": image(), "1.csv": b"x\n1", "2.csv": b"x\n1"}))
    assert [fault.pointer for fault in faults] == ["/1.csv", "/2.csv"]


SMALL = zipped({"a/1.png": image(), "a/2.jpg": image(kind="JPEG"), "b/3.png": image(mode="P")})


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    cut=st.integers(0, len(SMALL)),
    flips=st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(1, 255)), max_size=4),
)
def test_damaged_zip_files_end_in_a_known_error(tmp_path: Path, cut: int, flips: list[tuple[int, int]]) -> None:
    """Whatever becomes of the bytes, the table is whole or the error is one for clients."""
    body = bytearray(SMALL)
    for place, bits in flips:
        body[place] ^= bits
    try:
        rows = take(tmp_path, bytes(body[:cut]) if not flips else bytes(body))
    except KerasdError:
        return
    assert rows


@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from(["PNG", "JPEG"]),
    flips=st.lists(st.tuples(st.integers(2, 10**6), st.integers(1, 255)), min_size=1, max_size=8),
)
def test_damaged_images_end_in_a_sentence(kind: str, flips: list[tuple[int, int]]) -> None:
    """Pillow's many errors are one for clients."""
    data = bytearray(image((20, 20), kind))
    for place, bits in flips:
        data[place % len(data)] ^= bits
    assert wrong_image(bytes(data)) is None or len(str(wrong_image(bytes(data)))) > 20


def test_a_damaged_zip_file_is_malformed(tmp_path: Path) -> None:
    """Damage of the file is told apart from faults of what is in it."""
    with pytest.raises(MalformedRequest, match="This zip file is damaged"):
        take(tmp_path, SMALL[:-30])
