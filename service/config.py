"""Settings: the one place that reads the environment (KERASD_*)."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

PREFIX = "KERASD_"
KIB, MIB, GIB = 2**10, 2**20, 2**30
LOG_LEVELS = ("debug", "info", "warning", "error")
_UNITS = {"KiB": KIB, "MiB": MIB, "GiB": GIB}
_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_CGROUPS, _OWN_CGROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
#: The share of the memory that training data may have, and the most that they have by default.
_DATA_SHARE, _MOST_DATA = 8, GIB
#: With less memory, the next job's process would take it from the one that trains.
_STANDBY_MEMORY = 2 * GIB


class ConfigError(ValueError):
    """A setting's value cannot be used; the message names each variable that is wrong."""


def available_cores(quota_file: Path = _CGROUP_QUOTA) -> int:
    """Count the cores that this process may use: its CPU affinity, and a container's quota rounded up."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = quota_file.read_text().split()
        return min(cores, max(1, -(-int(quota) // int(period))))
    except (OSError, ValueError):
        # There is no quota: the file is missing, or it says "max".
        return cores


def available_memory(own: Path = _OWN_CGROUPS, root: Path = _CGROUPS) -> int:
    """Count the bytes of memory that this machine has, or the container, if that has less.

    Control groups are read of either edition, this process's own and those above it; inside a container its own group
    is often all that is seen, in the place of the topmost.
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        lines = []
    limits = [machine]
    for _, controllers, path in lines:
        if not controllers or "memory" in controllers.split(","):
            folder, name = (root / "memory", "memory.limit_in_bytes") if controllers else (root, "memory.max")
            inside = Path(path.lstrip("/"))
            limits += [limit for one in (inside, *inside.parents) if (limit := _limit(folder / one / name))]
    return min(limits)


