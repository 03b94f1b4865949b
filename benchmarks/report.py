"""The tables of a run, as Markdown for the README or as plain text for a terminal."""

from collections.abc import Callable, Iterator, Sequence

from benchmarks.bars import Verdict, judge
from benchmarks.cases import CASES
from benchmarks.contestants import CONTESTANTS
from benchmarks.machine import Machine
from benchmarks.plan import Plan
from benchmarks.readings import Quantity, Readings

Row = Sequence[str]
#: With more cases than this, a case is a row.
MOST_COLUMNS = 6
#: A row's title, whose readings it has, and of what.
Line = tuple[str, str, Quantity]

STEP_LINES: tuple[Line, ...] = (
    ("kerasd, by its own samples per second", "kerasd", Quantity.PROGRESS_STEP),
    *((contestant.title, contestant.name, Quantity.STEP) for contestant in CONTESTANTS.values()),
)
JOB_LINES: tuple[Line, ...] = (
    ("kerasd, a new shape, POST to succeeded", "kerasd", Quantity.COLD),
    ("kerasd, the shape again, POST to succeeded", "kerasd", Quantity.AGAIN),
    ("H2O-3, first job, POST to done", "h2o", Quantity.COLD),
    ("H2O-3, later jobs, POST to done", "h2o", Quantity.AGAIN),
    *(
        (f"{contestant.title}, cold, call to end", contestant.name, Quantity.COLD)
        for contestant in CONTESTANTS.values()
        if contestant.name not in ("kerasd", "h2o")
    ),
)
LOSS_LINES: tuple[Line, ...] = tuple(
    (contestant.title, contestant.name, Quantity.LOSS) for contestant in CONTESTANTS.values()
)


def report(readings: Readings, machine: Machine, plan: Plan, *, markdown: bool) -> str:
    """Everything that a reader needs to weigh the figures."""
    draw = markdown_table if markdown else plain_table
    cases = list(readings.cases())
    sections = [
        f"Measured on {machine.sentence()}\nMedians of {plan.rounds} round(s); batches of 32 rows.",
        "Microseconds per training step, in long warm trainings:",
        draw(table(readings, STEP_LINES, cases, lambda seconds: f"{seconds * 1e6:,.0f}")),
        f"Seconds for the whole of {plan.epochs} epochs, libraries loaded and servers started before:",
        draw(table(readings, JOB_LINES, cases, lambda seconds: f"{seconds:.3f}")),
        f"Training loss in the last of these {plan.epochs} epochs:",
        draw(table(readings, LOSS_LINES, cases, lambda loss: f"{loss:.3f}")),
        "Bars:",
        draw(bar_table(judge(readings))),
        "\n".join(remarks(readings)),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def table(readings: Readings, lines: Sequence[Line], cases: Sequence[str], write: Callable[[float], str]) -> list[Row]:
    """A heading and a row for each line that anybody could have filled."""
    rows: list[Row] = [["", *(CASES[case].title for case in cases)]]
    for title, contestant, quantity in lines:
        cells = [cell(readings, contestant, case, quantity, write) for case in cases]
        if any(text != "-" for text in cells):
            rows.append([title, *cells])
    return rows if len(cases) <= MOST_COLUMNS else list(zip(*rows, strict=True))


def cell(readings: Readings, contestant: str, case: str, quantity: Quantity, write: Callable[[float], str]) -> str:
    """The median, or why there is none; "-" where the contestant does not have this quantity or case."""
    value = readings.median(contestant, case, quantity)
    if value is not None:
        return write(value)
    reason = readings.absences.get((contestant, case), "")
    return reason.partition(":")[0] if reason and reason != "not applicable" else "-"


def bar_table(verdicts: Sequence[Verdict]) -> list[Row]:
    rows: list[Row] = [["bar", "ratio", ""]]
    for verdict in verdicts:
        ratio = "no reading" if verdict.ratio is None else f"{verdict.ratio:.2f}"
        rows.append([verdict.bar.text, ratio, "met" if verdict.met else "NOT met"])
    return rows


def remarks(readings: Readings) -> Iterator[str]:
    """What the contestants said about their readings, what is missing and why, and how far readings lie apart."""
    for (contestant, case), notes in readings.notes.items():
        yield from (f"- {CONTESTANTS[contestant].title}, {CASES[case].title}: {note}." for note in notes)
    for (contestant, case), reason in readings.absences.items():
        if reason != "not applicable":
            lines = reason.splitlines()
            shown = lines[0] if len(lines) == 1 else f"{lines[0]} ... {lines[-1]}"
            yield f"- {CONTESTANTS[contestant].title}, {CASES[case].title}: {shown}."
    widest = readings.widest_spread()
    if widest:
        spread, contestant, case, quantity = widest
        whose = f"{CONTESTANTS[contestant].title}, {CASES[case].title}, {quantity}"
        yield f"- Widest spread of one reading, (maximum - minimum) / median: {spread:.0%} ({whose})."


def markdown_table(rows: Sequence[Row]) -> str:
    rule = ["---", *("---:" for _ in rows[0][1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], rule, *rows[1:]])


def plain_table(rows: Sequence[Row]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )
