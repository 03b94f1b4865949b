"""What reading takes does not grow with the file: the memory of a process that reads a small and a large one."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

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
SMALL_ROWS, LARGE_ROWS = 600_000, 2_400_000
#: As a table, the large file has some fifty megabytes more than the small one.
MOST_MORE_BYTES = 32 * 2**20


def write_csv(path: Path, rows: int) -> None:
    with path.open("w") as file:
        file.write("number,text,code\n")
        file.writelines(f"{number * 0.37},word {number % 1000},{number}\n" for number in range(rows))


def write_lines(path: Path, rows: int) -> None:
    with path.open("wb") as file:
        file.writelines(
            orjson.dumps({"number": number * 0.37, "text": f"word {number % 1000}"}, option=orjson.OPT_APPEND_NEWLINE)
            for number in range(rows)
        )


def write_list(path: Path, rows: int) -> None:
    with path.open("wb") as file:
        file.write(b'{"records":[{"number":0.5}')
        file.writelines(b',{"number":%d.5,"text":"word %d"}' % (number, number % 1000) for number in range(rows))
        file.write(b"]}")


def write_parquet(path: Path, rows: int) -> None:
    table = pa.table({"number": [number * 0.37 for number in range(rows)], "text": [f"word {n}" for n in range(rows)]})
    # A row group is what Parquet is read by, so that it must not grow with the file.
    pq.write_table(table, path, row_group_size=200_000)


@pytest.mark.parametrize(
    ("form", "write"),
    [("csv", write_csv), ("jsonl", write_lines), ("json", write_list), ("parquet", write_parquet)],
)
def test_memory_does_not_grow_with_the_file(tmp_path: Path, form: str, write: Callable[[Path, int], None]) -> None:
    """Four times the rows take no more than a block more."""
    taken = []
    for rows in (SMALL_ROWS, LARGE_ROWS):
        write(tmp_path / "body", rows)
        command = [sys.executable, "-c", READ, form, str(tmp_path / "body"), str(tmp_path)]
        said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
        taken.append(int(said.stdout))
    small, large = taken
    assert large - small < MOST_MORE_BYTES
