"""Uploads in several files: each part of a form is one array in a .npy file, and is named for it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from service.data.array_writer import Intake
from service.data.fault_list import FaultList, escape
from service.data.npy_reader import part_and_name, take_array
from service.data.streams import Stream

#: The part that holds a whole data set in any other form, and comes alone.
WHOLE: Final = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePart:
    """One part of a form, as it comes: `stream` is to be read before the next part is asked for.

    `is_file` says that it came with a filename, as files do; what that was does not matter.
    """

    name: str
    media_type: str
    is_file: bool
    stream: Stream


def take_part(part: FilePart, intake: Intake) -> None:
    """Write the array in a part through `intake`, or note what is wrong with it."""
    named = part_and_name(part.name)
    if named is None:
        intake.faults.add(intake.pointer(part.name), _unknown(part.name))
        return
    intake.seen.add(named[0])
    if not part.is_file:
        detail = (
            f"A text field came; a .npy file was expected. Write it with numpy.save, and send it with a filename: with "
            f"curl, -F {part.name[:80]}=@{named[0]}.npy."
        )
        intake.faults.add(intake.pointer(*named), detail)
        return
    take_array(part.stream, intake, *named)


def check_alone(others: Iterable[FilePart]) -> None:
    """Raise Invalid if anything came beside the part that holds a whole data set."""
    faults = FaultList()
    for part in others:
        came = f"A part {part.name[:80]!r} came beside {WHOLE!r}"
        detail = f"{came}, which holds a whole data set and comes alone. Leave one of them out."
        faults.add(f"/{escape(part.name[:64])}", detail)
    faults.raise_if_any()


def _unknown(name: str) -> str:
    if name == WHOLE:
        return f"The part {WHOLE!r} holds a whole data set and comes alone. Send it, or x and y, but not both."
    expected = "x, y, sample_weight, x.<name>, y.<name>, or file alone, were expected"
    return f"The part {name[:80]!r} came; {expected}. With curl: -F x=@x.npy -F y=@y.npy."
