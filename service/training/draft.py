"""What of a job's export does not depend on its weights, made in a thread while the first steps run.

The first call of a compiled loop is TensorFlow's work for some tens of milliseconds, in which Python has nothing to do.
"""

import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from service.architecture.network import Network
from service.inference import template
from service.inference.conversion import forward, signature_of, specs
from service.inference.signature import Signature
from service.inference.template import Template
from service.training.kept import TRACING, Function, Kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafted:
    """`compiled` answers as the model does, and `answer` too, as a graph; `template` is None where none can be made."""

    signature: Signature
    compiled: Any
    answer: Function
    template: Template | None


class Draft:
    """The draft of one job's export, begun as soon as `kept` has a graph to run."""

    def __init__(self, model: keras.Model, network: Network, kept: Kept) -> None:
        self._model = model
        self._kept = kept
        self._signature = signature_of(model, network)
        self._path = kept.path("export")
        self._drafted: Future[Drafted] = Future()
        self._approved = False
        self._thread = threading.Thread(target=self._work, daemon=True, name="draft")
        kept.when_ready(self._begin)

    def result(self) -> Drafted:
        """Wait for what was begun, or begin now; raises what went wrong with the answer's graph."""
        self._begin()
        return self._drafted.result()

    def approve(self) -> None:
        """Note that an export made from the template answers as the model does."""
        self._approved = True

    def keep(self) -> None:
        """Leave a template that has proved good for later jobs."""
        made = self.result().template if self._approved else None
        if made is not None and not self._path.exists():
            template.write(made, self._path)

    def _begin(self) -> None:
        if self._thread.ident is None:
            self._thread.start()

    def _work(self) -> None:
        try:
            self._drafted.set_result(self._make())
        except Exception as error:
            self._drafted.set_exception(error)

    def _make(self) -> Drafted:
        compiled = forward(self._model, self._signature)
        answer = self._kept.function("forward", compiled, specs(self._signature), jit=False)
        made = template.read(self._path) or self._template()
        self._run_once(answer)
        return Drafted(signature=self._signature, compiled=compiled, answer=answer, template=made)

    def _template(self) -> Template | None:
        if not template.can_draft(self._model):
            return None
        try:
            with TRACING:
                traced = template.trace(self._model, self._signature)
            return template.draft(traced, self._signature)
        except Exception:
            # Converters raise whatever they like; the export then converts the network with its weights.
            return None

    def _run_once(self, answer: Function) -> None:
        """Have TensorFlow make ready what the comparison with the export will run.

        Not where the model has random numbers: recurrent layers draw some here too, which the training would miss.
        """
        is_random = len(self._model.variables) > len(self._model.weights)
        if not is_random and not any(None in spec.shape for spec in self._signature.inputs):
            answer(*(tf.zeros((1, *spec.shape), spec.dtype) for spec in self._signature.inputs))
