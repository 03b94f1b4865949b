"""What happens between a POST and a queued job: every check, the plan, and only then anything that lasts.

submit -> GivenData.open (find the data set, or read inline data into a draft) -> _check (find the version to start
from, fit a table's features, write out what was left to kerasd) -> keep the draft, queue the job
"""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from service.architecture.compilation import Compilation, check_compile, output_activations
from service.architecture.fitting import Fitting, check_fit
from service.architecture.graph import read_architecture, write_architecture
from service.architecture.network import Plan
from service.architecture.plan import Limits, make_plan, memory_estimate, summary
from service.data.arrays import ArrayFacts
from service.errors import Fault, Invalid
from service.features.written import request_of
from service.registry.job import Execution, Job, NewJob
from service.registry.jobs import Jobs
from service.registry.models import Models, Version
from service.registry.stores import DatasetStore
from service.training.given_data import Given, GivenData
from service.training.initial import Initial, check_initial, find_initial
from service.training.preparations import Asked, Preparations, Prepared, refuse_for_arrays
from service.training.wording import AUTO, Wording, of_table, write_out


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A submission as it came; without an `architecture`, that of the version in `initial` is meant.

    `features`, `target` and `split` are for tables.
    """

    model: str
    architecture: Any
    compile: dict[str, Any] | None
    fit: dict[str, Any]
    seed: int | None
    dataset: str | None
    data: Any
    priority: int = 0
    time_limit_seconds: float | None = None
    threads: int | None = None
    initial: Initial | None = None
    features: Any = None
    target: Any = None
    split: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A submission in which nothing is wrong; `wording` is what a client would have written in full."""

    submission: Submission
    wording: Wording
    prepared: Prepared | None
    seed: int
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
    def body(self) -> dict[str, Any]:
        """The body of a request that submits the same, with nothing left to be chosen."""
        asked, prepared = self.submission, self.prepared
        of_table = {} if prepared is None else {"target": asked.target, **request_of(prepared.preparation)}
        own = ("dataset", "data", "priority", "time_limit_seconds", "threads", "initial")
        given: dict[str, Any] = {name: value for name in own if (value := getattr(asked, name)) is not None}
        if asked.initial is not None:
            given["initial"] = asdict(asked.initial)
        return {
            "model": asked.model,
            **given,
            **of_table,
            "architecture": self.wording.architecture,
            "compile": self.wording.compile,
            "fit": self.wording.fit,
            "seed": self.seed,
        }

    @property
    def architecture(self) -> dict[str, Any]:
        """The canonical form, with every default filled in."""
        return write_architecture(self.plan.network)


