"""A virtual environment for each peer under `.bench/`, made once and kept while its requirements stay the same."""

import subprocess
import sys
from pathlib import Path

from benchmarks.processes import ROOT

FOLDER = ROOT / ".bench"
ONNXRUNTIME = "onnxruntime==1.32.0"
#: uvicorn takes these by itself where they are installed, and is quicker with them.
FAST_UVICORN = ("uvloop==0.23.0", "httptools==0.9.0")

#: What is installed for each peer; all have one release of ONNX Runtime, which is kerasd's.
REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "fastapi": ("fastapi==0.165.0", "uvicorn==0.54.0", "orjson==3.13.0", *FAST_UVICORN),
    "litserve": ("litserve==0.2.19",),
    # Its workers expect uvloop to make an event loop unasked, which later releases do not.
    "mlserver": ("mlserver==1.7.1", "uvloop==0.21.0"),
    "bentoml": ("bentoml==1.4.40", *FAST_UVICORN),
    "ray": ("ray[serve]==2.60.0",),
    "mlflow": ("mlflow==3.17.2", *FAST_UVICORN),
}

#: What the benchmark of accuracy installs; of aeon only the sets that it ships are used.
LEARNING: dict[str, tuple[str, ...]] = {
    # Its tuner expects TensorBoard, and its heads no later release of Keras.
    "autokeras": (
        *("autokeras==3.0.0", "keras-tuner==1.4.7", "keras==3.12.1"),
        *("tensorflow==2.21.0", "tensorboard==2.21.0"),
    ),
    "aeon": ("--no-deps", "aeon==1.6.0"),
}


class NotInstalled(Exception):
    """A peer's environment could not be made; the message has the end of what pip said."""


def python_of(name: str | None) -> Path:
    """The Python of an environment, made if it is not there yet; None stands for the one that runs this.

    Raises:
        NotInstalled: it could not be made.
    """
    if name is None:
        return Path(sys.executable)
    requirements = requirements_of(name)
    folder = FOLDER / name
    marker = folder / "installed.txt"
    python = folder / "bin" / "python"
    if not marker.exists() or marker.read_text(encoding="utf-8") != requirements:
        print(f"installing {name} into {folder.relative_to(ROOT)}", file=sys.stderr)
        _run([sys.executable, "-m", "venv", "--clear", str(folder)])
        _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements.split()])
        marker.write_text(requirements, encoding="utf-8")
    return python


def requirements_of(name: str) -> str:
    """One requirement a line."""
    wanted = LEARNING[name] if name in LEARNING else (*REQUIREMENTS[name], ONNXRUNTIME)
    return "\n".join(wanted) + "\n"


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotInstalled(f"not installed: {(done.stderr or done.stdout).strip()[-1500:]}")
