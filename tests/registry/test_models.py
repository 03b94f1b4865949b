"""Models and versions: numbers only rise, and what is deleted is gone."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta

import pytest

from service.errors import Conflict, Invalid, NotFound
from service.registry.aliases import ANY, Aliases, Seen
from service.registry.claims import Claims
from service.registry.database import Database
from service.registry.job import Job
from service.registry.models import Model, Models
from tests.registry.conftest import NOON, a_version, an_import

#: What a client says who makes an alias, and one who moves or deletes it wherever it points.
NEW, SEEN = Seen(), Seen(revisions=ANY)


def test_a_version_comes_back_as_it_was_published(claims: Claims, models: Models, claim: Callable[..., Job]) -> None:
    """All facts survive, and the number and the time are added."""
    job = claim()
    new = a_version(job)
    published = claims.succeed(job.id, job.attempt, new, NOON)
    assert published == models.version("xor", 1) == models.latest("xor")
    assert published is not None
    assert asdict(published) == asdict(new) | {"number": 1, "created_at": NOON}


def test_a_model_says_how_many_versions_it_has(models: Models, train: Callable[..., int]) -> None:
    """A model is as old as its first version, and knows its latest."""
    train("xor", NOON)
    train("xor", NOON + timedelta(hours=1))
    assert models.get("xor") == Model(name="xor", created_at=NOON, versions=2, latest=2)


def test_numbers_are_counted_for_each_model(train: Callable[..., int]) -> None:
    """Another model begins with 1."""
    assert [train("xor"), train("xor"), train("and")] == [1, 2, 1]


def test_a_deleted_versions_number_is_not_given_again(models: Models, train: Callable[..., int]) -> None:
    """A client that names a number never gets another training's answer."""
    train("xor")
    train("xor")
    deleted = models.version("xor", 2)
    assert models.delete_version("xor", 2) == deleted.id
    assert models.latest("xor").number == 1
    assert train("xor") == 3


def test_a_deleted_models_name_is_free_and_its_numbers_go_on(models: Models, train: Callable[..., int]) -> None:
    """The name's new model is as old as its own first version."""
    train("xor")
    train("xor")
    train("and")
    ids = [models.version("xor", number).id for number in (1, 2)]
    assert models.delete("xor") == ids
    with pytest.raises(NotFound):
        models.get("xor")
    later = NOON + timedelta(days=1)
    assert train("xor", later) == 3
    assert models.get("xor") == Model(name="xor", created_at=later, versions=1, latest=3)
    assert [model.name for model in models.page(None, 9).items] == ["xor", "and"]


def test_a_model_without_versions_is_not_shown(models: Models, train: Callable[..., int]) -> None:
    """Deleting the last version is deleting the model."""
    train("xor")
    models.delete_version("xor", 1)
    assert models.page(None, 9).items == ()
    for action in (models.get, models.latest, models.delete, lambda name: models.versions(name, None, 9)):
        with pytest.raises(NotFound, match="list the models"):
            action("xor")


def test_a_model_that_jobs_are_for_stays(
    claims: Claims, models: Models, train: Callable[..., int], submit: Callable[..., Job]
) -> None:
    """A job could otherwise bring back what a client has deleted."""
    train("xor")
    first, second = submit("xor"), submit("xor")
    claims.claim("here:sup_1", NOON, NOON)
    with pytest.raises(Conflict, match=f"{first.id}, {second.id}"):
        models.delete("xor")
    assert models.get("xor").versions == 1


def test_a_version_that_a_job_starts_from_stays(
    claims: Claims, models: Models, train: Callable[..., int], claim: Callable[..., Job]
) -> None:
    """Neither it nor its model can be deleted before the job has ended; other versions can."""
    train("xor")
    train("xor")
    job = claim("tuned", initial_version=models.version("xor", 1).id)
    with pytest.raises(Conflict, match=f"{job.id} starts from these weights"):
        models.delete_version("xor", 1)
    with pytest.raises(Conflict, match="starts from these weights"):
        models.delete("xor")
    models.delete_version("xor", 2)
    claims.confirm_cancelled(job.id, 1, NOON)
    models.delete_version("xor", 1)


