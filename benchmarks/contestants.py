"""Who is measured: kerasd and its peers, each a module of `benchmarks.peers` that is run in a process of its own."""

import importlib.util
import shutil
from dataclasses import dataclass

from benchmarks.cases import CASES, COURSE, Case

ALL = tuple(CASES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """One column of the comparison.

    `module` has `measure(case, plan, variant)`. `libraries` and `programs` are what it needs besides kerasd's own
    dependencies; `cases` what it can train.
    """

    name: str
    title: str
    module: str
    variant: str = ""
    libraries: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    cases: tuple[str, ...] = ALL


CONTESTANTS = {
    contestant.name: contestant
    for contestant in (
        Contestant(name="kerasd", title="kerasd", module="kerasd", libraries=("requests",)),
        Contestant(name="fit", title="Keras `fit`", module="keras_fit", libraries=("tensorflow",)),
        Contestant(
            name="fit32",
            title="Keras `fit`, steps_per_execution=32",
            module="keras_fit",
            variant="32",
            libraries=("tensorflow",),
        ),
        Contestant(
            name="torch", title="PyTorch, eager", module="torch_loop", libraries=("torch",), cases=tuple(COURSE)
        ),
        Contestant(
            name="torch_compile",
            title="PyTorch, torch.compile",
            module="torch_loop",
            variant="compile",
            libraries=("torch",),
            cases=tuple(COURSE),
        ),
        Contestant(
            name="mlp",
            title="scikit-learn MLPClassifier",
            module="mlp_classifier",
            libraries=("sklearn",),
            cases=("dense", "digits"),
        ),
        Contestant(
            name="h2o",
            title="H2O-3 over REST",
            module="h2o_rest",
            libraries=("h2o", "requests"),
            programs=("java",),
            cases=("dense", "digits"),
        ),
        Contestant(name="numpy", title="NumPy loop", module="numpy_loop", cases=("dense",)),
    )
}


def absence(contestant: Contestant, case: Case) -> str | None:
    """Why there will be no reading, or None: "not applicable", or what is not installed."""
    if case.name not in contestant.cases:
        return "not applicable"
    libraries = [name for name in (*contestant.libraries, *case.needs) if importlib.util.find_spec(name) is None]
    programs = [name for name in contestant.programs if shutil.which(name) is None]
    missing = list(dict.fromkeys([*libraries, *programs]))
    return f"not installed: {', '.join(missing)}" if missing else None
