"""Settings: defaults, values from the environment, and what is said of bad ones."""

import os
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from service import config
from service.config import (
    ConfigError,
    Settings,
    available_cores,
    available_memory,
    settings_table,
    unknown_variables,
    variable,
)

ROOT = Path(__file__).parent.parent


def test_an_empty_environment_gives_the_defaults() -> None:
    """Nothing has to be set."""
    assert Settings.from_environment({}) == Settings()


@pytest.mark.parametrize(
    ("groups", "limits", "memory"),
    [
        ("0::/\n", {"memory.max": "1073741824\n"}, 2**30),
        ("0::/\n", {"memory.max": "max\n"}, None),
        ("0::/a/b\n", {"a/b/memory.max": "max\n", "a/memory.max": "4096\n"}, 4096),
        ("0::/a/b\n", {"memory.max": "8192\n"}, 8192),
        ("4:cpu,memory:/x\n0::/\n", {"memory/x/memory.limit_in_bytes": "5000\n"}, 5000),
        ("4:memory:/x\n", {"memory/memory.limit_in_bytes": "6000\n"}, 6000),
        ("4:memory:/x\n", {"memory/memory.limit_in_bytes": f"{2**63 - 4096}\n"}, None),
        ("1:cpu:/x\n", {"memory.max": "1\n", "memory/x/memory.limit_in_bytes": "1\n"}, None),
        (None, {"memory.max": "1\n"}, None),
    ],
)
def test_a_containers_memory_counts(
    tmp_path: Path, groups: str | None, limits: dict[str, str], memory: int | None
) -> None:
    """Of either edition of control groups, its own or one above it; None stands for the machine's."""
    own = tmp_path / "cgroup"
    if groups is not None:
        own.write_text(groups)
    for place, text in limits.items():
        file = tmp_path / "root" / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert available_memory(own, tmp_path / "root") == (memory or machine)


@pytest.mark.parametrize(("memory", "data"), [(2**30, 2**27), (2**32, 2**29), (2**40, 2**30)])
def test_small_machines_stream_sooner(monkeypatch: pytest.MonkeyPatch, memory: int, data: int) -> None:
    """Training data take an eighth of the memory, and at most a GiB."""
    monkeypatch.setattr(config, "available_memory", lambda: memory)
    assert Settings.from_environment({}).data_memory_bytes == data
    assert Settings.from_environment({}).standby is (memory >= 2**31)


def test_an_empty_variable_means_the_default() -> None:
    """Compose files pass `KERASD_PORT=` for what the user left out."""
    assert Settings.from_environment({"KERASD_PORT": "", "KERASD_SLOTS": " "}) == Settings()


def test_values_come_from_the_environment() -> None:
    """Each field is read from KERASD_<FIELD> and has its type."""
    environ = {
        "KERASD_PORT": "9000",
        "KERASD_DATA": "/srv/k",
        "KERASD_LEASE_SECONDS": "2.5",
        "KERASD_LOG_LEVEL": "DEBUG",
    }
    settings = Settings.from_environment(environ)
    assert (settings.port, settings.data, settings.lease_seconds) == (9000, Path("/srv/k"), 2.5)
    assert settings.log_level == "debug"


def test_a_given_value_wins_over_the_environment() -> None:
    """Command-line options override variables, and None is not an option that was given."""
    settings = Settings.from_environment({"KERASD_PORT": "9000", "KERASD_HOST": "::"}, port="9001", host=None)
    assert (settings.port, settings.host) == (9001, "::")


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("33554432", 33_554_432), ("32MiB", 2**25), ("8 GiB", 2**33), ("3 KiB", 3072)]
)
def test_sizes_are_bytes_or_have_a_unit(text: str, size: int) -> None:
    """A size without a unit is a number of bytes."""
    assert Settings.from_environment({"KERASD_MAX_BODY_BYTES": text}).max_body_bytes == size


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("port", "http"),
        ("port", "0"),
        ("port", "65536"),
        ("slots", "0"),
        ("web_workers", "1.5"),
        ("job_threads", "-1"),
        ("lease_seconds", "nan"),
        ("shutdown_seconds", "soon"),
        ("checkpoint_seconds", "0"),
        ("max_retries", "-1"),
        ("data_memory_bytes", "much"),
        ("max_body_bytes", "32 MB"),
        ("max_upload_bytes", "0"),
        ("max_memory_bytes", "-1"),
        ("session_budget_bytes", "²"),
        ("max_parameters", "1e9"),
        ("log_level", "loud"),
    ],
)
def test_a_bad_value_is_an_error_that_names_the_variable(name: str, text: str) -> None:
    """The message holds the variable, what it is, and what was expected."""
    with pytest.raises(ConfigError) as caught:
        Settings.from_environment({variable(name): text})
    message = str(caught.value)
    assert message.startswith(f"{variable(name)} is {text!r}, but must be ")
    assert message.endswith(".")


