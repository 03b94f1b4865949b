"""`/v1/jobs`: requests to train."""

import csv
import io
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, request, url_for

from service.api.operation import Answer, Operation, operation
from service.errors import Conflict, Invalid, MalformedRequest, NotFound, TooLarge, UnsupportedMediaType
from service.registry.job import Job, TimeLimit
from service.registry.jobs import Jobs
from service.registry.page import Page
from service.registry.stores import JobStore
from service.registry.tables import Status
from service.schemas import jobs as schema
from service.training.initial import Initial
from service.training.submission import Checked, Submission, Submissions

EXAMPLE = {
    "model": "xor",
    "architecture": {
        "layers": [
            {"type": "Dense", "units": 8, "activation": "tanh"},
            {"type": "Dense", "units": 1, "activation": "sigmoid"},
        ]
    },
    "compile": {
        "loss": "binary_crossentropy",
        "optimizer": {"type": "Adam", "learning_rate": 0.1},
        "metrics": ["accuracy"],
    },
    "fit": {"epochs": 60, "batch_size": 4},
    "seed": 7,
    "data": {"x": [[0, 0], [0, 1], [1, 0], [1, 1]], "y": [0, 1, 1, 0]},
}


def blueprint(
    jobs: Jobs, store: JobStore, submissions: Submissions, ring: Callable[[], None], now: Callable[[], datetime]
) -> Blueprint:
    """The routes of jobs; `ring` tells the supervisor that there is something to do."""
    routes = Blueprint("jobs", __name__, url_prefix="/v1/jobs")

    @routes.post("")
    @operation(
        Operation(
            summary="Submit a job",
            answer=schema.Job,
            status=202,
            dry_answer=schema.DryRun,
            query=schema.SubmissionQuery,
            body=schema.Submission,
            example=EXAMPLE,
            raises=(MalformedRequest, Invalid, TooLarge, UnsupportedMediaType),
        )
    )
    def submit_job(query: dict[str, Any], body: dict[str, Any]) -> Answer:
        """A 202 is a promise: the job is on disk and will run. With `?dry_run=true` nothing is queued (200)."""
        submission = _submission(body)
        if query["dry_run"]:
            checked = submissions.dry_run(submission)
            return Answer(value=_dry_run(submission, checked), status=200, schema=schema.DryRun)
        job = submissions.submit(submission, now())
        ring()
        return Answer(value=_view(job), headers={"Location": url_for("jobs.get_job", job_id=job.id)})

    @routes.get("")
    @operation(Operation(summary="List jobs", answer=schema.JobPage, query=schema.JobsQuery, raises=(Invalid,)))
    def list_jobs(query: dict[str, Any]) -> dict[str, Any]:
        """Newest first; by status and by model where asked."""
        status = None if query["status"] is None else Status(query["status"])
        page: Page[Job] = jobs.page(status, query["model"], query.get("cursor"), query["limit"])
        return {"items": [_view(job) for job in page.items], "next_cursor": page.next_cursor}

    @routes.get("/<job_id>")
    @operation(Operation(summary="Look at a job", answer=schema.Job, raises=(NotFound,)))
    def get_job(job_id: str) -> dict[str, Any]:
        """Its status, progress, newest metrics, and in the end its version or its failure."""
        return _view(jobs.get(job_id))

    @routes.get("/<job_id>/metrics")
    @operation(
        Operation(
            summary="Every epoch's metrics",
            answer=schema.JobMetrics,
            raises=(NotFound,),
            also_answers=("text/csv",),
        )
    )
    def get_job_metrics(job_id: str) -> Any:
        """JSON, or CSV with `Accept: text/csv`."""
        rows = jobs.epochs(job_id)
        if request.accept_mimetypes.best_match(["application/json", "text/csv"]) == "text/csv":
            return Response(_csv(rows), content_type="text/csv; charset=utf-8")
        return {"job": job_id, "rows": rows}

    @routes.post("/<job_id>/pause")
    @operation(Operation(summary="Pause a job", answer=schema.Job, raises=(NotFound, Conflict)))
    def pause_job(job_id: str) -> dict[str, Any]:
        """A queued job is paused at once, a running one as soon as it has written a checkpoint."""
        job = jobs.pause(job_id)
        ring()
        return _view(job)

    @routes.post("/<job_id>/resume")
    @operation(
        Operation(
            summary="Resume a job",
            answer=schema.Job,
            body=schema.Resumption,
            body_required=False,
            example={"time_limit_seconds": 3600},
            raises=(MalformedRequest, NotFound, Conflict, UnsupportedMediaType, TooLarge, Invalid),
        )
    )
    def resume_job(job_id: str, body: dict[str, Any]) -> dict[str, Any]:
        """A paused job, or a failed one that is retryable, goes on from its checkpoint; a pause asked for is withdrawn.

        A new time limit counts for a job that is queued by this.
        """
        limit = TimeLimit(seconds=body["time_limit_seconds"]) if "time_limit_seconds" in body else None
        job = jobs.resume(job_id, limit)
        ring()
        return _view(job)

    @routes.post("/<job_id>/cancel")
    @operation(
        Operation(
            summary="Cancel a job", answer=schema.Job, query=schema.CancelQuery, raises=(NotFound, Conflict, Invalid)
        )
    )
    def cancel_job(job_id: str, query: dict[str, Any]) -> dict[str, Any]:
        """At once, or with `?keep=best` after a version of the best weights so far was made of what is trained."""
        job = store.cancel(job_id, now(), query["keep"])
        ring()
        return _view(job)

    @routes.delete("/<job_id>")
    @operation(Operation(summary="Delete a job", answer=None, status=204, raises=(NotFound, Conflict)))
    def delete_job(job_id: str) -> None:
        """Only once it has ended; the version that it made stays."""
        store.delete(job_id)

    return routes


def _submission(body: dict[str, Any]) -> Submission:
    initial = body["initial"]
    return Submission(**body | {"initial": None if initial is None else Initial(**initial)})


def _view(job: Job) -> dict[str, Any]:
    """A job as the schema takes it."""
    asked = {"seed": job.request["seed"], "initial": job.request.get("initial")}
    told = {"metrics": job.metrics or {}, "failure": _failure(job)}
    own = schema.Job().fields.keys() - asked.keys() - told.keys()
    return {name: getattr(job, name) for name in own} | asked | told


def _failure(job: Job) -> dict[str, Any] | None:
    """Why it failed, and the checkpoint that it would go on from."""
    return None if job.failure is None else asdict(job.failure) | {"checkpoint": job.checkpoint}


def _dry_run(submission: Submission, checked: Checked) -> dict[str, Any]:
    layers = checked.layers
    return {
        "model": submission.model,
        "layers": layers,
        "parameters": sum(layer["parameters"] for layer in layers),
        "trainable_parameters": sum(layer["trainable_parameters"] for layer in layers),
        "memory_bytes": checked.memory_bytes,
        "architecture": checked.architecture,
        "compile": checked.compilation.to_json(),
        "fit": checked.fitting.to_json(),
        "preparation": None if checked.prepared is None else checked.prepared.preparation.to_json(),
        "submission": checked.body,
        "notes": list(checked.wording.notes),
    }


def _csv(rows: list[dict[str, Any]]) -> str:
    """Rows with one header: `epoch`, then every metric that any epoch has (validation can be less frequent)."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
