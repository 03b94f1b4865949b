"""Reads the README as a newcomer does: every block of commands is run, in order, and its output compared or renewed.

`python -m tests.end_to_end.readme http://127.0.0.1:8000` runs the commands against a service and writes their output
into the README.
"""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"
ADDRESS = "http://127.0.0.1:8000"
#: What is pasted, and the output that follows it where there is any.
_BLOCK = re.compile(r"```sh\n(.*?)\n```(?:\n\n```text\n(.*?)\n```)?", re.DOTALL)
#: Printed between blocks, so that one shell can run them all and keep its variables.
_MARK = "----- end of block -----"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block of commands, and what the README says comes back."""

    script: str
    output: str


def blocks(text: str) -> list[Block]:
    """The blocks of commands in a text, in order."""
    return [Block(script=script, output=output) for script, output in _BLOCK.findall(text)]


def run(found: list[Block], address: str, folder: Path) -> list[str]:
    """What each block prints when all are pasted into one shell in `folder`."""
    script = "\n".join(f"{block.script}\necho\necho '{_MARK}'" for block in found)
    script = script.replace(ADDRESS, address).replace(".venv/bin/python", sys.executable)
    script = script.replace(".venv/bin/pip", f"{sys.executable} -m pip --disable-pip-version-check")
    script = script.replace("constraints.txt", str(ROOT / "constraints.txt"))
    script = script.replace("examples/", f"{ROOT / 'examples'}/")
    ended = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=280, check=True)
    return [part.strip("\n") for part in ended.stdout.split(_MARK)[:-1]]


def write(address: str, folder: Path) -> None:
    """Put the real output of every block into the README."""
    text = README.read_text()
    outputs = iter(run(blocks(text), address, folder))

    def fill(match: re.Match[str]) -> str:
        typed, printed = f"```sh\n{match.group(1)}\n```", next(outputs)
        return f"{typed}\n\n```text\n{printed}\n```" if printed else typed

    README.write_text(_BLOCK.sub(fill, text))


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        write(sys.argv[1], Path(scratch))
