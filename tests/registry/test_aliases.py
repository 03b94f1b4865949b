"""Aliases move for those who have seen where they point, and keep their versions."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from service.errors import Conflict, Invalid, NotFound, PreconditionFailed, PreconditionRequired
from service.registry.aliases import ANY, Alias, Aliases, Seen
from service.registry.database import Database
from service.registry.models import MAX_NUMBER, Models
from tests.registry.conftest import NOON

LATER = NOON + timedelta(hours=1)
NEW = Seen()


@pytest.fixture
def aliases(database: Database) -> Aliases:
    return Aliases(database)


@pytest.fixture
def stable(aliases: Aliases, train: Callable[..., int]) -> Alias:
    """`stable` of the model `xor`, which has three versions, points to the first."""
    for _ in range(3):
        train("xor")
    return aliases.put("xor", "stable", 1, NEW, NOON)


def seen(alias: Alias) -> Seen:
    return Seen(revisions={alias.revision})


def test_a_new_alias_points_where_it_was_told(aliases: Aliases, models: Models, stable: Alias) -> None:
    """And nowhere before."""
    assert stable == aliases.get("xor", "stable")
    assert (stable.model, stable.name, stable.version, stable.updated_at) == ("xor", "stable", 1, NOON)
    assert stable.previous_version is None
    assert models.aliased("xor", "stable").number == 1


def test_it_moves_and_goes_back(aliases: Aliases, models: Models, stable: Alias) -> None:
    """Each move has a revision of its own, and knows where it came from."""
    moved = aliases.put("xor", "stable", 3, seen(stable), LATER)
    assert (moved.version, moved.previous_version, moved.updated_at) == (3, 1, LATER)
    assert models.aliased("xor", "stable").number == 3
    back = aliases.put("xor", "stable", 1, seen(moved), LATER)
    assert (back.version, back.previous_version) == (1, 3)
    assert len({stable.revision, moved.revision, back.revision}) == 3


def test_pointing_to_the_same_version_forgets_no_way_back(aliases: Aliases, stable: Alias) -> None:
    """A deployer that does its work twice leaves the previous version what it was."""
    moved = aliases.put("xor", "stable", 2, seen(stable), NOON)
    again = aliases.put("xor", "stable", 2, seen(moved), NOON)
    assert (again.version, again.previous_version) == (2, 1)


def test_of_two_deployers_one_is_told(aliases: Aliases, stable: Alias) -> None:
    """Both have seen the same; the second learns where the alias points now, and changes nothing."""
    first = aliases.put("xor", "stable", 2, seen(stable), NOON)
    with pytest.raises(PreconditionFailed, match=f'version 2, with the ETag "{first.revision}"'):
        aliases.put("xor", "stable", 3, seen(stable), NOON)
    assert aliases.get("xor", "stable") == first


def test_an_alias_is_not_moved_unseen(aliases: Aliases, stable: Alias) -> None:
    """Whoever does not say what it has seen is asked to, with the answer in the sentence."""
    with pytest.raises(PreconditionRequired, match=f'version 1, with the ETag "{stable.revision}"'):
        aliases.put("xor", "stable", 2, NEW, NOON)
    with pytest.raises(PreconditionRequired):
        aliases.delete("xor", "stable", NEW)
    assert aliases.get("xor", "stable") == stable


def test_whatever_there_is_can_be_seen(aliases: Aliases, stable: Alias) -> None:
    """A star matches every revision, and none where there is no alias."""
    assert aliases.put("xor", "stable", 2, Seen(revisions=[ANY]), NOON).version == 2
    with pytest.raises(PreconditionFailed, match="has no alias 'canary'"):
        aliases.put("xor", "canary", 2, Seen(revisions=[ANY]), NOON)


def test_an_alias_is_only_made_where_there_is_none(aliases: Aliases, stable: Alias) -> None:
    """If-None-Match: * says so."""
    with pytest.raises(PreconditionFailed, match="only makes an alias anew"):
        aliases.put("xor", "stable", 2, Seen(nothing=True), NOON)
    assert aliases.put("xor", "canary", 2, Seen(nothing=True), NOON).version == 2


def test_an_alias_that_was_made_again_is_another(aliases: Aliases, stable: Alias) -> None:
    """Who has seen the one before is told, though both point to the same version."""
    aliases.delete("xor", "stable", seen(stable))
    again = aliases.put("xor", "stable", 1, NEW, NOON)
    assert again.previous_version is None
    with pytest.raises(PreconditionFailed):
        aliases.put("xor", "stable", 2, seen(stable), NOON)


@pytest.mark.parametrize("number", [4, MAX_NUMBER, MAX_NUMBER + 1, 10**30])
def test_it_points_to_versions_that_there_are(aliases: Aliases, stable: Alias, number: int) -> None:
    """What does not exist is named in the fault, whatever its size, and the alias stays."""
    with pytest.raises(Invalid) as invalid:
        aliases.put("xor", "stable", number, seen(stable), NOON)
    (fault,) = invalid.value.faults
    assert fault.pointer == "/version"
    assert f"has no version {number}" in fault.detail
    assert aliases.get("xor", "stable") == stable


def test_what_there_is_not(aliases: Aliases, models: Models, stable: Alias) -> None:
    """Of an unknown alias the known ones are named; an unknown model is said to be that."""
    with pytest.raises(NotFound, match=r"no alias 'canary'. Its aliases: stable\."):
        aliases.get("xor", "canary")
    with pytest.raises(NotFound, match="no alias 'canary'"):
        aliases.delete("xor", "canary", NEW)
    with pytest.raises(NotFound, match="no alias 'canary'"):
        models.aliased("xor", "canary")
    for call in (
        lambda: aliases.get("and", "stable"),
        lambda: aliases.put("and", "stable", 1, NEW, NOON),
        lambda: aliases.delete("and", "stable", NEW),
        lambda: aliases.page("and", None, 9),
        lambda: models.aliased("and", "stable"),
    ):
        with pytest.raises(NotFound, match="There is no model 'and'"):
            call()


def test_aliases_come_in_pages_by_name(aliases: Aliases, train: Callable[..., int], stable: Alias) -> None:
    """Those of other models are not among them."""
    train("and")
    aliases.put("and", "stable", 1, NEW, NOON)
    for name in ("canary", "Beta"):
        aliases.put("xor", name, 2, NEW, NOON)
    first = aliases.page("xor", None, 2)
    second = aliases.page("xor", first.next_cursor, 2)
    assert [alias.name for alias in (*first.items, *second.items)] == ["Beta", "canary", "stable"]
    assert second.next_cursor is None


def test_a_version_that_is_pointed_to_is_not_deleted(aliases: Aliases, models: Models, stable: Alias) -> None:
    """Clients rely on it; without the alias it can go."""
    with pytest.raises(Conflict, match="stable of the model 'xor' points to version 1"):
        models.delete_version("xor", 1)
    models.delete_version("xor", 2)
    aliases.put("xor", "stable", 3, seen(stable), NOON)
    models.delete_version("xor", 1)
    assert models.latest("xor").number == 3


def test_a_model_goes_with_its_aliases(aliases: Aliases, models: Models, train: Callable[..., int]) -> None:
    """A model that is later trained under the same name begins without any."""
    train("xor")
    aliases.put("xor", "stable", 1, NEW, NOON)
    assert len(models.delete("xor")) == 1
    train("xor")
    assert aliases.page("xor", None, 9).items == ()
