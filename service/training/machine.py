"""What kind of machine this is, as far as the bits of a training depend on it."""

import platform
from pathlib import Path

_CPU_FACTS = Path("/proc/cpuinfo")
#: The vector instructions by which TensorFlow's and XLA's kernels differ, the widest last.
_VECTORS = ("sse4_2", "avx", "avx2", "avx512f", "avx512_vnni", "amx_tile")


def describe_machine(cpu_facts: Path = _CPU_FACTS) -> str:
    """Describe the processor: architecture, model, and the vector instructions that it has."""
    try:
        lines = cpu_facts.read_text().splitlines()
    except OSError:
        return platform.machine()
    facts = dict(reversed([_fact(line) for line in lines if ":" in line]))
    flags = facts.get("flags", facts.get("Features", "")).split()
    known = [vector for vector in _VECTORS if vector in flags]
    parts = [platform.machine(), facts.get("model name", ""), " ".join(known)]
    return ", ".join(part for part in parts if part)


def _fact(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()
