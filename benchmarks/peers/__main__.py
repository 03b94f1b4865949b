"""Runs in the process of one measurement: `python -m benchmarks.peers CONTESTANT CASE PLAN FILE`.

The plan comes as JSON. The readings go to a file, since libraries print what they like.
"""

import importlib
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.cases import CASES, Case
from benchmarks.contestants import CONTESTANTS
from benchmarks.plan import Plan
from benchmarks.readings import Measurement


def main(contestant_name: str, case_name: str, plan: str, file: str) -> None:
    contestant = CONTESTANTS[contestant_name]
    module = importlib.import_module(f"benchmarks.peers.{contestant.module}")
    measure: Callable[[Case, Plan, str], Measurement] = module.measure
    measurement = measure(CASES[case_name], Plan.from_json(json.loads(plan)), contestant.variant)
    Path(file).write_text(json.dumps(measurement.to_json()), encoding="utf-8")


if __name__ == "__main__":
    # Ending by an exception lets the servers be ended and the temporary folders be removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main(*sys.argv[1:])
