"""Ids: a prefix that says what is named, and a ULID, so that sorting by id is sorting by age."""

from typing import Literal

from ulid import ULID

Prefix = Literal["job", "ds", "mod", "ver", "sup", "req", "rev"]


def new_id(prefix: Prefix) -> str:
    """Make an id such as `job_01k4...`; the ids of one process ascend, also within one millisecond."""
    return f"{prefix}_{str(ULID()).lower()}"
