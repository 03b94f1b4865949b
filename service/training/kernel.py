"""What the kernel says of processes and their memory; on systems without /proc it says nothing."""

from pathlib import Path

_CGROUP_EVENTS = Path("/sys/fs/cgroup/memory.events")
_MACHINE_EVENTS = Path("/proc/vmstat")
_PROCESSES = Path("/proc")


def oom_kills(places: tuple[Path, ...] = (_CGROUP_EVENTS, _MACHINE_EVENTS)) -> int:
    """Count the processes that the kernel has killed for want of memory, in this container or else on this machine."""
    for place in places:
        count = _number(place, "oom_kill")
        if count is not None:
            return count
    return 0


def anonymous_bytes(pid: int | None, processes: Path = _PROCESSES) -> int:
    """How much memory of its own a process uses; files that it only maps do not count. 0 where that is not known."""
    kibibytes = None if pid is None else _number(processes / str(pid) / "status", "RssAnon:")
    return 0 if kibibytes is None else kibibytes * 1024


def _number(place: Path, name: str) -> int | None:
    try:
        lines = place.read_text().splitlines()
    except OSError:
        return None
    return next((int(words[1]) for words in map(str.split, lines) if words[:1] == [name]), None)
