"""Scores of learners on cases, one for each seed, and whether kerasd's are near enough to the better anchor's."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from benchmarks.accuracy.cases import CASES, Case

KERASD: Final = "kerasd"
#: The better of these two is the bar.
ANCHORS: Final = ("boosting", "perceptron")
#: How far below the bar is near enough: 2 points.
MARGIN: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How kerasd compares with the better anchor, in parts of 1; `met` is None for quantities, which have no bar."""

    case: str
    anchor: str
    difference: float
    met: bool | None


@dataclass(slots=True)
class Scores:
    """Accuracy, or R2 of a quantity, by case and learner; what is missing has its reason in `absences`."""

    values: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    absences: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, case: str, learner: str, score: float) -> None:
        self.values.setdefault((case, learner), []).append(score)

    def mean(self, case: str, learner: str) -> float | None:
        """Over the seeds; None where there is no score, or not one of every seed."""
        values = self.values.get((case, learner))
        return statistics.fmean(values) if values and (case, learner) not in self.absences else None

    def spread(self, case: str, learner: str) -> float:
        """The standard deviation over the seeds."""
        return statistics.pstdev(self.values[case, learner])

    def cases(self) -> list[str]:
        return list(dict.fromkeys(case for case, _ in [*self.values, *self.absences]))

    def to_json(self) -> dict[str, Any]:
        return {
            "scores": [{"case": case, "learner": name, "values": given} for (case, name), given in self.values.items()],
            "absences": [{"case": case, "learner": name, "reason": why} for (case, name), why in self.absences.items()],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        return cls(
            values={(one["case"], one["learner"]): one["values"] for one in value["scores"]},
            absences={(one["case"], one["learner"]): one["reason"] for one in value["absences"]},
        )


def score(case: Case, answers: Sequence[Any], labels: Sequence[Any]) -> float:
    """The part of the labels that is right, or R2: 1 - the squared errors by those of the mean."""
    if case.classes:
        return statistics.fmean(str(given) == str(due) for given, due in zip(answers, labels, strict=True))
    middle = statistics.fmean(labels)
    wrong = sum((due - given) ** 2 for given, due in zip(answers, labels, strict=True))
    return float(1 - wrong / sum((due - middle) ** 2 for due in labels))


def judge(scores: Scores) -> list[Verdict]:
    """A verdict for each case that kerasd and an anchor have scores of."""
    verdicts = []
    for case in scores.cases():
        own = scores.mean(case, KERASD)
        means = {anchor: mean for anchor in ANCHORS if (mean := scores.mean(case, anchor)) is not None}
        if own is not None and means:
            anchor = max(means, key=lambda name: means[name])
            difference = own - means[anchor]
            met = difference >= -MARGIN if CASES[case].classes else None
            verdicts.append(Verdict(case=case, anchor=anchor, difference=difference, met=met))
    return verdicts
