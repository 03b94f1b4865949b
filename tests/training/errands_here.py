"""Errands that are done by this process: the very functions, between the very messages, without a child."""

import importlib
from collections.abc import Callable
from typing import Any

import orjson

from service.errors import KerasdError
from service.training.errand import KINDS, as_error, encode, problem
from service.training.errands import Errands


class ErrandsHere(Errands):
    """Does what a child would do, and counts how often it was asked for each kind."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def run(self, kind: str, request: dict[str, Any], is_gone: Callable[[], bool] = lambda: False) -> dict[str, Any]:
        self.asked.append(kind)
        module, _, name = KINDS[kind].partition(":")
        work = getattr(importlib.import_module(module), name)
        try:
            result: dict[str, Any] = orjson.loads(encode(work(orjson.loads(encode(request)))))
        except KerasdError as error:
            raise as_error(orjson.loads(encode(problem(error)))["problem"]) from error
        return result
