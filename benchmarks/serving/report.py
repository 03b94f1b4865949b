"""The tables of a run of inference, as Markdown for the README or as plain text for a terminal."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.machine import Machine
from benchmarks.report import Row, markdown_table, plain_table
from benchmarks.serving import readings as quantity
from benchmarks.serving.bars import Verdict, judge
from benchmarks.serving.environments import ONNXRUNTIME, REQUIREMENTS
from benchmarks.serving.memory import MIB
from benchmarks.serving.networks import NETWORKS
from benchmarks.serving.plan import Plan
from benchmarks.serving.readings import Readings
from benchmarks.serving.servers import SERVERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One quantity with its heading, and how many of its units make the figure that is shown."""

    heading: str
    quantity: str
    unit: float = 1.0
    digits: int = 0


MS, SECONDS = 1e-3, 1.0

SIZE_COLUMNS = (
    Column(heading="start s", quantity=quantity.START, digits=2),
    Column(heading="PSS MB", quantity=quantity.PSS, unit=MIB),
    Column(heading="RSS MB", quantity=quantity.RSS, unit=MIB),
)
ROW_COLUMNS = (
    Column(heading="JSON of 100", quantity=quantity.rows_rate(100)),
    Column(heading="JSON of 1000", quantity=quantity.rows_rate(1000)),
    Column(heading="flat JSON of 1000", quantity=quantity.rows_rate(1000, quantity.FLAT_JSON)),
    Column(heading="Open Inference bytes of 1000", quantity=quantity.rows_rate(1000, "open inference")),
    Column(heading=".npy of 1000", quantity=quantity.rows_rate(1000, "npy")),
)
#: kerasd's own readings, a row each.
OWN_LINES = (
    Column(heading="start to the first answer of a web worker, s", quantity=quantity.WEB_START, digits=2),
    Column(heading="RSS of a ready web worker, MB", quantity=quantity.WORKER_READY_RSS, unit=MIB),
    Column(heading="RSS of a web worker that has served, MB", quantity=quantity.WORKER_RSS, unit=MIB),
    Column(heading="PSS of the web processes, MB", quantity=quantity.WEB_PSS, unit=MIB),
    Column(heading="RSS of the web processes, MB", quantity=quantity.WEB_RSS, unit=MIB),
    Column(heading="rows/s of the network alone, in 2 processes without a server", quantity=quantity.NETWORK_ROWS),
    Column(heading="first prediction of a cold version, ms", quantity=quantity.COLD_FIRST, unit=MS, digits=2),
    Column(heading="its tenth prediction, ms", quantity=quantity.COLD_TENTH, unit=MS, digits=2),
    Column(heading="p99 at 1 connection, idle, ms", quantity=quantity.IDLE_P99, unit=MS, digits=2),
    Column(heading="p99 at 1 connection while a job trains, ms", quantity=quantity.BUSY_P99, unit=MS, digits=2),
    Column(heading="requests/s at 1 connection, idle", quantity=quantity.IDLE_RATE),
    Column(heading="requests/s at 1 connection while a job trains", quantity=quantity.BUSY_RATE),
)


def report(readings: Readings, machine: Machine, plan: Plan, *, markdown: bool) -> str:
    """Everything that a reader needs to weigh the figures."""
    draw = markdown_table if markdown else plain_table
    sections = [
        f"Measured on {machine.sentence()}\n"
        f"{peers(readings)}"
        f"Medians of {plan.rounds} round(s), and from least to greatest; readings of {plan.seconds:g} s."
    ]
    for network in readings.networks():
        sections += _network_sections(readings, network, plan, draw)
    verdicts = judge(readings)
    sections += ["Bars:", draw(bar_table(verdicts)), "\n".join(remarks(readings))]
    return "\n\n".join(section for section in sections if section) + "\n"


def peers(readings: Readings) -> str:
    """The releases of the peers that were part of the run, as a line; empty where there was none."""
    servers = {server for network in readings.networks() for server in readings.servers(network)}
    releases = [REQUIREMENTS[name][0].replace("==", " ") for name in REQUIREMENTS if name in servers]
    return f"Peers: {', '.join(releases)}; all with {ONNXRUNTIME.replace('==', ' ')}.\n" if releases else ""


