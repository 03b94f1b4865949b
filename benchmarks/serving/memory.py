"""The processes of a server, as Linux tells of them in /proc."""

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MIB = 2**20
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes that a number of processes hold: `rss` counts what they share in each of them, `pss` once in all."""

    rss: int
    pss: int


def memory(pids: Iterable[int]) -> Memory:
    """The sums over the processes; one that has just ended counts nothing."""
    totals = {"Rss": 0, "Pss": 0}
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
                name, _, value = line.partition(":")
                if name in totals:
                    totals[name] += int(value.split()[0]) * 1024
    return Memory(rss=totals["Rss"], pss=totals["Pss"])


def descendants(root: int) -> list[int]:
    """All processes below `root`, parents before children; ended ones that nobody has waited for are left out."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            parent, state = _parent_and_state(entry)
            if state not in ("Z", "X", ""):
                children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    waiting = [root]
    while waiting:
        below = children.get(waiting.pop(0), [])
        found += below
        waiting += below
    return found


def command_line(pid: int) -> str:
    """The words of a process's command, with spaces between; empty where it has ended."""
    try:
        return (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def cpu_seconds(pids: Iterable[int]) -> float:
    """Processor time that the processes have used so far."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            ticks += sum(map(int, _fields(_PROC / str(pid))[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def web_workers(root: int) -> list[int]:
    """The workers of the gunicorn that runs below a server's first process, or is it."""
    for pid in (root, *descendants(root)):
        if "gunicorn" in command_line(pid):
            return [child for child in descendants(pid) if _parent_and_state(_PROC / str(child))[0] == pid]
    return []


def web_processes(root: int) -> list[int]:
    """gunicorn and its workers."""
    for pid in (root, *descendants(root)):
        if "gunicorn" in command_line(pid):
            return [pid, *descendants(pid)]
    return []


def _parent_and_state(entry: Path) -> tuple[int, str]:
    try:
        fields = _fields(entry)
    except OSError:
        return 0, ""
    return int(fields[1]), fields[0]


def _fields(entry: Path) -> list[str]:
    """The fields of `stat` behind the name, which may have spaces and brackets in it."""
    return (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
