"""Rows and files of one noun together: what is written is first whole on disk, and then has its row."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from service.data.arrays import ArrayFacts
from service.data.content_digest import ContentDigest
from service.data.npy_parts import FilePart
from service.data.read_options import ReadOptions
from service.data.readers import format_of, read, read_parts, read_value
from service.data.store import FileStore, content_sha256, first_rows
from service.data.table import ColumnFacts, first_records
from service.errors import StorageFull
from service.registry.datasets import Dataset, Datasets
from service.registry.ids import new_id
from service.registry.job import Job, Keep
from service.registry.jobs import Jobs
from service.registry.models import Models, NewVersion, Version
from service.registry.tables import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A data set that has been read but does not exist yet; its folder goes away unless it is kept.

    `sha256` is that of what it holds, where that is known already. A table has `columns`, and with them what its reader
    knows of it: the other two.
    """

    folder: Path
    format: str
    arrays: tuple[ArrayFacts, ...]
    sha256: str | None = None
    columns: tuple[ColumnFacts, ...] = ()
    rows: int = 0
    profile: dict[str, Any] | None = None


class DatasetStore:
    """Data sets with their files."""

    def __init__(self, files: FileStore, datasets: Datasets) -> None:
        self._files = files
        self._datasets = datasets

    def read(self, file: Path, media_type: str, options: ReadOptions, now: datetime) -> Dataset:
        """Store the arrays of a file; raises what `format_of` and `read` raise, and then nothing is left."""
        form, digest = format_of(media_type, file), ContentDigest()
        with self._folder() as folder:
            arrays = read(file, form, folder, options, digest)
            return self.keep(Draft(folder=folder, format=form, arrays=arrays, sha256=digest.of(arrays)), now)

    def read_parts(self, parts: Iterator[FilePart], options: ReadOptions, now: datetime) -> Dataset:
        """Store the arrays that come in the parts of a form; raises what `read_parts` and `parts` raise."""
        digest = ContentDigest()
        with self._folder() as folder:
            arrays = read_parts(parts, folder, options, digest)
            return self.keep(Draft(folder=folder, format="npy", arrays=arrays, sha256=digest.of(arrays)), now)

    @contextmanager
    def draft(self, value: Any, pointer: str) -> Iterator[Draft]:
        """Read parsed JSON that stood at `pointer`; on leaving, the draft is gone unless it was kept."""
        with self._folder() as folder:
            yield Draft(folder=folder, format="json", arrays=read_value(value, folder, pointer))

    def keep(self, draft: Draft, now: datetime) -> Dataset:
        """Make a draft a data set."""
        dataset = Dataset(
            id=new_id("ds"),
            created_at=now,
            format=draft.format,
            rows=draft.rows if draft.columns else draft.arrays[0].rows,
            size_bytes=sum(path.stat().st_size for path in draft.folder.iterdir()),
            sha256=draft.sha256 or content_sha256(draft.folder, draft.arrays),
            arrays=draft.arrays,
            columns=draft.columns,
        )
        self._share(draft.folder, dataset.sha256)
        self._files.publish(draft.folder, "datasets", dataset.id)
        try:
            self._datasets.add(dataset, draft.profile)
        except StorageFull:
            # There is no row, and so the files are nobody's; other errors leave open whether there is one.
            self._files.remove("datasets", dataset.id)
            raise
        return dataset

    def first_rows(self, dataset_id: str, limit: int) -> dict[str, Any]:
        """The first rows of each part, or the first records of a table, ready for JSON."""
        dataset = self._datasets.get(dataset_id)
        if dataset.is_table:
            return {"records": first_records(self._files.dataset(dataset.id), limit)}
        return first_rows(self._files.dataset(dataset.id), dataset.arrays, limit)

    def delete(self, dataset_id: str) -> None:
        """Delete the row, then the files; raises Conflict while a job needs them."""
        self._datasets.delete(dataset_id)
        self._files.remove("datasets", dataset_id)

    def _share(self, folder: Path, sha256: str) -> None:
        """Keep once what a data set has in common with one that is stored already."""
        twin = self._datasets.twin(sha256)
        if twin is not None:
            self._files.share(folder, self._files.dataset(twin))

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        folder = self._files.new_folder()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


class ModelStore:
    """Models and versions with their files: they come before the rows, and a deletion takes the rows first."""

    def __init__(self, files: FileStore, models: Models) -> None:
        self._files = files
        self._models = models

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """An empty folder in which a version can grow; on leaving, it is gone unless it was added."""
        folder = self._files.new_folder()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def add(self, folder: Path, version: NewVersion, now: datetime) -> Version:
        """Make a folder that is whole the next version of its model."""
        self._files.publish(folder, "versions", version.id)
        return self._models.add(version, now)

    def delete(self, name: str) -> None:
        """Delete a model with all its versions."""
        for version_id in self._models.delete(name):
            self._files.remove("versions", version_id)

    def delete_version(self, name: str, number: int) -> None:
        """Delete one version; its number is never given again."""
        self._files.remove("versions", self._models.delete_version(name, number))


class JobStore:
    """Jobs with their checkpoints, which go as soon as nobody can go on from them."""

    def __init__(self, files: FileStore, jobs: Jobs) -> None:
        self._files = files
        self._jobs = jobs

    def cancel(self, job_id: str, now: datetime, keep: Keep | None = None) -> Job:
        """Cancel a job as `Jobs.cancel` does."""
        job = self._jobs.cancel(job_id, now, keep)
        if job.status is Status.CANCELLED:
            self._files.remove("checkpoints", job_id)
        return job

    def delete(self, job_id: str) -> None:
        """Delete a job that has ended; the version that it made stays."""
        self._jobs.delete(job_id)
        self._files.remove("checkpoints", job_id)
