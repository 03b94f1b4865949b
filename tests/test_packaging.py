"""The files that install and ship kerasd name only what exists."""

import re
import shutil
import subprocess
import tomllib
from importlib.metadata import requires
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from service import cli
from service.config import PREFIX, Settings, unknown_variables

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = ("3.11", "3.12", "3.13")


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order: continued lines joined, comments left out."""
    lines = [line for line in text_of("Dockerfile").splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def arguments(instruction: str) -> list[str]:
    return [rest for name, rest in instructions() if name == instruction]


def compose_file() -> dict[str, Any]:
    """docker-compose.yml as YAML, each ${NAME:-default} replaced by its default."""
    filled = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text_of("docker-compose.yml"))
    loaded: dict[str, Any] = yaml.safe_load(filled)
    return loaded


def pins() -> dict[str, Requirement]:
    lines = [line for line in text_of("constraints.txt").splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(pin.name): pin for pin in map(Requirement, lines)}


def requirement_names(name: str, extras: set[str]) -> set[Requirement]:
    """What an installed distribution needs on this machine, with these extras."""
    needed = map(Requirement, requires(name) or ())
    return {
        one for one in needed if not one.marker or any(one.marker.evaluate({"extra": extra}) for extra in extras | {""})
    }


def run_make(*words: str) -> str:
    return subprocess.run(["make", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_constraints_pin_every_dependency() -> None:
    """Each direct dependency, for running, tests and benchmarks, has an exact pin that its own range allows."""
    extras = PROJECT["optional-dependencies"].values()
    for need in map(Requirement, [*PROJECT["dependencies"], *chain.from_iterable(extras)]):
        (specifier,) = pins()[canonicalize_name(need.name)].specifier
        assert specifier.operator == "==", need.name
        assert need.specifier.contains(specifier.version), need.name


def test_constraints_pin_what_the_dependencies_need() -> None:
    """Walking the installed distributions from kerasd's dependencies meets no name without a pin."""
    open_names = [Requirement(text) for text in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]]
    seen: set[tuple[str, frozenset[str]]] = set()
    while open_names:
        need = open_names.pop()
        key = (canonicalize_name(need.name), frozenset(need.extras))
        if key not in seen:
            seen.add(key)
            open_names.extend(requirement_names(need.name, need.extras))
    assert {name for name, _ in seen} - pins().keys() == set()


def test_constraints_name_no_host() -> None:
    """Any index serves: the file holds names and versions only."""
    assert re.search(r"://|@|--", text_of("constraints.txt")) is None


def test_pythons_agree() -> None:
    """pyproject.toml, the Makefile and the Dockerfile allow the same releases of Python."""
    assert PROJECT["requires-python"] == ">=3.11,<3.14"
    assert all(f"python{release}" in text_of("Makefile") for release in PYTHONS)
    assert set(re.findall(r"python:(3\.\d+)-slim", text_of("Dockerfile"))) <= set(PYTHONS)


@pytest.mark.parametrize("target", ["help", "serve", "test", "lint", "bench", "torture", "openapi", "catalog", "clean"])
def test_make_knows_the_target(target: str) -> None:
    """Every command of the Makefile can be planned."""
    assert run_make("--dry-run", target)


def test_make_serve_passes_port_and_data_on() -> None:
    """PORT and DATA reach the command line, with defaults equal to the settings'."""
    assert f'kerasd serve --port "{Settings().port}" --data "{Settings().data}"' in run_make("--dry-run", "serve")
    assert 'kerasd serve --port "81" --data "d"' in run_make("--dry-run", "serve", "PORT=81", "DATA=d")


