"""NumPy's own files as bodies and answers: .npy for a single array, .npz for arrays by name; nothing is unpickled."""

import io
import zipfile
from typing import Any

import numpy as np

from service.data.fault_list import escape
from service.data.npy_header import ArrayHeader, read_header
from service.data.npz_archive import check_total, exactly, member_header, opened, unreadable
from service.errors import Fault, Invalid, MalformedRequest
from service.inference.fitting import fit, in_array, names_of, refusal, same_rows, says
from service.inference.signature import Signature, TensorSpec

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]


def read_npy(content: bytes, signature: Signature) -> Arrays:
    """Turn a .npy file into the only input's array, (rows, *shape).

    Raises MalformedRequest where it is no such file, Invalid where it does not fit.
    """
    if len(signature.inputs) != 1:
        detail = (
            f"A .npy file holds one array, and the network has the inputs {names_of(signature)}: send an .npz file."
        )
        raise refusal([Fault(pointer="", detail=detail)])
    (spec,) = signature.inputs
    try:
        header = read_header(io.BytesIO(content))
    except ValueError as error:
        detail = f"The body is no .npy array ({str(error)[:120]}). Write it with numpy.save."
        raise MalformedRequest(detail, [Fault(pointer="", detail=detail)]) from error
    _check(header, len(content) - header.size, spec, "")
    return {spec.name: fit(_array(content, header.size, header), spec, "", in_array())}


def read_npz(content: bytes, signature: Signature, limit_bytes: int) -> Arrays:
    """Turn an .npz file with a member for each input into arrays by name.

    Raises MalformedRequest where it is damaged, TooLarge where it would unpack to more than the limit, and Invalid with
    all that does not fit.
    """
    with opened(io.BytesIO(content)) as archive:
        check_total(archive, limit_bytes)
        faults = list(_name_faults(archive, signature))
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        arrays: Arrays = {}
        for spec in signature.inputs:
            if spec.name in members:
                try:
                    arrays[spec.name] = _member(archive, members[spec.name], spec)
                except Invalid as error:
                    faults.extend(error.faults)
    if faults:
        raise refusal(faults)
    return same_rows(arrays)


def write_npy(outputs: Arrays, signature: Signature) -> bytes:
    """The only output as a .npy file, (rows, *shape)."""
    (spec,) = signature.outputs
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(outputs[spec.name]), allow_pickle=False)
    return file.getvalue()


def write_npz(outputs: Arrays, signature: Signature) -> bytes:
    """The outputs by name as an .npz file, not packed."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for spec in signature.outputs:
            member = io.BytesIO()
            np.save(member, np.ascontiguousarray(outputs[spec.name]), allow_pickle=False)
            # Without a time of its own, the same prediction is the same bytes.
            archive.writestr(zipfile.ZipInfo(f"{spec.name}.npy"), member.getvalue())
    return file.getvalue()


def _name_faults(archive: zipfile.ZipFile, signature: Signature) -> list[Fault]:
    came = [info.filename for info in archive.infolist()]
    due = [f"{spec.name}.npy" for spec in signature.inputs]
    use = f"Use numpy.savez(file, {', '.join(f'{spec.name}=...' for spec in signature.inputs)})."
    faults = [
        Fault(pointer=f"/{escape(spec.name)}", detail=f"The input {spec.name!r} is missing. {says(spec)} {use}")
        for spec in signature.inputs
        if f"{spec.name}.npy" not in came
    ]
    for name in dict.fromkeys(came):
        if name not in due:
            detail = f"The member {name[:80]!r} came; the inputs are {names_of(signature)}. {use}"
            faults.append(Fault(pointer=f"/{escape(name[:64])}", detail=detail))
        elif came.count(name) > 1:
            faults.append(Fault(pointer=f"/{escape(name[:64])}", detail=f"{name!r} came twice; send it once."))
    return faults


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, spec: TensorSpec) -> Array:
    pointer = f"/{escape(spec.name)}"
    if (wrong := unreadable(info)) is not None:
        raise refusal([Fault(pointer=pointer, detail=wrong)])
    try:
        header = member_header(archive, info)
    except ValueError as error:
        raise refusal([Fault(pointer=pointer, detail=str(error))]) from error
    _check(header, info.file_size - header.size, spec, pointer)
    with archive.open(info) as stream:
        content = exactly(stream, header.size + header.data_bytes)
        # Reading on to the end lets the zip reader compare the checksum.
        stream.read(1)
    return fit(_array(content, header.size, header), spec, pointer, in_array(pointer))


def _check(header: ArrayHeader, brought: int, spec: TensorSpec, pointer: str) -> None:
    """Refuse what would take memory, or a pickle, to find out that it does not fit."""
    if header.dtype.kind not in "biuf" or header.dtype.subdtype or header.dtype.itemsize > 8:
        detail = f"An array of dtype {str(header.dtype)[:60]} came; numbers of at most 64 bits were expected."
        raise refusal([Fault(pointer=pointer, detail=f"{detail} {says(spec)}")])
    came = f"The header promises an array of shape {str(list(header.shape))[:80]}"
    if header.data_bytes != brought or min(header.shape, default=0) < 0:
        due = header.data_bytes if header.data_bytes.bit_length() < 64 else "more"
        detail = f"{came}, {due} bytes, and {brought} bytes of values came. Write the file anew with NumPy."
        raise refusal([Fault(pointer=pointer, detail=detail)])
    if not brought:
        detail = f"{came}, which has no values; at least one row was expected. {says(spec)}"
        raise refusal([Fault(pointer=pointer, detail=detail)])


def _array(content: bytes, start: int, header: ArrayHeader) -> Array:
    values = np.frombuffer(content, header.dtype, offset=start)
    return values.reshape(header.shape, order="F" if header.fortran else "C")
