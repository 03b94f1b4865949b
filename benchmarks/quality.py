"""What kerasd's "auto" is worth beside scikit-learn: `python -m benchmarks.quality`, or `make bench-quality`.

For every set of rows and every seed, three quarters train and one quarter is asked, the same rows for everybody.
kerasd is a real service that is spoken to by HTTP: the training rows are uploaded as a CSV file or a zip of images, a
job names the target and leaves all else to "auto", and the test rows are sent as raw records. How to run it:

    python -m benchmarks.quality                                   everything, about an hour on two cores
    python -m benchmarks.quality --only iris,wine --learners kerasd,boosting,perceptron
    python -m benchmarks.quality --seeds 1 --json scores.json      one split of each set; keep the raw scores
    python -m benchmarks.quality --redraw scores.json --markdown   the table again, nothing measured
"""

import argparse
import contextlib
import json
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import requests
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from benchmarks.accuracy.cases import CASES, Case, Rows
from benchmarks.accuracy.kerasd import service
from benchmarks.accuracy.learners import LEARNERS, Contest, Failed, Learner
from benchmarks.accuracy.report import report
from benchmarks.accuracy.scores import KERASD, Scores, judge, score
from benchmarks.machine import Machine, describe
from benchmarks.serving.environments import NotInstalled
from benchmarks.training import known, positive

LIBRARIES: Final = ("kerasd", "keras", "tensorflow", "numpy", "scikit-learn")
TEST_PART: Final = 0.25
SEEDS: Final = 5
#: What a learner can end with; anything else is a fault of this benchmark.
FAILURES: Final = (
    *(Failed, NotInstalled, RuntimeError, TimeoutError, ValueError),
    *(requests.RequestException, subprocess.TimeoutExpired),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if a learner failed. A bar that is not met is printed, and changes no exit code."""
    given = parser().parse_args(arguments)
    if given.redraw:
        return redraw(given.redraw, markdown=given.markdown)
    # The MLP's defaults say so of most sets, and defaults are what is compared.
    warnings.simplefilter("ignore", ConvergenceWarning)
    machine = describe(LIBRARIES, java=False)
    scores = measure_all(given.only, given.learners, given.seeds, given.trials)
    if given.json:
        given.json.write_text(json.dumps(to_json(scores, machine, given.seeds), indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(report(scores, machine, given.seeds, markdown=given.markdown))
    return int(any(reason.startswith("failed") for reason in scores.absences.values()))


def measure_all(cases: Sequence[Case], learners: Sequence[Learner], seeds: int, trials: int) -> Scores:
    """Every learner on every case with every seed; who failed once on a case is not asked again."""
    scores = Scores()
    with contextlib.ExitStack() as stack:
        needed = any(learner.name == KERASD for learner in learners)
        contest = Contest(client=stack.enter_context(service()) if needed else None, trials=trials)
        for case in cases:
            try:
                rows = case.load()
            except NotInstalled as error:
                scores.absences.update({(case.name, learner.name): f"no rows: {error}" for learner in learners})
                continue
            for seed in range(seeds):
                for learner in learners:
                    print(f"{case.title}, seed {seed}: {learner.title}", file=sys.stderr)
                    measure_one(contest, learner, case, rows, seed, scores)
    return scores


def measure_one(contest: Contest, learner: Learner, case: Case, rows: Rows, seed: int, scores: Scores) -> None:
    """Add a score, or why there is none."""
    if (case.name, learner.name) in scores.absences:
        return
    train, test = split(case, rows, seed)
    try:
        answers = learner.answers(contest, case, rows, train, test, seed)
    except NotInstalled as error:
        scores.absences[case.name, learner.name] = f"not installed: {error}"
    except FAILURES as error:
        scores.absences[case.name, learner.name] = f"failed: {error}"
        print(error, file=sys.stderr)
    else:
        reached = score(case, answers, [rows.labels[place] for place in test])
        print(f"{reached:.4f}", file=sys.stderr)
        scores.add(case.name, learner.name, reached)


def split(case: Case, rows: Rows, seed: int) -> tuple[list[int], list[int]]:
    """Which rows train, and which are asked: every class in both by its share."""
    places = list(range(len(rows.labels)))
    strata = rows.labels if case.classes else None
    train, test = train_test_split(places, test_size=TEST_PART, random_state=seed, stratify=strata)
    return list(train), list(test)


def redraw(file: Path, *, markdown: bool) -> int:
    """Print the table of an earlier run from its raw scores."""
    value = json.loads(file.read_text(encoding="utf-8"))
    scores, machine = Scores.from_json(value), Machine(**value["machine"])
    sys.stdout.write(report(scores, machine, value["seeds"], markdown=markdown))
    return 0


def to_json(scores: Scores, machine: Machine, seeds: int) -> dict[str, Any]:
    verdicts = [
        {"case": one.case, "anchor": one.anchor, "difference": one.difference, "met": one.met} for one in judge(scores)
    ]
    return {"machine": machine.to_json(), "seeds": seeds, "bars": verdicts, **scores.to_json()}


def parser() -> argparse.ArgumentParser:
    command = argparse.ArgumentParser(
        prog="benchmarks.quality", description="Compare the accuracy of kerasd's \"auto\" with scikit-learn's."
    )
    add = command.add_argument
    add("--only", type=chosen_cases, default=list(CASES.values()), help=f"sets, of {','.join(CASES)}")
    add("--learners", type=chosen_learners, default=list(LEARNERS.values()), help=f"of {','.join(LEARNERS)}")
    add("--seeds", type=positive, default=SEEDS, help=f"how many splits of each set (default: {SEEDS})")
    add("--trials", type=positive, default=1, help="networks that AutoKeras may try (default: 1; its own is 100)")
    add("--markdown", action="store_true", help="print the table ready for the README")
    add("--json", type=Path, help="write the raw scores to this file")
    add("--redraw", type=Path, help="measure nothing, print the table of such a file")
    return command


def chosen_cases(text: str) -> list[Case]:
    return [CASES[name] for name in known(text, list(CASES))]


def chosen_learners(text: str) -> list[Learner]:
    return [LEARNERS[name] for name in known(text, list(LEARNERS))]


if __name__ == "__main__":
    sys.exit(main())
