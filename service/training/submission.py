"""What happens between a POST and a queued job: every check, the plan, and only then anything that lasts.

submit -> GivenData.open (find the data set, or read inline data into a draft) -> _check (and the version to start from)
-> keep the draft, queue the job
"""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.architecture.compilation import Compilation, check_compile, output_activations
from service.architecture.fitting import Fitting, check_fit
from service.architecture.graph import read_architecture, write_architecture
from service.architecture.network import Plan
from service.architecture.plan import Limits, make_plan, memory_estimate, summary
from service.data.arrays import ArrayFacts
from service.errors import Fault, Invalid
from service.registry.datasets import Datasets
from service.registry.job import Execution, Job, NewJob
from service.registry.jobs import Jobs
from service.registry.models import Models, Version
from service.registry.stores import DatasetStore
from service.training.given_data import GivenData
from service.training.initial import Initial, check_initial, find_initial


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A submission as it came; without an `architecture`, that of the version in `initial` is meant."""

    model: str
    architecture: Any
    compile: dict[str, Any]
    fit: dict[str, Any]
    seed: int | None
    dataset: str | None
    data: Any
    priority: int = 0
    time_limit_seconds: float | None = None
    threads: int | None = None
    initial: Initial | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A submission in which nothing is wrong; `given` is the architecture as a client wrote it."""

    given: Any
    plan: Plan
    compilation: Compilation
    fitting: Fitting
    memory_bytes: int
    initial: Version | None

    @property
    def layers(self) -> list[dict[str, Any]]:
        """Layer by layer what will be built, ready for JSON."""
        return summary(self.plan)

    @property
    def architecture(self) -> dict[str, Any]:
        """The canonical form, with every default filled in."""
        return write_architecture(self.plan.network)


class Submissions:
    """Checks submissions and queues them."""

    def __init__(
        self, jobs: Jobs, datasets: Datasets, models: Models, store: DatasetStore, limits: Limits, cores: int
    ) -> None:
        self._jobs = jobs
        self._given = GivenData(datasets, store)
        self._models = models
        self._store = store
        self._limits = limits
        self._cores = cores

    def dry_run(self, submission: Submission) -> Checked:
        """Say what would be built; the data may be left out where the architecture has its Input shapes.

        Raises:
            Invalid: with every fault there is.
        """
        faults: list[Fault] = []
        with self._given.open(submission.dataset, submission.data, faults) as (arrays, _):
            return self._check(submission, arrays, faults)

    def submit(self, submission: Submission, now: datetime) -> Job:
        """Queue a job; once this returns it is durable.

        Raises:
            Invalid: with every fault there is; nothing is stored then.
        """
        faults: list[Fault] = []
        with self._given.open(submission.dataset, submission.data, faults, needed_to="train on") as (arrays, draft):
            checked = self._check(submission, arrays, faults)
            dataset = submission.dataset if draft is None else self._store.keep(draft, now).id
        seed = secrets.randbelow(2**31) if submission.seed is None else submission.seed
        request = _request(submission, checked, seed)
        new = NewJob(
            model=submission.model,
            request=request,
            dataset=str(dataset),
            validation_dataset=checked.fitting.validation_data,
            priority=submission.priority,
            time_limit_seconds=submission.time_limit_seconds,
            initial_version=None if checked.initial is None else checked.initial.id,
            execution=_forced_execution(checked.compilation, submission.threads),
        )
        return self._jobs.submit(new, now)

    def _check(self, submission: Submission, arrays: Sequence[ArrayFacts], faults: list[Fault]) -> Checked:
        x, y, weights = (_part(arrays, part) for part in ("x", "y", "sample_weight"))
        # Without usable data, those that came are at fault, and what needs them is not blamed a second time.
        data_failed = bool(faults)
        initial = self._find_initial(submission, faults)
        given = initial.architecture if submission.architecture is None and initial else submission.architecture
        # Where the version to take the architecture from is not there, that alone is the fault.
        missing = given is None and submission.initial is not None
        network = None if missing else read_architecture(given, "/architecture", faults)
        plan_faults: list[Fault] = []
        plan = None if network is None else make_plan(network, x, plan_faults, self._limits)
        faults.extend(fault for fault in plan_faults if x or not data_failed)
        outputs = {} if plan is None else plan.output_shapes
        activations = {} if network is None else output_activations(network)
        compilation = check_compile(submission.compile, outputs, y, activations, "/compile", faults)
        rows = x[0].rows if x else None
        fitting = check_fit(submission.fit, rows, compilation, y, "/fit", faults, sample_weighted=bool(weights))
        if fitting is not None and fitting.validation_data is not None:
            self._check_validation_data(fitting.validation_data, arrays, faults)
        if initial is not None and submission.initial is not None and plan is not None:
            check_initial(initial, plan, compilation, submission.initial.optimizer_state, faults)
        faults.extend(self._thread_faults(submission.threads))
        if faults or plan is None or compilation is None or fitting is None:
            raise Invalid(_headline(faults), faults)
        memory = memory_estimate(plan, fitting.batch_size, _type(compilation.optimizer))
        if memory > self._limits.max_memory_bytes:
            raise _too_large(memory, self._limits)
        return Checked(
            given=given, plan=plan, compilation=compilation, fitting=fitting, memory_bytes=memory, initial=initial
        )

    def _find_initial(self, submission: Submission, faults: list[Fault]) -> Version | None:
        return None if submission.initial is None else find_initial(submission.initial, self._models, faults)

    def _thread_faults(self, threads: int | None) -> Iterator[Fault]:
        if threads is not None and threads > self._cores:
            detail = f"{threads} threads came, and this machine has {self._cores} core(s). Ask for at most as many, "
            yield Fault(pointer="/threads", detail=detail + "or leave threads out to let the server choose.")

    def _check_validation_data(self, dataset_id: str, training: Sequence[ArrayFacts], faults: list[Fault]) -> None:
        """A validation set has the same arrays, of the same shape a row, as the training set."""
        pointer = "/fit/validation_data"
        for array in self._given.find(dataset_id, pointer, faults):
            twin = next((own for own in training if (own.part, own.name) == (array.part, array.name)), None)
            if array.part != "sample_weight" and twin is not None and twin.sample_shape != array.sample_shape:
                faults.append(
                    Fault(
                        pointer=pointer,
                        detail=f"Rows of its {array.part} have the shape {list(array.sample_shape)}, those of the "
                        f"training data {list(twin.sample_shape)}. Upload validation data of the same shape.",
                    )
                )


