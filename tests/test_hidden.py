"""Libraries that are hidden are not found, and all others are."""

import subprocess
import sys

SCRIPT = """
import sys
from service.hidden import hide
hide("rich", "pandas")
for name in ("rich", "pandas", "rich.pretty", "richer", "json"):
    try:
        __import__(name)
        print(name, "found")
    except ModuleNotFoundError as error:
        print(name, error.name, error)
"""


def test_what_is_hidden_is_not_found() -> None:
    """Nor are its parts; who looks for it is told as for any library that is not there."""
    said = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == [
        "rich rich kerasd does not use rich",
        "pandas pandas kerasd does not use pandas",
        "rich.pretty rich kerasd does not use rich",
        "richer richer No module named 'richer'",
        "json found",
    ]
