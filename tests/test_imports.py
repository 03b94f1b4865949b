"""The layout's rules: imports point one way, and each library has one home."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "service").rglob("*.py"))

#: A part of `service` may import those to its left and itself.
ORDER = (
    ("errors", "config", "hidden", "log"),
    ("data",),
    ("features",),
    ("architecture",),
    ("registry",),
    ("inference",),
    ("training",),
    ("schemas",),
    ("api",),
    ("app",),
    ("acceptor", "busy_poll", "heads"),
    ("protocol",),
    ("worker",),
    ("serve", "web"),
    ("cli",),
)

#: The builder, the export, and the child's side of training; never the supervisor, nor what it imports.
KERAS = (
    "service/architecture/build.py",
    "service/architecture/generate_catalog.py",
    "service/architecture/stored.py",
    "service/inference/comparison.py",
    "service/inference/conversion.py",
    "service/inference/export.py",
    "service/inference/formats.py",
    "service/inference/operations.py",
    "service/inference/template.py",
    "service/inference/tensorflow_child.py",
    *(
        f"service/training/{name}.py"
        for name in (
            *("assembly", "callbacks", "checkpoint", "child", "choice", "draft", "engine", "evaluate", "kept", "loop"),
            *("importing", "preload", "results", "rows", "standby", "warm_start", "watch"),
        )
    ),
)

#: Library -> where it may be imported: files, and folders that end in a slash.
HOMES = {
    "flask": ("service/api/", "service/app.py"),
    "werkzeug": ("service/api/", "service/app.py"),
    "flask_swagger_ui": ("service/api/", "service/app.py"),
    "prometheus_client": ("service/api/metrics.py",),
    "marshmallow": ("service/schemas/", "service/api/"),
    "sqlalchemy": ("service/registry/",),
    "alembic": ("service/registry/",),
    "onnxruntime": ("service/inference/",),
    # Beside data sets and what is made of them, the bodies and answers of predictions can be Arrow tables and CSV.
    "pyarrow": ("service/data/", "service/features/", "service/inference/"),
    "PIL": ("service/data/image_archive.py", "service/data/profiling/media.py", "service/features/"),
    "ijson": ("service/data/",),
    # The one module that opens a client's HDF5 file, and it runs in a child.
    "h5py": ("service/architecture/keras_weights.py",),
    "simdjson": ("service/inference/plain.py",),
    "a2wsgi": ("service/api/door.py",),
    "uvicorn": ("service/protocol.py", "service/worker.py"),
    "httptools": ("service/protocol.py",),
    "uvicorn_worker": ("service/worker.py",),
    "scipy": ("service/training/report.py",),
    "sklearn": ("service/training/report.py",),
    "keras": KERAS,
    "tensorflow": KERAS,
    "tf2onnx": KERAS,
}

#: What takes seconds to import, and threads or a GPU besides.
HEAVY = ("PIL", "keras", "tensorflow", "tf2onnx", "onnx", "onnxruntime", "pyarrow", "scipy", "sklearn")


def path_of(module: Path) -> str:
    return module.relative_to(ROOT).as_posix()


def part_of(dotted: str) -> str:
    return dotted.split(".")[1]


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module that a file imports anywhere, with full dots; `from a import b` counts as a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def parsed(module: Path) -> ast.Module:
    return ast.parse(module.read_text(encoding="utf-8"), str(module))


def rank(part: str) -> int:
    return next(number for number, parts in enumerate(ORDER) if part in parts)


def environment_reads(tree: ast.AST) -> Iterator[str]:
    names = {"environ", "getenv", "putenv", "environb"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            yield from {node.attr} & names
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            yield from {alias.name for alias in node.names} & names


def test_every_part_has_a_place_in_the_order() -> None:
    """A new module or folder in `service/` must be put into ORDER, which decides what it may import."""
    parts = {path_of(module).removeprefix("service/").split("/")[0].removesuffix(".py") for module in MODULES}
    assert parts - {"__init__"} <= {part for parts in ORDER for part in parts}


@pytest.mark.parametrize("module", MODULES, ids=path_of)
def test_imports_point_one_way(module: Path) -> None:
    """A part of the service imports only parts that stand before it, so no two can need each other."""
    own = path_of(module).removeprefix("service/").split("/")[0].removesuffix(".py")
    used = {part_of(name) for name in imports(parsed(module)) if name.startswith("service.")}
    assert [part for part in sorted(used - {own}) if rank(part) >= rank(own)] == []


@pytest.mark.parametrize("module", MODULES, ids=path_of)
def test_imports_are_absolute(module: Path) -> None:
    """There is one way to import: by the full name, so that a search for it finds every use."""
    assert [name for name in imports(parsed(module)) if name.startswith(".")] == []


@pytest.mark.parametrize("module", MODULES, ids=path_of)
def test_only_the_app_imports_the_api(module: Path) -> None:
    """The blueprints are joined in one place."""
    if path_of(module) == "service/app.py" or path_of(module).startswith("service/api/"):
        return
    assert [name for name in imports(parsed(module)) if part_of(f"{name}.") == "api" and name[:8] == "service."] == []


@pytest.mark.parametrize("module", MODULES, ids=path_of)
def test_each_library_has_one_home(module: Path) -> None:
    """A library is imported only where HOMES says, anywhere in a file, even inside a function."""
    used = {name.split(".")[0] for name in imports(parsed(module))} & HOMES.keys()
    assert [library for library in sorted(used) if not path_of(module).startswith(HOMES[library])] == []


@pytest.mark.parametrize("module", MODULES, ids=path_of)
def test_only_the_settings_read_the_environment(module: Path) -> None:
    """os.environ is read in service/config.py alone: a setting cannot hide elsewhere."""
    assert path_of(module) == "service/config.py" or list(environment_reads(parsed(module))) == []


def test_the_app_imports_nothing_heavy() -> None:
    """A web process starts without TensorFlow, Keras, ONNX Runtime, PyArrow and scikit-learn."""
    question = f"import sys, service.app; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", question], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (answer.stdout.strip(), answer.returncode) == ("", 0), answer.stderr
