"""The machine and the libraries that a run was made with, and how many of its cores are used."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

LIBRARIES = ("kerasd", "tensorflow", "keras", "numpy", "torch", "scikit-learn", "h2o")
SERVING_LIBRARIES = (
    *("kerasd", "onnxruntime", "numpy", "orjson", "flask", "gunicorn"),
    *("uvicorn", "uvicorn-worker", "uvloop", "keras", "tensorflow"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What has to be named beside every figure; `java` is empty where it has no part in it."""

    processor: str
    cores: int
    used_cores: int
    system: str
    python: str
    java: str
    libraries: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def sentence(self) -> str:
        versions = ", ".join(f"{name} {version}" for name, version in self.libraries.items())
        cores = f"{self.used_cores} of {self.cores} cores"
        java = f", Java {self.java}" if self.java else ""
        return f"{self.processor}, {cores}, {self.system}, Python {self.python}, {versions}{java}."


def describe(libraries: Sequence[str] = LIBRARIES, *, java: bool = True) -> Machine:
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        used_cores=usable_cores(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        java=_java() if java else "",
        libraries={name: _version(name) for name in libraries},
    )


def usable_cores() -> int:
    """The cores that this process, and all that it starts, may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_cores(count: int) -> None:
    """Hold this process, and all that it starts, to so many cores.

    Raises:
        ValueError: there are not so many, or the system cannot do it.
    """
    if count == usable_cores():
        return
    if not hasattr(os, "sched_setaffinity") or not 0 < count <= usable_cores():
        raise ValueError(f"{count} of {usable_cores()} cores cannot be chosen here.")
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _java() -> str:
    if shutil.which("java") is None:
        return "not installed"
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    return said.partition('"')[2].partition('"')[0] or "of unknown version"