def _network_sections(
    readings: Readings, network: str, plan: Plan, draw: Callable[[Sequence[Row]], str]
) -> Iterator[str]:
    title, connections = NETWORKS[network].title, NETWORKS[network].row_connections
    tables = (
        (f"{title}: requests/s of single rows as JSON, by connections:", single_columns("rate", plan)),
        (f"{title}: latency of single rows, p50 and p99 in ms, by connections:", latency_columns(plan)),
        (
            f"{title}: rows/s; 100 rows a body at {connections[100]} connections, 1000 at {connections[1000]}:",
            ROW_COLUMNS,
        ),
        (f"{title}: seconds from start to the first right answer, and memory of all processes:", SIZE_COLUMNS),
    )
    for heading, columns in tables:
        rows = server_table(readings, network, columns)
        if rows:
            yield from (heading, draw(rows))
    own = own_table(readings, network)
    if own:
        yield from (f"{title}: kerasd alone:", draw(own))


def single_columns(name: str, plan: Plan) -> tuple[Column, ...]:
    return tuple(Column(heading=f"{count}", quantity=f"{name}@{count}") for count in plan.connections)


def latency_columns(plan: Plan) -> tuple[Column, ...]:
    return tuple(
        Column(heading=f"{name} at {count}", quantity=f"{name}@{count}", unit=MS, digits=2)
        for count in plan.connections
        for name in ("p50", "p99")
    )


def server_table(readings: Readings, network: str, columns: Sequence[Column]) -> list[Row]:
    """A heading and a row for each server of the run; columns that nobody filled are left out, and so may be all."""
    asked = readings.servers(network)
    filled = [
        column for column in columns if any((name, network, column.quantity) in readings.values for name in asked)
    ]
    if not filled:
        return []
    rows: list[Row] = [["", *(column.heading for column in filled)]]
    for server in SERVERS.values():
        if server.name in asked:
            cells = [cell(readings, server.name, network, column) for column in filled]
            # A floor is not asked for many rows as JSON.
            if any(text != "-" for text in cells):
                rows.append([server.title, *cells])
    return rows


def own_table(readings: Readings, network: str) -> list[Row]:
    lines = [line for line in OWN_LINES if ("kerasd", network, line.quantity) in readings.values]
    rows: list[Row] = [["", "kerasd"], *([line.heading, cell(readings, "kerasd", network, line)] for line in lines)]
    return rows if lines else []


def cell(readings: Readings, server: str, network: str, column: Column) -> str:
    """The median, with the range where there is one; "-" where nothing was read, or why there is nothing at all."""
    median = readings.median(server, network, column.quantity)
    ends = readings.range(server, network, column.quantity)
    if median is None or ends is None:
        reason = readings.absences.get((server, network, "start"), "-")
        return reason.partition(":")[0]

    def write(value: float) -> str:
        return f"{value / column.unit:,.{column.digits}f}"

    return write(median) if ends[0] == ends[1] else f"{write(median)} ({write(ends[0])}..{write(ends[1])})"


def bar_table(verdicts: Sequence[Verdict]) -> list[Row]:
    rows: list[Row] = [["bar", "reached", ""]]
    for verdict in verdicts:
        ratio = "no reading" if verdict.ratio is None else f"{verdict.ratio:.2f}"
        rows.append([verdict.bar.text, ratio, _said(verdict)])
    return rows


def _said(verdict: Verdict) -> str:
    if verdict.met:
        return "met"
    if verdict.limit is None:
        return "NOT met"
    return f"NOT met; the network and, where it was asked, the ASGI constant alone come to {verdict.limit:.2f}"


def remarks(readings: Readings) -> Iterator[str]:
    """What was noted, and what is missing and why."""
    for (server, network), notes in readings.notes.items():
        yield from (f"- {SERVERS[server].title}, {NETWORKS[network].title}: {note}." for note in notes)
    for (server, network, part), reason in readings.absences.items():
        lines = reason.splitlines()
        shown = lines[0] if len(lines) == 1 else f"{lines[0]} ... {lines[-1]}"
        yield f"- {SERVERS[server].title}, {NETWORKS[network].title}, {part}: {shown}."
