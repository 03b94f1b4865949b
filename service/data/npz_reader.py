"""NumPy's .npz files: their headers are read, their values streamed; nothing in them is ever unpickled."""

import zipfile
from pathlib import Path
from typing import cast

from service.data.array_writer import Intake
from service.data.npy_reader import part_and_name, take_array
from service.data.npz_archive import check_total, opened, unreadable
from service.data.streams import Stream


def read_npz(path: Path, intake: Intake) -> None:
    """Write the members x, y and sample_weight, or x.<name> and y.<name>, through `intake`.

    Raise MalformedRequest where the zip file is damaged, TooLarge where its members declare more than is allowed.
    """
    with path.open("rb") as file, opened(file) as archive:
        check_total(archive, intake.options.max_bytes)
        for info in archive.infolist():
            _take_member(archive, info, intake)


def _take_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, intake: Intake) -> None:
    member = info.filename.removesuffix(".npy")
    named = None if info.filename == member else part_and_name(member)
    if named is None:
        detail = (
            f"The member {info.filename[:80]!r} came; x.npy, y.npy, sample_weight.npy or x.<name>.npy were expected."
        )
        intake.faults.add(intake.pointer(member), f"{detail} Use numpy.savez(file, x=x, y=y).")
        return
    part, name = named
    intake.seen.add(part)
    if (wrong := unreadable(info)) is not None:
        intake.faults.add(intake.pointer(part, name or None), wrong)
        return
    with archive.open(info) as stream:
        take_array(cast(Stream, stream), intake, part, name, brought=info.file_size)
        # Reading on to the end lets the zip reader compare the checksum.
        stream.read(1)
