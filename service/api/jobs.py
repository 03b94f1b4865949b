"""`/v1/jobs`: requests to train."""

import csv
import io
from collections.abc import Callable
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, request, url_for

from service.api.operation import Answer, Operation, operation
from service.errors import Conflict, Invalid, MalformedRequest, NotFound, TooLarge, UnsupportedMediaType
from service.registry.jobs import Job, Jobs, Status
from service.registry.page import Page
from service.schemas import jobs as schema
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


def blueprint(jobs: Jobs, submissions: Submissions, now: Callable[[], datetime]) -> Blueprint:
    """The routes of jobs."""
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
        submission = Submission(**body)
        if query["dry_run"]:
            checked = submissions.dry_run(submission)
            return Answer(value=_dry_run(submission, checked), status=200, schema=schema.DryRun)
        job = submissions.submit(submission, now())
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

    @routes.post("/<job_id>/cancel")
    @operation(Operation(summary="Cancel a job", answer=schema.Job, raises=(NotFound, Conflict)))
    def cancel_job(job_id: str) -> dict[str, Any]:
        """A queued job is cancelled at once, a running one within about a second."""
        return _view(jobs.cancel(job_id, now()))

    @routes.delete("/<job_id>")
    @operation(Operation(summary="Delete a job", answer=None, status=204, raises=(NotFound, Conflict)))
    def delete_job(job_id: str) -> None:
        """Only once it has ended; the version that it made stays."""
        jobs.delete(job_id)

    return routes


def _view(job: Job) -> dict[str, Any]:
    """A job as the schema takes it."""
    names = schema.Job().fields.keys() - {"seed", "metrics"}
    return {name: getattr(job, name) for name in names} | {"seed": job.request["seed"], "metrics": job.metrics or {}}


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
    }


def _csv(rows: list[dict[str, Any]]) -> str:
    """Rows with one header: `epoch`, then every metric that any epoch has (validation can be less frequent)."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
