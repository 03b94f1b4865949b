"""Traced functions that are kept from one job to the next, on disk: tracing a step costs more than many epochs of it.

A traced function is a graph without weights: it refers to variables, and which ones is written down by their place in
the model. A later job of the same network gives it its own. Whether a function is traced or kept makes no difference
to what it computes: both are called in the same way, as the same graph.
"""

import hashlib
import io
import json
import os
import threading
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tensorflow.core.framework import function_pb2
from tensorflow.python.eager import context

from service.architecture.build import constants

#: At most this many files are kept; the ones that were not used for the longest time go first.
MOST_KEPT = 512
#: Keras's layers note what concerns a call in themselves, so that one thread at a time may trace.
TRACING = threading.RLock()


def _as_it_is() -> bytes:
    config = tf.compat.v1.ConfigProto()
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    serialized: bytes = config.SerializeToString()
    return serialized


_AS_IT_IS = _as_it_is()


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A graph, ready to be called with tensors; `captured` are its variables, `outputs` the types of what it gives.

    `owner` is what TensorFlow forgets the graph with.
    """

    graph: str
    captured: tuple[Any, ...]
    outputs: dict[str, str]
    jit: bool
    owner: Any

    def __call__(self, *tensors: Any) -> dict[str, Any]:
        """Run it; the arguments are those that it was traced with, and the answer is by output.

        TensorFlow does not optimize the graph, which would take longer than it gains: the steps of a loop, which are a
        function of their own, are optimized all the same. XLA's compilation is only had by a direct call.
        """
        given = [*tensors, *self.captured]
        if self.jit:
            answer = context.context().call_function(self.graph.encode(), given, len(self.outputs))
        else:
            answer = tf.raw_ops.StatefulPartitionedCall(
                args=given, Tout=list(self.outputs.values()), f=self.graph, config_proto=_AS_IT_IS
            )
        return dict(zip(self.outputs, answer, strict=True))


class Kept:
    """What is kept of one model: its functions, from the folder if an earlier job has left them, traced otherwise.

    `identity` is all that the graphs depend on besides what `function` is told.
    """

    def __init__(self, folder: Path, model: keras.Model, identity: Mapping[str, Any]) -> None:
        self._folder = folder
        self._model = model
        self._identity = {**identity, "keras": keras.__version__, "tensorflow": tf.__version__, "format": 2}
        self._traced: dict[Path, bytes] = {}
        self._when_ready: Callable[[], None] | None = None

    def when_ready(self, call: Callable[[], None]) -> None:
        """Call this, once, when the next graph is ready to run: Python has time for other things then."""
        self._when_ready = call

    def function(
        self, name: str, trace: Callable[..., dict[str, Any]], signature: Sequence[Any], jit: bool
    ) -> Function:
        """Give the graph of `trace`, which takes tensors of `signature` and returns tensors by name.

        `trace` may be a `tf.function` already; `jit` is then that function's.
        """
        path = self.path(name, jit, *signature)
        tensors = _tensors(self._model)
        function = _read(path, tensors, jit)
        if function is None:
            compiled: Any = trace
            if not hasattr(trace, "get_concrete_function"):
                compiled = tf.function(trace, autograph=False, jit_compile=jit)
            with TRACING:
                traced = compiled.get_concrete_function(*signature)
            function = self._note(path, traced, tensors, jit)
        call, self._when_ready = self._when_ready, None
        if call is not None:
            call()
        return function

    def write(self) -> None:
        """Leave what was traced for later jobs; a job that has ended loses no time by it."""
        for path, content in self._traced.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(f".{os.getpid()}.tmp")
            unfinished.write_bytes(content)
            unfinished.rename(path)
        if self._traced:
            _thin(self._folder)
        self._traced = {}

    def path(self, name: str, *facts: Any) -> Path:
        """Where something of this name is kept that depends on the model's identity and on `facts`."""
        identity = {**self._identity, "name": name, "facts": [repr(fact) for fact in facts]}
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()
        return self._folder / digest[:40]

    def _note(self, path: Path, traced: Any, tensors: Sequence[Any], jit: bool) -> Function:
        places = {id(tensor): place for place, tensor in enumerate(tensors)}
        captured = tuple(traced.captured_inputs)
        outputs = {name: spec.dtype.name for name, spec in sorted(traced.structured_outputs.items())}
        known = [places.get(id(tensor)) for tensor in captured]
        # A graph that refers to anything else belongs to this job alone.
        if None not in known:
            self._traced[path] = _content(traced, {"captured": known, "outputs": outputs})
        return Function(
            graph=traced.function_def.signature.name, captured=captured, outputs=outputs, jit=jit, owner=traced
        )


def _tensors(model: keras.Model) -> list[Any]:
    """All that a graph of the model can refer to, in an order that is the same whenever the model is built."""
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return [*(variable.value.handle for variable in variables), *constants(model)]


def _content(traced: Any, facts: dict[str, Any]) -> bytes:
    library = function_pb2.FunctionDefLibrary()
    library.function.extend(traced.graph.as_graph_def().library.function)
    library.function.append(traced.function_def)
    text = io.BytesIO()
    with zipfile.ZipFile(text, "w") as archive:
        archive.writestr("facts.json", json.dumps(facts))
        archive.writestr("library.pb", library.SerializeToString())
    return text.getvalue()


def _read(path: Path, tensors: Sequence[Any], jit: bool) -> Function | None:
    """Read a function and make it known to TensorFlow; None if there is none, or none that can be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            facts = json.loads(archive.read("facts.json"))
            library = function_pb2.FunctionDefLibrary.FromString(archive.read("library.pb"))
        path.touch()
    except (OSError, zipfile.BadZipFile, KeyError, ValueError):
        return None
    _rename(library, f"kept_{path.name}_")
    for function in library.function:
        context.context().add_function_def(function)
    return Function(
        graph=library.function[-1].signature.name,
        captured=tuple(tensors[place] for place in facts["captured"]),
        outputs=facts["outputs"],
        jit=jit,
        owner=None,
    )


def _rename(library: Any, prefix: str) -> None:
    """Give the functions names that no other function of this process has."""
    names = {function.signature.name for function in library.function}
    for function in library.function:
        function.signature.name = prefix + function.signature.name
        for node in function.node_def:
            node.op = prefix + node.op if node.op in names else node.op
            for attribute in node.attr.values():
                for called in (attribute.func, *attribute.list.func) if _calls(attribute) else ():
                    called.name = prefix + called.name if called.name in names else called.name


def _calls(attribute: Any) -> bool:
    return bool(attribute.HasField("func") or attribute.list.func)


def _thin(folder: Path) -> None:
    """Remove what was used least recently, as long as there is too much."""
    files = sorted((path for path in folder.iterdir() if path.suffix != ".tmp"), key=lambda path: path.stat().st_mtime)
    for path in files[:-MOST_KEPT]:
        path.unlink(missing_ok=True)