class Submissions:
    """Checks submissions and queues them."""

    def __init__(
        self,
        jobs: Jobs,
        models: Models,
        store: DatasetStore,
        given: GivenData,
        preparations: Preparations,
        limits: Limits,
        cores: int,
    ) -> None:
        self._jobs = jobs
        self._models = models
        self._store = store
        self._given = given
        self._preparations = preparations
        self._limits = limits
        self._cores = cores

    def dry_run(self, submission: Submission) -> Checked:
        """Say what would be built; the data may be left out where the architecture has its Input shapes.

        Raises:
            Invalid: with every fault there is.
        """
        faults: list[Fault] = []
        with self._given.open(submission.dataset, submission.data, faults) as given:
            return self._check(submission, given, faults)

    def submit(self, submission: Submission, now: datetime) -> Job:
        """Queue a job; once this returns it is durable.

        Raises:
            Invalid: with every fault there is; nothing is stored then.
        """
        faults: list[Fault] = []
        with self._given.open(submission.dataset, submission.data, faults, needed_to="train on") as given:
            checked = self._check(submission, given, faults)
            dataset = submission.dataset if given.draft is None else self._store.keep(given.draft, now).id
        new = NewJob(
            model=submission.model,
            request=_request(submission, checked),
            dataset=str(dataset),
            validation_dataset=checked.fitting.validation_data,
            priority=submission.priority,
            time_limit_seconds=submission.time_limit_seconds,
            initial_version=None if checked.initial is None else checked.initial.id,
            execution=_forced_execution(checked.compilation, submission.threads),
        )
        return self._jobs.submit(new, now)

    def _check(self, submission: Submission, given: Given, faults: list[Fault]) -> Checked:
        seed = secrets.randbelow(2**31) if submission.seed is None else submission.seed
        # Without usable data, those that came are at fault, and what needs them is not blamed a second time.
        data_failed = bool(faults)
        initial = self._find_initial(submission, faults)
        fit, prepared = self._prepare(submission, given, seed, faults)
        data_failed = data_failed or (given.is_table and prepared is None)
        arrays = given.arrays if prepared is None else prepared.arrays
        x, y, weights = (_part(arrays, part) for part in ("x", "y", "sample_weight"))
        wording = self._write_out(submission, initial, fit, prepared, arrays, data_failed, faults)
        network = None if wording is None else read_architecture(wording.network, "/architecture", faults)
        plan_faults: list[Fault] = []
        plan = None if network is None else make_plan(network, x, plan_faults, self._limits)
        faults.extend(fault for fault in plan_faults if x or not data_failed)
        outputs = {} if plan is None else plan.output_shapes
        activations = {} if network is None else output_activations(network)
        compilation, fitting = None, None
        if wording is not None:
            compilation = check_compile(wording.compile, outputs, y, activations, "/compile", faults)
            rows, held_out = (x[0].rows if x else None), prepared is not None and prepared.preparation.rows[1] > 0
            fitting = check_fit(
                wording.fit,
                rows,
                compilation,
                y,
                "/fit",
                faults,
                sample_weighted=bool(weights),
                held_out=held_out,
            )
        if fitting is not None and fitting.validation_data is not None and not given.is_table:
            self._check_validation_data(fitting.validation_data, arrays, faults)
        if initial is not None and submission.initial is not None and plan is not None:
            check_initial(initial, plan, compilation, submission.initial.optimizer_state, faults)
        faults.extend(self._thread_faults(submission.threads))
        if faults or wording is None or plan is None or compilation is None or fitting is None:
            raise Invalid(_headline(faults), faults)
        memory = memory_estimate(plan, fitting.batch_size, _type(compilation.optimizer))
        if memory > self._limits.max_memory_bytes:
            raise _too_large(memory, self._limits)
        return Checked(
            submission=submission,
            wording=wording,
            prepared=prepared,
            seed=seed,
            plan=plan,
            compilation=compilation,
            fitting=fitting,
            memory_bytes=memory,
            initial=initial,
        )

    def _prepare(
        self, submission: Submission, given: Given, seed: int, faults: list[Fault]
    ) -> tuple[dict[str, Any], Prepared | None]:
        """What is left of `fit`, and the preparation of a table; None where there is no table, or it is at fault."""
        asked = Asked(features=submission.features, target=submission.target, split=submission.split)
        if not given.is_table:
            if given.arrays:
                faults.extend(refuse_for_arrays(asked))
            return submission.fit, None
        before = len(faults)
        asked, fit = of_table(asked, submission.architecture, submission.fit, faults)
        validation = self._validation_table(fit.get("validation_data"), faults)
        if len(faults) > before:
            return fit, None
        return fit, self._preparations.fit(given, asked, seed, validation, faults)

    def _validation_table(self, dataset_id: Any, faults: list[Fault]) -> Path | None:
        if not isinstance(dataset_id, str):
            # What it is instead, the check of `fit` says.
            return None
        pointer = "/fit/validation_data"
        dataset = self._given.find(dataset_id, pointer, faults)
        if dataset is not None and not dataset.is_table:
            detail = f"The data set {dataset_id} is arrays; a table with the columns of the training data was expected."
            faults.append(Fault(pointer=pointer, detail=f"{detail} Upload the validation rows as records."))
        return None if dataset is None else self._given.folder(dataset_id)

    def _write_out(
        self,
        submission: Submission,
        initial: Version | None,
        fit: dict[str, Any],
        prepared: Prepared | None,
        arrays: Sequence[ArrayFacts],
        data_failed: bool,
        faults: list[Fault],
    ) -> Wording | None:
        """The submission in full; None where what it needs is at fault already."""
        architecture = initial.architecture if submission.architecture is None and initial else submission.architecture
        if architecture is None or (data_failed and (architecture == AUTO or (prepared is None and submission.target))):
            return None
        said = Wording(architecture=architecture, compile=submission.compile, fit=fit)
        return write_out(said, prepared, arrays, faults)

    def _find_initial(self, submission: Submission, faults: list[Fault]) -> Version | None:
        return None if submission.initial is None else find_initial(submission.initial, self._models, faults)

    def _thread_faults(self, threads: int | None) -> Iterator[Fault]:
        if threads is not None and threads > self._cores:
            detail = f"{threads} threads came, and this machine has {self._cores} core(s). Ask for at most as many, "
            yield Fault(pointer="/threads", detail=detail + "or leave threads out to let the server choose.")

    def _check_validation_data(self, dataset_id: str, training: Sequence[ArrayFacts], faults: list[Fault]) -> None:
        """A validation set has the same arrays, of the same shape a row, as the training set."""
        pointer = "/fit/validation_data"
        dataset = self._given.find(dataset_id, pointer, faults)
        for array in () if dataset is None else dataset.arrays:
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


def _request(submission: Submission, checked: Checked) -> dict[str, Any]:
    """What a job keeps of its submission: as it came where a person reads it, canonical where the child does."""
    request = {
        "architecture": checked.wording.architecture,
        "network": checked.architecture,
        "input_shapes": {name: list(shape) for name, shape in checked.plan.input_shapes.items()},
        "compilation": checked.compilation.to_json(),
        "fitting": checked.fitting.to_json(),
        "summary": checked.layers,
        "seed": checked.seed,
        "threads": submission.threads,
        "initial": _initial(submission.initial, checked.initial),
    }
    if checked.prepared is not None:
        request["preparation"] = checked.prepared.preparation.to_json()
    return request


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
