"""Data sets: what goes in comes out, and what is in use stays."""

from collections.abc import Callable

import pytest

from service.errors import Conflict, Invalid, NotFound
from service.registry.datasets import Dataset, Datasets
from service.registry.job import Job
from service.registry.jobs import Jobs
from tests.registry.conftest import NOON, a_dataset


def test_a_data_set_comes_back_as_it_was_stored(datasets: Datasets, dataset: Dataset) -> None:
    """All facts survive, the arrays' shapes and columns and the time's zone too."""
    assert datasets.get(dataset.id) == dataset


def test_pages_go_from_the_newest_to_the_oldest(datasets: Datasets) -> None:
    """Following the cursors shows each data set once."""
    stored = [a_dataset() for _ in range(5)]
    for each in stored:
        datasets.add(each)
    first = datasets.page(None, 2)
    second = datasets.page(first.next_cursor, 2)
    third = datasets.page(second.next_cursor, 2)
    assert [*first.items, *second.items, *third.items] == stored[::-1]
    assert third.next_cursor is None


def test_a_made_up_cursor_is_invalid(datasets: Datasets) -> None:
    """The client is told where cursors come from."""
    with pytest.raises(Invalid, match="next_cursor"):
        datasets.page("%", 2)


def test_what_is_not_there_is_not_found(datasets: Datasets) -> None:
    """Reading and deleting an unknown data set says how to find the known ones."""
    for action in (datasets.get, datasets.delete):
        with pytest.raises(NotFound, match="list the data sets"):
            action("ds_none")


def test_an_unused_data_set_can_be_deleted(datasets: Datasets, dataset: Dataset) -> None:
    """After that it is not found."""
    datasets.delete(dataset.id)
    with pytest.raises(NotFound):
        datasets.get(dataset.id)


def test_a_data_set_in_use_stays(jobs: Jobs, datasets: Datasets, dataset: Dataset, submit: Callable[..., Job]) -> None:
    """While jobs are queued or paused, deletion is refused with all their names; when they have ended it is not."""
    first, second = submit(), submit()
    jobs.pause(second.id)
    with pytest.raises(Conflict, match=f"{first.id}, {second.id}"):
        datasets.delete(dataset.id)
    for job in (first, second):
        jobs.cancel(job.id, NOON)
    datasets.delete(dataset.id)
    assert jobs.get(first.id).dataset == dataset.id


def test_validation_data_are_in_use_too(datasets: Datasets, submit: Callable[..., Job]) -> None:
    """A job's validation data set is kept like its training data set."""
    validation = a_dataset()
    datasets.add(validation)
    job = submit(validation_dataset=validation.id)
    with pytest.raises(Conflict, match=job.id):
        datasets.delete(validation.id)


def test_all_ids_are_named(datasets: Datasets, dataset: Dataset) -> None:
    """So that folders without a row can be found."""
    assert datasets.ids() == {dataset.id}


def test_the_oldest_data_set_of_a_content_is_its_twin(datasets: Datasets) -> None:
    """None where no content is the same."""
    assert datasets.twin("a" * 64) is None
    stored = [a_dataset(), a_dataset()]
    for dataset in stored:
        datasets.add(dataset)
    assert datasets.twin("a" * 64) == min(dataset.id for dataset in stored)
    assert datasets.twin("b" * 64) is None
