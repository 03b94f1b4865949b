"""The web worker's ONNX Runtime sessions: one for each version, loaded once, the least used dropped first.

This is the one home of ONNX Runtime in a web worker. It is imported at the first prediction, so that a worker starts
quickly and no fork ever follows the import.
"""

import itertools
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

#: ONNX Runtime's own scale: 3 lets errors through and leaves warnings out.
_ERRORS_ONLY = 3


class Session:
    """One loaded version; many threads may call `run` at once."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        onnxruntime.set_default_logger_severity(_ERRORS_ONLY)
        self._session = onnxruntime.InferenceSession(
            path, sess_options=_options(onnxruntime), providers=["CPUExecutionProvider"]
        )
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._row_shapes = _row_shapes(self._session)
        self._rows = threading.local()

    def run(self, arrays: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        """Predict a batch: arrays by input name, each (rows, *shape), give arrays by output name."""
        if self._row_shapes is not None:
            (array,) = arrays.values()
            if array.shape == self._row_shapes[0]:
                return {self._outputs[0]: self._own_row(self._row_shapes).run(array)}
        outputs = self._session.run(self._outputs, arrays)
        if len(outputs) == 1:
            return {self._outputs[0]: outputs[0]}
        return dict(zip(self._outputs, outputs, strict=True))

    def _own_row(self, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> "_Row":
        """This thread's own."""
        if not hasattr(self._rows, "own"):
            self._rows.own = _Row(self._session, *shapes)
        row: _Row = self._rows.own
        return row


class _Row:
    """A place for one row and its answer that ONNX Runtime knows: to make and to check new ones costs as much again."""

    def __init__(self, session: Any, shape: tuple[int, ...], answer_shape: tuple[int, ...]) -> None:
        self._run = session.run_with_iobinding
        self._array, self._answer = np.zeros(shape, np.float32), np.zeros(answer_shape, np.float32)
        self._binding = session.io_binding()
        for bind, end, place in (
            (self._binding.bind_input, session.get_inputs()[0], self._array),
            (self._binding.bind_output, session.get_outputs()[0], self._answer),
        ):
            bind(end.name, "cpu", 0, np.float32, place.shape, place.ctypes.data)

    def run(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        self._array[...] = array
        self._run(self._binding)
        return self._answer.copy()


class Sessions:
    """Loaded versions under a byte budget, which counts their files' sizes.

    The version that was just asked for stays even where it alone is above the budget.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._lock = threading.Lock()
        self._slots: dict[str, _Slot] = {}
        self._uses = itertools.count()

    def get(self, version_id: str, path: Path) -> Session:
        """Give the version's session, loaded from `path` by the first caller while later ones wait for it."""
        with self._lock:
            slot = self._slots.setdefault(version_id, _Slot())
            slot.used = next(self._uses)
        with slot.lock:
            if slot.session is None:
                slot.session = self._load(version_id, slot, path)
            return slot.session

    def loaded(self, version_id: str) -> Session | None:
        """Give the version's session if it is there already."""
        slot = self._slots.get(version_id)
        if slot is None:
            return None
        slot.used = next(self._uses)
        return slot.session

    def _load(self, version_id: str, slot: "_Slot", path: Path) -> Session:
        try:
            session = Session(path)
            size = path.stat().st_size
        except BaseException:
            with self._lock:
                self._slots.pop(version_id, None)
            raise
        with self._lock:
            slot.size = size
            self._make_room(version_id)
        return session

    def _make_room(self, newest: str) -> None:
        """Drop the least recently used; a slot of size 0 is still being loaded by another thread."""
        total = sum(slot.size for slot in self._slots.values())
        candidates = [name for name, slot in self._slots.items() if slot.size and name != newest]
        for version_id in sorted(candidates, key=lambda name: self._slots[name].used):
            if total <= self._budget_bytes:
                return
            total -= self._slots.pop(version_id).size


@dataclass(slots=True)
class _Slot:
    lock: threading.Lock = field(default_factory=threading.Lock)
    session: Session | None = None
    size: int = 0
    #: The higher, the more recently.
    used: int = 0


def _row_shapes(session: Any) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """The shapes of one row and of its answer; None where there are several, or other numbers, or sizes that vary."""
    ends = (session.get_inputs(), session.get_outputs())
    if any(len(end) != 1 or end[0].type != "tensor(float)" for end in ends):
        return None
    shapes = [(1, *end[0].shape[1:]) for end in ends]
    fixed = all(isinstance(size, int) for shape in shapes for size in shape)
    return (shapes[0], shapes[1]) if fixed and not isinstance(ends[0][0].shape[0], int) else None


def _options(onnxruntime: Any) -> Any:
    """One thread a call and no spinning, because the web worker's threads are the parallelism.

    Without the arena a session gives its memory back after each call; with it, each keeps its largest batch for ever.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = False
    options.log_severity_level = _ERRORS_ONLY
    return options