def test_pages_of_models_go_from_the_newest_to_the_oldest(models: Models, train: Callable[..., int]) -> None:
    """Following the cursors shows each model once."""
    for name in ("a", "b", "c"):
        train(name)
    first = models.page(None, 2)
    second = models.page(first.next_cursor, 2)
    assert [model.name for model in (*first.items, *second.items)] == ["c", "b", "a"]
    assert second.next_cursor is None


def test_pages_of_versions_go_from_the_newest_to_the_oldest(models: Models, train: Callable[..., int]) -> None:
    """Following the cursors shows each version once, in the order of their numbers past nine as well."""
    for _ in range(11):
        train("xor")
    train("and")
    first = models.versions("xor", None, 2)
    second = models.versions("xor", first.next_cursor, 99)
    assert [version.number for version in (*first.items, *second.items)] == list(range(11, 0, -1))
    assert second.next_cursor is None


def test_another_lists_cursor_is_invalid(models: Models, train: Callable[..., int]) -> None:
    """A cursor of the models does not lead through the versions."""
    train("a")
    train("b")
    with pytest.raises(Invalid, match="not one of this list"):
        models.versions("a", models.page(None, 1).next_cursor, 9)


def test_a_version_that_is_not_there_is_not_found(models: Models, train: Callable[..., int]) -> None:
    """Reading and deleting an unknown version says how to find the known ones."""
    train("xor")
    for action in (models.version, models.delete_version):
        with pytest.raises(NotFound, match="list the model's versions"):
            action("xor", 2)


@pytest.mark.parametrize("number", [2**31, 2**63, 10**40])
def test_a_number_that_no_column_holds_names_no_version(models: Models, train: Callable[..., int], number: int) -> None:
    """It is not found, as any other number that was never given."""
    train("xor")
    with pytest.raises(NotFound):
        models.version("xor", number)
    with pytest.raises(NotFound):
        models.delete_version("xor", number)


def test_an_import_gets_the_next_number(models: Models, train: Callable[..., int]) -> None:
    """What no job has made stands among the others, and comes back as it was added."""
    train("xor")
    new = an_import()
    added = models.add(new, NOON)
    assert added == models.latest("xor")
    assert asdict(added) == asdict(new) | {"number": 2, "created_at": NOON}
    assert train("xor") == 3


def test_the_newest_is_another_one_once_there_is_more_to_serve(
    database: Database, models: Models, train: Callable[..., int]
) -> None:
    """A version, or an alias that points elsewhere; other changes of the database leave it."""
    aliases = Aliases(database)
    seen = [models.newest()]
    assert seen == [(None, None)]
    train("xor")
    seen.append(models.newest())
    train("and")
    seen.append(models.newest())
    aliases.put("xor", "live", 1, NEW, NOON)
    seen.append(models.newest())
    train("xor")
    seen.append(models.newest())
    aliases.put("xor", "live", 2, SEEN, NOON)
    seen.append(models.newest())
    assert len(set(seen)) == 6


def test_what_clients_find_without_a_number(database: Database, models: Models, train: Callable[..., int]) -> None:
    """Each model's latest and those with an alias, each once, the newest first, and no more than asked for."""
    aliases = Aliases(database)
    for name in ("xor", "xor", "and", "xor"):
        train(name)
    aliases.put("xor", "old", 1, NEW, NOON)
    aliases.put("xor", "older", 1, NEW, NOON)
    aliases.put("xor", "new", 3, NEW, NOON)

    def found(limit: int) -> list[tuple[str, int]]:
        return [(version.model, version.number) for version in models.found_without_number(limit)]

    assert found(9) == [("xor", 3), ("and", 1), ("xor", 1)]
    assert found(2) == [("xor", 3), ("and", 1)]
    aliases.delete("xor", "new", SEEN)
    models.delete_version("xor", 3)
    assert found(9) == [("and", 1), ("xor", 2), ("xor", 1)]
