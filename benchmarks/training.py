"""Training beside its peers: `python -m benchmarks.training`, or `make bench`.

Rounds are the outer loop: every round measures every case with every contestant once, each in a process of its own, so
that a machine that slows down meanwhile slows all of them.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.bars import judge
from benchmarks.cases import CASES, COURSE, SIZES, Case
from benchmarks.contestants import CONTESTANTS, Contestant, absence
from benchmarks.machine import Machine, describe, usable_cores, use_cores
from benchmarks.plan import QUICK, Plan
from benchmarks.processes import MeasurementFailed, measure
from benchmarks.readings import Readings
from benchmarks.report import report


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if a measurement failed. Bars that are not met are printed, and change no exit code."""
    command = parser()
    given = command.parse_args(arguments)
    if given.redraw:
        return redraw(given.redraw, markdown=given.markdown)
    try:
        use_cores(given.threads)
    except ValueError as error:
        command.error(str(error))
    plan, machine = plan_of(given), describe()
    readings = measure_all(given.only, given.contestants, plan)
    if given.json:
        given.json.write_text(json.dumps(to_json(readings, machine, plan), indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(report(readings, machine, plan, markdown=given.markdown))
    return int(any(reason.startswith("failed") for reason in readings.absences.values()))


def measure_all(cases: Sequence[Case], contestants: Sequence[Contestant], plan: Plan) -> Readings:
    """All rounds; a contestant that failed in a case is not asked again in this case."""
    readings = Readings()
    for number in range(plan.rounds):
        for case in cases:
            for contestant in contestants:
                print(f"round {number + 1}/{plan.rounds}: {case.title}: {contestant.title}", file=sys.stderr)
                measure_one(contestant, case, plan, readings)
    return readings


def measure_one(contestant: Contestant, case: Case, plan: Plan, readings: Readings) -> None:
    """Add what is read, or why nothing is."""
    key = (contestant.name, case.name)
    if key in readings.absences:
        return
    reason = absence(contestant, case)
    if reason is None:
        try:
            readings.add(*key, measure(contestant, case, plan))
        except MeasurementFailed as error:
            reason = f"failed: {error}"
            print(reason, file=sys.stderr)
    if reason is not None:
        readings.absences[key] = reason


def redraw(file: Path, *, markdown: bool) -> int:
    """Print the tables of an earlier run from its raw readings."""
    value = json.loads(file.read_text(encoding="utf-8"))
    machine, plan = Machine(**value["machine"]), Plan.from_json(value["plan"])
    sys.stdout.write(report(Readings.from_json(value), machine, plan, markdown=markdown))
    return 0


def to_json(readings: Readings, machine: Machine, plan: Plan) -> dict[str, Any]:
    verdicts = [{"bar": verdict.bar.text, "ratio": verdict.ratio, "met": verdict.met} for verdict in judge(readings)]
    return {"machine": machine.to_json(), "plan": plan.to_json(), "bars": verdicts, **readings.to_json()}


def plan_of(given: argparse.Namespace) -> Plan:
    """The defaults, what --quick changes in them, and what the command line says itself."""
    sizes = ("rounds", "epochs", "again", "warm_epochs", "warm_fits", "long_seconds", "pairs")
    said = {name: getattr(given, name) for name in sizes if getattr(given, name) is not None}
    return Plan(
        threads=given.threads,
        jit_compile={"auto": None, "true": True, "false": False}[given.jit_compile],
        job_threads=given.job_threads,
        settings=dict(given.set),
        **{**(QUICK if given.quick else {}), **said},
    )


def parser() -> argparse.ArgumentParser:
    command = argparse.ArgumentParser(
        prog="benchmarks.training", description="Time training with kerasd and its peers."
    )
    add = command.add_argument
    add("--quick", action="store_true", help="one small round: shows that all works, not how fast it is")
    add(
        "--only",
        type=chosen_cases,
        default=list(COURSE.values()),
        help=f"cases, of {','.join(CASES)}; `sizes` stands for the last {len(SIZES)}; default: {','.join(COURSE)}",
    )
    add(
        "--contestants",
        type=chosen_contestants,
        default=list(CONTESTANTS.values()),
        help=f"contestants, of {','.join(CONTESTANTS)}",
    )
    add("--threads", type=int, default=usable_cores(), help="cores for everybody (default: all)")
    add("--markdown", action="store_true", help="print the tables ready for the README")
    add("--json", type=Path, help="write the raw readings to this file")
    add("--redraw", type=Path, help="measure nothing, print the tables of such a file")
    add("--rounds", type=positive, help="how often everything is measured")
    add("--epochs", type=positive, help="epochs of a cold run; the bars are meant for 10")
    add("--again", type=positive, help="jobs of a known shape, for each round")
    add("--warm-epochs", type=positive, help="epochs of a peer's warm training")
    add("--warm-fits", type=positive, help="a peer's warm trainings, for each round")
    add("--long-seconds", type=float, help="work in kerasd's long job, at the speed of a graph without XLA")
    add("--pairs", type=positive, help="pairs of a short and a long job, for each round")
    add("--jit-compile", choices=["auto", "true", "false"], default="auto", help="force XLA in kerasd, or forbid it")
    add("--job-threads", type=positive, help="force the threads of kerasd's jobs")
    add("--set", type=setting, action="append", default=[], help="a setting of the service, such as slots=1")
    return command


def chosen_cases(text: str) -> list[Case]:
    return [CASES[name] for name in known(text.replace("sizes", ",".join(SIZES)), list(CASES))]


def chosen_contestants(text: str) -> list[Contestant]:
    return [CONTESTANTS[name] for name in known(text, list(CONTESTANTS))]


def known(text: str, names: Sequence[str]) -> list[str]:
    """The names in a list with commas, each of which must be known."""
    chosen = text.split(",")
    unknown = [name for name in chosen if name not in names]
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is not one of {', '.join(names)}")
    return chosen


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1 was expected")
    return number


def setting(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form name=value")
    return name, value


if __name__ == "__main__":
    sys.exit(main())
