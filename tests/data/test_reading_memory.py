"""What reading takes does not grow with the file: the memory of a process that reads a small and a large one."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

#: Reads a file into a folder, and says how many bytes its process had in memory at most, beside the files that it maps.
READ = """
import os, sys, threading
from pathlib import Path
from service.data.table_readers import TableOptions, reader_of
from service.training.kernel import anonymous_bytes

most, done = 0, threading.Event()

def watch():
    global most
    while not done.wait(0.01):
        most = max(most, anonymous_bytes(os.getpid()))

watcher = threading.Thread(target=watch)
watcher.start()
reader_of(sys.argv[1])(Path(sys.argv[2]), Path(sys.argv[3]), TableOptions())
done.set()
watcher.join()
print(most)
"""
#: As a table, the large file has some fifty to hundred megabytes more than the small one.
MOST_MORE_BYTES = 32 * 2**20
#: Rows that are written again and again, which is faster than making each.
PERIOD = 100_000


def write_csv(path: Path, rows: int) -> None:
    lines = "".join(f"{number * 0.37},word {number % 1000},{number}\n" for number in range(PERIOD))
    with path.open("w") as file:
        file.write("number,text,code\n")
        file.writelines(lines for _ in range(rows // PERIOD))


def write_utf16(path: Path, rows: int) -> None:
    lines = "".join(f"{number * 0.37}\tword {number % 1000}\t{number}\n" for number in range(PERIOD))
    with path.open("w", encoding="utf-16") as file:
        file.write("number\ttext\tcode\n")
        file.writelines(lines for _ in range(rows // PERIOD))


def write_lines(path: Path, rows: int) -> None:
    lines = b"".join(
        orjson.dumps({"number": number * 0.37, "text": f"word {number % 1000}"}, option=orjson.OPT_APPEND_NEWLINE)
        for number in range(PERIOD)
    )
    with path.open("wb") as file:
        file.writelines(lines for _ in range(rows // PERIOD))


def write_list(path: Path, rows: int) -> None:
    records = b"".join(b',{"number":%d.5,"text":"word %d"}' % (number, number % 1000) for number in range(PERIOD))
    with path.open("wb") as file:
        file.write(b'{"records":[{"number":0.5}')
        file.writelines(records for _ in range(rows // PERIOD))
        file.write(b"]}")


def write_parquet(path: Path, rows: int) -> None:
    table = pa.table({"number": np.arange(PERIOD) * 0.37, "text": [f"word {number}" for number in range(PERIOD)]})
    # A row group is what Parquet is read by, so that it must not grow with the file.
    with pq.ParquetWriter(path, table.schema) as writer:
        for _ in range(rows // PERIOD):
            writer.write_table(table)


@pytest.mark.parametrize(
    ("form", "write", "small", "large"),
    [
        # PyArrow reads up to 32 blocks of a MiB of CSV ahead, which the small file has too.
        ("csv", write_csv, 2_000_000, 6_000_000),
        ("csv", write_utf16, 2_000_000, 6_000_000),
        ("jsonl", write_lines, 500_000, 2_500_000),
        ("json", write_list, 500_000, 2_500_000),
        ("parquet", write_parquet, 1_000_000, 4_000_000),
    ],
)
def test_memory_does_not_grow_with_the_file(
    tmp_path: Path, form: str, write: Callable[[Path, int], None], small: int, large: int
) -> None:
    """Many more rows take no more than some blocks more."""
    most = []
    for rows in (small, large):
        write(tmp_path / "body", rows)
        command = [sys.executable, "-c", READ, form, str(tmp_path / "body"), str(tmp_path)]
        said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
        most.append(int(said.stdout))
    assert most[1] - most[0] < MOST_MORE_BYTES, most