def test_all_bad_values_are_named_at_once() -> None:
    """One start shows every fault."""
    with pytest.raises(ConfigError) as caught:
        Settings.from_environment({"KERASD_PORT": "x", "KERASD_SLOTS": "y"})
    assert [line.split()[0] for line in str(caught.value).splitlines()] == ["KERASD_PORT", "KERASD_SLOTS"]


def test_the_port_that_kubernetes_sets_is_explained() -> None:
    """A Kubernetes service called kerasd sets KERASD_PORT to a URL in every pod."""
    with pytest.raises(ConfigError, match="enableServiceLinks"):
        Settings.from_environment({"KERASD_PORT": "tcp://10.0.0.1:8000"})


def test_settings_cannot_be_changed() -> None:
    """A part that holds the settings cannot change them for another."""
    with pytest.raises(FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]


def test_the_database_lies_in_the_data_folder_unless_a_url_is_given() -> None:
    """The default URL holds an absolute path, so that it means the same in every process."""
    assert Settings(data=Path("/srv/k")).database == "sqlite:////srv/k/kerasd.sqlite3"
    assert Settings(data=Path("d")).database == f"sqlite:///{Path.cwd()}/d/kerasd.sqlite3"
    assert Settings(database_url="postgresql://db/k").database == "postgresql://db/k"


def test_the_sockets_lie_in_the_run_folder() -> None:
    """Without a run folder they lie with the data."""
    assert Settings(run_folder="/tmp/r").prediction_socket == Path("/tmp/r/predictions.sock")
    assert Settings(run_folder="/tmp/r").doorbell == Path("/tmp/r/doorbell.sock")
    assert Settings(data=Path("/srv/k")).doorbell == Path("/srv/k/doorbell.sock")
    assert Settings(data=Path("/srv/k")).prediction_socket == Path("/srv/k/predictions.sock")


def test_a_job_has_its_share_of_the_cores() -> None:
    """0 shares the cores among the slots, and a job has at least one thread."""
    assert Settings(slots=1).threads_per_job == available_cores()
    assert Settings(slots=4096).threads_per_job == 1
    assert Settings(slots=1, job_threads=3).threads_per_job == 3


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("fe80::1", "http://[fe80::1]:8000"),
        ("box", "http://box:8000"),
    ],
)
def test_the_local_url_is_one_that_a_client_can_use(host: str, url: str) -> None:
    """All-address hosts become the loopback address, and IPv6 addresses have brackets."""
    assert Settings(host=host).local_url == url


def test_a_child_process_reads_the_same_settings() -> None:
    """as_environment() is read back by from_environment() without a loss."""
    settings = Settings(
        data=Path("/srv/k"), port=81, lease_seconds=2.5, slots=3, run_folder="/tmp/r", log_level="error"
    )
    environ = settings.as_environment({"PATH": "nowhere", "LESS": "2"}, EXTRA="1")
    assert Settings.from_environment(environ) == settings
    assert (environ["EXTRA"], environ["LESS"]) == ("1", "2")
    assert environ["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize(
    ("quota", "cores"), [("100000 100000", 1), ("10000 100000", 1), ("max 100000", None), ("", None)]
)
def test_a_containers_quota_bounds_the_cores(tmp_path: Path, quota: str, cores: int | None) -> None:
    """A quota of one core is one core, however many the machine has; without a quota all count."""
    (tmp_path / "cpu.max").write_text(quota)
    assert available_cores(tmp_path / "cpu.max") == (cores or available_cores(tmp_path / "none"))


def test_a_misspelt_variable_is_found() -> None:
    """Only KERASD_* variables that no setting reads are named."""
    assert unknown_variables({"KERASD_PROT": "1", "KERASD_PORT": "1", "PATH": ""}) == ("KERASD_PROT",)


def test_every_setting_has_a_default_and_a_line_of_help() -> None:
    """The help is one sentence."""
    for item in fields(Settings):
        text = item.metadata["help"]
        assert text[0].isupper(), item.name
        assert text.endswith("."), item.name
        assert "\n" not in text, item.name


def test_the_readme_shows_the_settings() -> None:
    """The README's table between the markers is settings_table() to the letter."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = readme.split("<!-- settings -->")[1]
    assert shown.strip() == settings_table()


@pytest.mark.parametrize("text", ["xor", "x-or_2@stable", "xor/17"])
def test_the_model_of_invocations_is_named(text: str) -> None:
    """By itself, with an alias, or with a version's number."""
    assert Settings.from_environment({"KERASD_INVOCATIONS_MODEL": text}).invocations_model == text


@pytest.mark.parametrize("text", ["1xor", "xor@", "xor/", "xor/one", "xor@1", "a b", "xor@a/1", "x" * 65])
def test_a_model_that_cannot_be_is_refused_at_start(text: str) -> None:
    """With the forms that there are."""
    with pytest.raises(ConfigError, match="`name`, `name@alias` or `name/number`"):
        Settings.from_environment({"KERASD_INVOCATIONS_MODEL": text})
