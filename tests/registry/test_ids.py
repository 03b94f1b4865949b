"""Ids sort by age and name their kind."""

import re

from service.registry.ids import new_id


def test_an_id_is_its_prefix_and_a_lower_case_ulid() -> None:
    """An id is safe in a path and in a URL, and 26 characters follow its prefix."""
    assert re.fullmatch(r"job_[0-9a-hjkmnp-tv-z]{26}", new_id("job"))


def test_ids_of_one_process_ascend() -> None:
    """Sorting by id is sorting by age, also within one millisecond."""
    ids = [new_id("ds") for _ in range(5_000)]
    assert ids == sorted(set(ids))