def _limit(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        # There is no limit: the file is missing, or it says "max".
        return None


def _data_memory_bytes() -> int:
    return min(_MOST_DATA, available_memory() // _DATA_SHARE)


def _has_room_for_standby() -> bool:
    return available_memory() >= _STANDBY_MEMORY


def _integer(minimum: int, maximum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if not minimum <= value <= maximum:
            raise ValueError(f"a whole number from {minimum} to {maximum}")
        return value

    return parse


def _seconds(minimum: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not minimum <= value <= 86_400:
            raise ValueError(f"a number of seconds from {minimum:g} to 86400")
        return value

    return parse


def _size(text: str) -> int:
    unit = next((unit for unit in _UNITS if text.endswith(unit)), "")
    digits = text.removesuffix(unit).strip()
    if not (digits.isascii() and digits.isdecimal()) or int(digits) == 0:
        raise ValueError('a number of bytes above 0, such as "33554432" or "32 MiB" (KiB, MiB and GiB are known)')
    return int(digits) * _UNITS.get(unit, 1)


def _flag(text: str) -> bool:
    flags = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in flags:
        raise ValueError("true or false")
    return flags[text.lower()]


def _log_level(text: str) -> str:
    if text.lower() not in LOG_LEVELS:
        raise ValueError(f"one of {', '.join(LOG_LEVELS)}")
    return text.lower()


def _model(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}(@[A-Za-z][A-Za-z0-9_-]{0,63}|/[0-9]{1,18})?", text):
        raise ValueError("a model as `name`, `name@alias` or `name/number`")
    return text


def _about(help_text: str, parse: Callable[[str], Any], shown: str | None = None) -> dict[str, Any]:
    return {"help": help_text, "parse": parse, "shown": shown}


_PORT = _integer(1, 65_535)
_COUNT = _integer(1, 4_096)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that can be set; each field is the variable KERASD_<FIELD>, and an empty variable means the default."""

    data: Path = field(
        default=Path("data"), metadata=_about("Folder of the database, the data sets and the models.", Path)
    )
    database_url: str = field(
        default="",
        metadata=_about("SQLAlchemy URL of the database; empty means `kerasd.sqlite3` in the data folder.", str),
    )
    host: str = field(
        default="127.0.0.1", metadata=_about("Address that the server listens on; `0.0.0.0` means all.", str)
    )
    port: int = field(default=8000, metadata=_about("Port that the server listens on.", _PORT))
    web_workers: int = field(default=2, metadata=_about("Processes that answer requests.", _COUNT))
    web_threads: int = field(default=8, metadata=_about("Threads in each of them.", _COUNT))
    web_queue: int = field(
        default=64,
        metadata=_about(
            "Requests that may wait for a thread in each of them; further ones are answered 503.", _integer(0, 65_536)
        ),
    )
    busy_poll_seconds: float = field(
        default=0.0001,
        metadata=_about(
            "How long a web process stays awake after a prediction, for clients who come back that soon; 0 is never.",
            _seconds(0),
        ),
    )
    slots: int = field(
        default_factory=available_cores, metadata=_about("Jobs that train side by side.", _COUNT, "number of cores")
    )
    job_threads: int = field(
        default=0,
        metadata=_about("Threads of one training job; 0 shares the cores among the slots.", _integer(0, 4_096)),
    )
    standby: bool = field(
        default_factory=_has_room_for_standby,
        metadata=_about(
            "Whether a warmed-up process waits for the next job, which then starts sooner.",
            _flag,
            "`true`; `false` with less than 2 GiB of memory",
        ),
    )
    lease_seconds: float = field(
        default=30.0, metadata=_about("A job whose supervisor is silent for this long is queued again.", _seconds(1))
    )
    checkpoint_seconds: float = field(
        default=10.0, metadata=_about("Training time between two checkpoints of a job.", _seconds(0.01))
    )
    max_retries: int = field(
        default=10,
        metadata=_about(
            "How often in a row, without a new checkpoint, a job whose process was lost is tried again.",
            _integer(0, 1_000_000),
        ),
    )
    max_body_bytes: int = field(
        default=32 * MIB, metadata=_about("Largest body of a request that is not an upload.", _size)
    )
    max_upload_bytes: int = field(default=8 * GIB, metadata=_about("Largest upload of a data set.", _size))
    max_parameters: int = field(
        default=200_000_000, metadata=_about("Most parameters that a model may have.", _integer(1, 2**40))
    )
    max_memory_bytes: int = field(
        default=8 * GIB,
        metadata=_about("Most memory that training a model may be estimated to need, and may then use.", _size),
    )
    data_memory_bytes: int = field(
        default_factory=_data_memory_bytes,
        metadata=_about(
            "Larger training data are streamed from disk.", _size, "`1 GiB`; an eighth of the memory where that is less"
        ),
    )
    session_budget_bytes: int = field(
        default=512 * MIB, metadata=_about("Memory for loaded models in each web process.", _size)
    )
    invocations_model: str = field(
        default="",
        metadata=_about(
            "Model that answers `/invocations`: `name`, `name@alias` or `name/number`; empty means none.", _model
        ),
    )
    shutdown_seconds: float = field(
        default=20.0, metadata=_about("Time that requests and jobs have to end at shutdown.", _seconds(1))
    )
    log_level: str = field(
        default="info", metadata=_about(f"Least level that is logged: {', '.join(LOG_LEVELS)}.", _log_level)
    )
    run_folder: str = field(default="", metadata=_about("Folder of the Unix sockets; `kerasd serve` makes one.", str))

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ, **given: object) -> Self:
        """Read the settings; a value in `given` that is not None wins. Raise ConfigError naming all that is wrong."""
        texts = {name: _text(environ, given, name) for name in _parsers()}
        values, wrong = {}, []
        for name, parse in _parsers().items():
            try:
                if texts[name]:
                    values[name] = parse(texts[name])
            except ValueError as error:
                wrong.append(f"{variable(name)} is {texts[name]!r}, but must be {error}.{_hint(texts[name])}")
        if wrong:
            raise ConfigError("\n".join(wrong))
        return cls(**values)

    @property
    def database(self) -> str:
        """The database's URL: the one that was given, else the SQLite file in the data folder."""
        return self.database_url or f"sqlite:///{self.data_folder / 'kerasd.sqlite3'}"

    @property
    def data_folder(self) -> Path:
        """The data folder as an absolute path."""
        return self.data.absolute()

    @property
    def prepared(self) -> Path:
        """The file that is there once the database's tables are those of this release."""
        return self._sockets / "prepared"

    @property
    def prediction_socket(self) -> Path:
        """The Unix socket by which web processes reach the TensorFlow process that predicts."""
        return self._sockets / "predictions.sock"

    @property
    def doorbell(self) -> Path:
        """The Unix socket by which web processes tell the supervisor that there is something to do."""
        return self._sockets / "doorbell.sock"

    @property
    def statistics(self) -> Path | None:
        """Where web processes share their counts of predictions; None where there is no folder that ends with them."""
        return Path(self.run_folder) / "statistics" if self.run_folder else None

    @property
    def errand_socket(self) -> Path:
        """The Unix socket by which web processes ask the supervisor for short pieces of work with TensorFlow."""
        return self._sockets / "errands.sock"

    @property
    def _sockets(self) -> Path:
        return Path(self.run_folder) if self.run_folder else self.data_folder

    @property
    def threads_per_job(self) -> int:
        """Threads of one training job: `job_threads`, else an equal share of the cores, at least 1."""
        return self.job_threads or max(1, available_cores() // self.slots)

    @property
    def training_threads(self) -> int:
        """Threads of all training jobs together."""
        return self.slots * self.threads_per_job

    @property
    def local_url(self) -> str:
        """The server's address as this machine reaches it, without a trailing slash."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def with_absolute_data(self) -> Self:
        """The same settings with a data folder that no change of directory moves."""
        return replace(self, data=self.data_folder)

    def as_environment(self, defaults: Mapping[str, str] | None = None, /, **more: str) -> dict[str, str]:
        """The environment for a child process: `defaults`, this process's own, these settings, and `more`."""
        own = {variable(name): str(getattr(self, name)) for name in _parsers()}
        return {**(defaults or {}), **os.environ, **own, **more}


def variable(name: str) -> str:
    """The environment variable of a setting: `web_threads` is KERASD_WEB_THREADS."""
    return PREFIX + name.upper()


def unknown_variables(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The KERASD_* variables that no setting reads: most often a slip of the pen."""
    known = {variable(name) for name in _parsers()}
    return tuple(sorted(name for name in environ if name.startswith(PREFIX) and name not in known))


def settings_table() -> str:
    """The settings as a Markdown table, as the README shows it."""
    rows = [f"| `{variable(item.name)}` | {_shown(item)} | {item.metadata['help']} |" for item in fields(Settings)]
    return "\n".join(["| Variable | Default | Meaning |", "|---|---|---|", *rows])


def _parsers() -> dict[str, Callable[[str], Any]]:
    return {item.name: item.metadata["parse"] for item in fields(Settings)}


def _text(environ: Mapping[str, str], given: Mapping[str, object], name: str) -> str:
    value = given.get(name)
    return (environ.get(variable(name), "") if value is None else str(value)).strip()


def _hint(text: str) -> str:
    # Kubernetes describes a service called "kerasd" by variables such as KERASD_PORT=tcp://10.0.0.1:8000.
    return " Kubernetes sets it so: turn off enableServiceLinks." if text.startswith("tcp://") else ""


def _shown(item: Field[Any]) -> str:
    if item.metadata["shown"]:
        return str(item.metadata["shown"])
    default: Any = item.default
    if item.metadata["parse"] is _size:
        unit, size = next((unit, size) for unit, size in reversed(_UNITS.items()) if default % size == 0)
        return f"`{default // size} {unit}`"
    text = f"{default:g}" if isinstance(default, float) else str(default)
    return f"`{text}`" if text else "empty"
