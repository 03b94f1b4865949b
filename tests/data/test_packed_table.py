"""Packed files without a media type of their own: what is in them is found out; and every format has its reader."""

import gzip
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.data.packed_table import read_packed_table
from service.data.table_readers import FORMATS, READERS, reader_of
from service.errors import MalformedRequest
from tests.data.tables import take


@pytest.mark.parametrize(
    "content",
    ["a,b\n1,x\n", "a\tb\n1\tx\n", '{"a":1,"b":"x"}\n', '[{"a":1,"b":"x"}]', '\ufeff{"records":[{"a":1,"b":"x"}]}'],
)
@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_the_content_tells_its_format(tmp_path: Path, content: str, form: str) -> None:
    """CSV, TSV, JSON lines and JSON give the same table."""
    body = content.encode()
    packed = gzip.compress(body) if form == "gzip" else pa.compress(body, codec="zstd", asbytes=True)
    assert take(tmp_path, read_packed_table, packed) == [{"a": 1, "b": "x"}]


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_packed_utf16_is_a_table(tmp_path: Path, form: str) -> None:
    """Whatever separates its cells."""
    body = "a\tb\n1\tæ\n".encode("utf-16")
    packed = gzip.compress(body) if form == "gzip" else pa.compress(body, codec="zstd", asbytes=True)
    assert take(tmp_path, read_packed_table, packed) == [{"a": 1, "b": "æ"}]


def test_what_is_not_packed_or_packs_itself_is_told(tmp_path: Path) -> None:
    """A media type that is wrong, and Parquet, which needs no packing."""
    with pytest.raises(MalformedRequest, match="neither gzip nor zstd"):
        take(tmp_path, read_packed_table, "a,b\n1,2\n")
    sink = io.BytesIO()
    pq.write_table(pa.table({"a": [1]}), sink)
    with pytest.raises(MalformedRequest, match="Parquet file is packed"):
        take(tmp_path, read_packed_table, gzip.compress(sink.getvalue()))


@pytest.mark.parametrize("format_name", READERS)
def test_every_format_has_a_reader(format_name: str) -> None:
    """That can be imported, and at least one media type; of a zip file, the content says what it is."""
    assert callable(reader_of(format_name))
    assert format_name in {*FORMATS.values(), "images", "sequences"}
