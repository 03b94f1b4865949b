"""What a web process and the child that imports a model say to each other."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from service.architecture.plan import Limits
from service.inference.signature import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRequest:
    """What is to be imported, and where to: into an empty folder."""

    file: Path
    folder: Path
    limits: Limits

    def to_json(self) -> dict[str, Any]:
        paths = {"file": str(self.file), "folder": str(self.folder)}
        return {**paths, "limits": asdict(self.limits)}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Self:
        paths = {"file": Path(row["file"]), "folder": Path(row["folder"])}
        return cls(**paths, limits=Limits(**row["limits"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What is in the folder now, and what the file said of itself.

    `compile` is None where the file has no compilation, or one that is not offered here; `compile_reason` says which.
    """

    architecture: dict[str, Any]
    compile: dict[str, Any] | None
    compile_reason: str | None
    summary: list[dict[str, Any]]
    parameters: int
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    weights_sha256: str
    engine: Engine
    engine_reason: str | None
    max_difference: float | None
    libraries: dict[str, str]
    keras_version: str
    saved_at: str | None
    file_sha256: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Self:
        return cls(**row)
