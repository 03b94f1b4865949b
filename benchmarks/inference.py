"""Inference beside its peers: `python -m benchmarks.inference`, or `make bench-inference`.

kerasd trains the networks first; then every server serves these very files, one server at a time. Rounds are the outer
loop: every round measures every network with every server once, so that a machine that slows down slows all of them.
"""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import SERVING_LIBRARIES, Machine, describe
from benchmarks.serving.bars import judge
from benchmarks.serving.environments import NotInstalled, python_of
from benchmarks.serving.load import MISSING, is_installed
from benchmarks.serving.measuring import measure
from benchmarks.serving.networks import NETWORKS, Network
from benchmarks.serving.origin import Origin, train
from benchmarks.serving.plan import QUICK, Part, Plan
from benchmarks.serving.readings import Readings
from benchmarks.serving.report import report
from benchmarks.serving.running import adopt_orphans
from benchmarks.serving.servers import SERVERS, Server
from benchmarks.training import known, positive


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if anything failed. Bars that are not met are printed, and change no exit code."""
    command = parser()
    given = command.parse_args(arguments)
    if given.redraw:
        return redraw(given.redraw, markdown=given.markdown)
    if not is_installed():
        command.error(MISSING)
    adopt_orphans()
    plan, machine = plan_of(given), describe(SERVING_LIBRARIES, java=False)
    install(given.servers)
    with tempfile.TemporaryDirectory(prefix="bench-inference-") as folder:
        print("kerasd trains what is served", file=sys.stderr)
        origin = train(tuple(given.network), Path(folder))
        readings = measure_all(given.servers, origin, plan)
    if given.json:
        given.json.write_text(json.dumps(to_json(readings, machine, plan), indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(report(readings, machine, plan, markdown=given.markdown))
    return int(any(reason.startswith("failed") for reason in readings.absences.values()))


def install(servers: Sequence[Server]) -> None:
    """Make the environments before anything is measured; what cannot be made is told when its server's turn comes."""
    for server in servers:
        try:
            python_of(server.environment)
        except NotInstalled as error:
            print(f"{server.title}: {error}", file=sys.stderr)


def measure_all(servers: Sequence[Server], origin: Origin, plan: Plan) -> Readings:
    """All rounds; what failed once is not tried again."""
    readings = Readings()
    for number in range(plan.rounds):
        for served in origin.served:
            for server in servers:
                print(f"round {number + 1}/{plan.rounds}: {served.network.title}: {server.title}", file=sys.stderr)
                before = dict(readings.absences)
                measure(server, served, origin, plan, readings)
                for key in readings.absences.keys() - before.keys():
                    print(f"  {key[2]}: {readings.absences[key]}", file=sys.stderr)
    return readings


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
    sizes = ("rounds", "seconds", "warm_seconds", "connections", "cold_versions")
    said = {name: getattr(given, name) for name in sizes if getattr(given, name) is not None}
    return Plan(parts=tuple(given.only), **{**(QUICK if given.quick else {}), **said})


def parser() -> argparse.ArgumentParser:
    command = argparse.ArgumentParser(
        prog="benchmarks.inference", description="Measure predictions by kerasd and its peers over HTTP."
    )
    add = command.add_argument
    add("--quick", action="store_true", help="one small round: shows that all works, not how fast it is")
    add("--only", type=chosen_parts, default=list(Part), help=f"what is measured, of {','.join(Part)}")
    add("--servers", type=chosen_servers, default=list(SERVERS.values()), help=f"servers, of {','.join(SERVERS)}")
    add("--network", type=chosen_networks, default=list(NETWORKS.values()), help=f"networks, of {','.join(NETWORKS)}")
    add("--connections", type=counts, help="connections of the single rows (default: 1,8,32)")
    add("--seconds", type=positive, help="length of a reading")
    add("--warm-seconds", type=positive, help="length of the warm-up before each")
    add("--cold-versions", type=positive, help="versions of which the first prediction is timed, for each round")
    add("--rounds", type=positive, help="how often everything is measured")
    add("--markdown", action="store_true", help="print the tables ready for the README")
    add("--json", type=Path, help="write the raw readings to this file")
    add("--redraw", type=Path, help="measure nothing, print the tables of such a file")
    return command


def chosen_parts(text: str) -> list[Part]:
    return [Part(name) for name in known(text, list(Part))]


def chosen_servers(text: str) -> list[Server]:
    return [SERVERS[name] for name in known(text, list(SERVERS))]


def chosen_networks(text: str) -> list[Network]:
    return [NETWORKS[name] for name in known(text, list(NETWORKS))]


def counts(text: str) -> tuple[int, ...]:
    return tuple(positive(count) for count in text.split(","))


if __name__ == "__main__":
    # Ending by an exception lets the servers be ended and the temporary folders be removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