def _part(arrays: Sequence[ArrayFacts], part: str) -> tuple[ArrayFacts, ...]:
    return tuple(array for array in arrays if array.part == part)


def _type(entry: Any) -> str:
    return str(entry["type"] if isinstance(entry, dict) else entry)


def _headline(faults: Sequence[Fault]) -> str:
    if len(faults) == 1:
        return f"One thing is wrong with the submission: {faults[0].detail}"
    return f"{len(faults)} things are wrong with the submission: see errors for where each is and how to mend it."


def _too_large(memory: int, limits: Limits) -> Invalid:
    detail = (
        f"The training would need about {memory / 2**20:.0f} MiB of memory, and this server allows "
        f"{limits.max_memory_bytes / 2**20:.0f} MiB. Take a smaller batch_size or a smaller network."
    )
    return Invalid(detail, [Fault(pointer="/fit/batch_size", detail=detail)])


def _request(submission: Submission, checked: Checked, seed: int) -> dict[str, Any]:
    """What a job keeps of its submission: as it came where a person reads it, canonical where the child does."""
    return {
        "architecture": checked.given,
        "network": checked.architecture,
        "input_shapes": {name: list(shape) for name, shape in checked.plan.input_shapes.items()},
        "compilation": checked.compilation.to_json(),
        "fitting": checked.fitting.to_json(),
        "summary": checked.layers,
        "seed": seed,
        "threads": submission.threads,
        "initial": _initial(submission.initial, checked.initial),
    }


def _initial(asked: Initial | None, found: Version | None) -> dict[str, Any] | None:
    """The version to start from, by the number that "the newest" was when the job was submitted."""
    if asked is None or found is None:
        return None
    return {"model": found.model, "version": found.number, "optimizer_state": asked.optimizer_state}


def _forced_execution(compilation: Compilation, threads: int | None) -> Execution | None:
    """How the steps are run, where the client leaves nothing to choose."""
    if threads is None or compilation.jit_compile == "auto":
        return None
    return Execution(jit_compile=compilation.jit_compile, threads=threads, chosen_by="request")