def test_make_passes_over_a_python_that_does_not_run(tmp_path: Path) -> None:
    """A candidate that is found but fails counts as missing, and the message says how to name another."""
    for name in ("python3.13", "python3.12", "python3.11", "python3"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 127\n")
        (tmp_path / name).chmod(0o755)
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("make", "sh", "touch"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    done = subprocess.run(
        [str(tmp_path / "make"), "serve"],
        cwd=tmp_path,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "No Python from 3.11 to 3.13 was found" in done.stderr
    assert "make serve PYTHON=/path/to/python3.12" in done.stderr


def test_continuous_integration_runs_make_test() -> None:
    """.ci/run is executable and runs the Makefile's checks, no list of its own."""
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
    assert text_of(".ci/run").rstrip().endswith("make test")


def test_the_dockerfile_copies_what_exists_and_is_sent() -> None:
    """Each COPY source is in the tree, and .dockerignore lets it through."""
    allowed = {line[1:] for line in text_of(".dockerignore").splitlines() if line.startswith("!")}
    sources = {word for rest in arguments("COPY") if "--from" not in rest for word in rest.split()[:-1]}
    assert sources == allowed
    assert [name for name in sorted(sources) if not (ROOT / name).exists()] == []


def test_the_dockerfile_runs_a_command_that_exists() -> None:
    """Entry point and health check are console scripts of this project with real subcommands."""
    (entry,), (command,) = arguments("ENTRYPOINT"), arguments("CMD")
    (health,) = re.findall(r"CMD (\[.*\])", arguments("HEALTHCHECK")[0])
    for words in (yaml.safe_load(entry) + yaml.safe_load(command), yaml.safe_load(health)):
        assert words[0] in PROJECT["scripts"]
        assert cli.parser().parse_args(words[1:]).command


def test_the_image_is_not_root_and_keeps_its_data_in_a_volume() -> None:
    """The user is a number, the volume is where KERASD_DATA points, and the port is the default one."""
    environment = dict(re.findall(r"(KERASD_\w+)=(\S+)", " ".join(arguments("ENV"))))
    assert unknown_variables(environment) == ()
    settings = Settings.from_environment(environment)
    assert arguments("USER") == ["10001:10001"]
    assert arguments("VOLUME") == [str(settings.data)]
    assert arguments("EXPOSE") == [str(settings.port)]
    assert settings.host == "0.0.0.0"


def test_compose_names_real_settings_ports_and_paths() -> None:
    """The one service sets only variables that are read, publishes the image's port, and mounts its volume."""
    (service,) = compose_file()["services"].values()
    environment = service["environment"]
    assert unknown_variables(environment) == ()
    assert all(name.startswith(PREFIX) for name in environment)
    settings = Settings.from_environment(environment)
    assert service["ports"] == [f"127.0.0.1:8000:{arguments('EXPOSE')[0]}"]
    assert service["volumes"] == [f"data:{arguments('VOLUME')[0]}"]
    assert "data" in compose_file()["volumes"]
    assert int(service["stop_grace_period"].removesuffix("s")) > settings.shutdown_seconds


def test_compose_defaults_are_the_settings_defaults() -> None:
    """Leaving a variable out in compose means the same as leaving it out elsewhere."""
    (service,) = compose_file()["services"].values()
    assert Settings.from_environment(service["environment"]) == Settings()


def test_docker_accepts_the_compose_file() -> None:
    """Where Docker's compose is installed it reads the file as this test's own reading does."""
    docker = shutil.which("docker")
    command = [docker or "docker", "compose", "-f", str(ROOT / "docker-compose.yml"), "config", "--format", "json"]
    can = docker and subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0
    names = set(compose_file()["services"])
    if can:
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        names = set(yaml.safe_load(answer)["services"])
    assert names == {"kerasd"}


def test_the_licence_is_the_one_that_is_declared() -> None:
    """LICENSE is Apache 2.0 in full, from its title to its appendix."""
    assert PROJECT["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in text_of("LICENSE")
    assert "APPENDIX: How to apply the Apache License to your work." in text_of("LICENSE")


def test_the_changelog_has_the_current_version() -> None:
    """Its newest release is the project's version, below the section for what is not yet released."""
    headings = re.findall(r"^## \[?([^\]\s]+)", text_of("CHANGELOG.md"), re.MULTILINE)
    assert headings[:2] == ["Unreleased", PROJECT["version"]]
