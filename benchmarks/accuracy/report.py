"""The table of a run, as Markdown for the README or as plain text for a terminal."""

from collections.abc import Iterator

from benchmarks.accuracy.cases import CASES
from benchmarks.accuracy.learners import LEARNERS
from benchmarks.accuracy.scores import MARGIN, Scores, judge
from benchmarks.machine import Machine
from benchmarks.report import Row, markdown_table, plain_table


def report(scores: Scores, machine: Machine, seeds: int, *, markdown: bool) -> str:
    """Everything that a reader needs to weigh the figures."""
    draw = markdown_table if markdown else plain_table
    sections = [
        f"Measured with {machine.sentence()}",
        "Right answers in percent (R2 times 100 for a quantity) on a quarter of the rows that nobody had seen: mean\n"
        f"and standard deviation of {seeds} seed(s), everybody with the same rows. The bar is the better of\n"
        f"scikit-learn's two less {MARGIN * 100:g} points.",
        draw(table(scores)),
        "\n".join(remarks(scores)),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def table(scores: Scores) -> list[Row]:
    """A row for each case: everybody's scores, and the difference to the better anchor."""
    present = [name for name in LEARNERS if any(learner == name for _, learner in [*scores.values, *scores.absences])]
    verdicts = {verdict.case: verdict for verdict in judge(scores)}
    rows: list[Row] = [["", *(LEARNERS[name].title for name in present), "difference", ""]]
    for case in scores.cases():
        verdict = verdicts.get(case)
        said = {True: "met", False: "NOT met", None: "no bar"}[verdict.met] if verdict else "no reading"
        difference = f"{verdict.difference * 100:+.1f}" if verdict else "-"
        rows.append([CASES[case].title, *(cell(scores, case, name) for name in present), difference, said])
    return rows


def cell(scores: Scores, case: str, learner: str) -> str:
    """Mean and standard deviation, or why there is none."""
    mean = scores.mean(case, learner)
    if mean is not None:
        return f"{mean * 100:.1f} ± {scores.spread(case, learner) * 100:.1f}"
    return scores.absences.get((case, learner), "-").partition(":")[0]


def remarks(scores: Scores) -> Iterator[str]:
    """What is missing, and why."""
    for (case, learner), reason in scores.absences.items():
        lines = reason.splitlines()
        shown = lines[0] if len(lines) == 1 else f"{lines[0]} ... {lines[-1]}"
        yield f"- {LEARNERS[learner].title}, {CASES[case].title}: {shown}."
