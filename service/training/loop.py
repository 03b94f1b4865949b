"""Many steps in one call: a compiled loop over rows in memory that runs Keras's own `train_step` or `test_step`.

What a step computes is Keras's, operation by operation, so that losses, weights and metrics are those of `Model.fit`
to the bit as long as XLA is off. What is ours is only what surrounds the steps: no input pipeline, no Python between
two steps, and no results that nobody reads.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from service.training.kept import Function, Kept
from service.training.rows import Block, Layout


class Loop:
    """Runs steps of one kind over blocks of rows.

    `step` is `model.train_step` or `model.test_step`. `even` says that all batches are full: their length is then part
    of the graph of `fit`, and decides in what order TensorFlow sums. With `jit_compile` XLA compiles the loop, once for
    the shape of the blocks and once for a last batch that is not full; otherwise one graph serves all batches.
    """

    def __init__(
        self,
        model: keras.Model,
        step: Callable[[Any], dict[str, Any]],
        layout: Layout,
        batch_size: int,
        kept: Kept,
        *,
        jit_compile: bool,
        even: bool,
        ends_on_nan: bool = False,
    ) -> None:
        self._model = model
        self._keras_step = step
        self._layout = layout
        self._batch_size = batch_size
        self._jit_compile = jit_compile
        self._even = even
        self._ends_on_nan = ends_on_nan
        self._kept = kept
        self._functions: dict[tuple[int, int], Function] = {}

    def run(self, block: Block, start: int, stop: int) -> int:
        """Run the steps `start` to `stop` of a block, counted from 0, and return how many were run.

        These are fewer only where a loss that is not finite is to end the loop: after one, and before a last batch that
        is a call of its own, so that the loss can be looked at.
        """
        whole = block.rows // self._batch_size if self._jit_compile else stop
        steps = self._call(block, self._batch_size, start, min(stop, whole) - start)
        if stop > whole and steps == whole - start and not (self._ends_on_nan and steps):
            steps += self._call(block, block.rows % self._batch_size, whole, 1)
        return steps

    def _call(self, block: Block, size: int, start: int, steps: int) -> int:
        if steps <= 0:
            return 0
        function = self._function(block, size)
        count, offset = (tf.constant(number, block.order.dtype) for number in (block.rows, start * self._batch_size))
        return int(function(*block.arrays, block.order, count, offset, tf.constant(steps))["steps"])

    def _function(self, block: Block, size: int) -> Function:
        """The compiled loop for batches of `size` rows; XLA needs it anew for each number of rows in memory."""
        key = (size, len(block.order) if self._jit_compile else 0)
        if key not in self._functions:
            self._functions[key] = self._kept.function(
                f"{self._keras_step.__name__} {size} {self._even} {self._ends_on_nan} {self._layout}",
                lambda *given: self._trace(self._step_of(block), size, given),
                self._signature(block),
                self._jit_compile,
            )
        return self._functions[key]

    def _signature(self, block: Block) -> list[Any]:
        def spec(tensor: Any) -> Any:
            return tf.TensorSpec((tensor.shape[0] if self._jit_compile else None, *tensor.shape[1:]), tensor.dtype)

        number = tf.TensorSpec((), block.order.dtype)
        return [*map(spec, (*block.arrays, block.order)), number, number, tf.TensorSpec((), tf.int32)]

    def _step_of(self, block: Block) -> Callable[..., Any]:
        return self._plain_step if self._jit_compile else self._step_as_in_fit(block)

    def _plain_step(self, *batch: Any) -> Any:
        """Do a step, and return the loss so far."""
        return self._keras_step(self._layout.pack(batch))["loss"]

    def _step_as_in_fit(self, block: Block) -> Callable[..., Any]:
        """A plain step in a graph of its own, which TensorFlow optimizes as it does that of `fit`.

        Its optimizer reorders sums and products, and joins operations, going by the order of their names, by what it
        knows of their shapes, and by whether they are inside a loop. As a function that is not inlined, whose arrays
        have the length of a full batch or each one of its own, and whose variables have known shapes, the step comes to
        the bits of `fit`.
        """

        def step(*batch: Any) -> Any:
            loss = self._plain_step(*(_of_length(length, array) for array in batch))
            self._declare_shapes(tf.compat.v1.get_default_graph())
            return loss

        length = self._batch_size if self._even else None
        specs = [tf.TensorSpec((length, *array.shape[1:]), array.dtype) for array in block.arrays]
        function = tf.function(step, autograph=False, experimental_attributes={"_noinline": True})
        graph = function.get_concrete_function(*specs)

        def call(*batch: Any) -> Any:
            # Called in the usual way, a function within a function is not optimized by itself.
            given = [*batch, *graph.captured_inputs]
            return tf.raw_ops.StatefulPartitionedCall(args=given, Tout=[graph.output_dtypes], f=graph)[0]

        return call

    def _declare_shapes(self, graph: Any) -> None:
        """Write the shapes of variables on a function's arguments, as TensorFlow does for one that Python calls."""
        model = self._model
        owned = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
        variables = {id(one.value.handle): one.value for one in owned}
        for given, argument in graph.captures:
            if id(given) in variables:
                variable = variables[id(given)]
                shape, dtype = variable.shape.as_proto(), variable.dtype.as_datatype_enum
                argument.op._set_attr("_handle_shapes", _attribute(shape=[shape]))
                argument.op._set_attr("_handle_dtypes", _attribute(type=[dtype]))

    def _trace(self, step: Callable[..., Any], size: int, given: Sequence[Any]) -> dict[str, Any]:
        *arrays, order, count, offset, steps = given
        width = tf.constant(size, order.dtype)

        def goes_on(done: Any, loss: Any) -> Any:
            return tf.logical_and(done < steps, tf.math.is_finite(loss)) if self._ends_on_nan else done < steps

        def body(done: Any, _: Any) -> tuple[Any, Any]:
            first = offset + tf.cast(done, order.dtype) * width
            rows = self._rows_of_step(order, first, width, size, count)
            # An output that nobody takes would have TensorFlow make another function, without what is declared.
            return done + 1, step(*[tf.gather(array, rows) for array in arrays])

        before = tf.zeros((), keras.config.floatx())
        done, _ = tf.while_loop(goes_on, body, (tf.constant(0), before), parallel_iterations=1)
        return {"steps": done}

    def _rows_of_step(self, order: Any, first: Any, width: Any, size: int, count: Any) -> Any:
        if self._jit_compile:
            # Of a slice, XLA takes the beginning for a constant, and compiles the loop anew for each.
            return tf.gather(order, first + tf.range(size, dtype=order.dtype))
        return order[first : tf.minimum(first + width, count)]


def _of_length(length: int | None, batch: Any) -> Any:
    """The same array, with the first name in the order; a length that is None is a size of its own to the optimizer."""
    return tf.raw_ops.PlaceholderWithDefault(input=batch, shape=(length, *batch.shape[1:]), name="A")


def _attribute(**lists: Any) -> Any:
    return tf.compat.v1.AttrValue(list=tf.compat.v1.AttrValue.ListValue(**lists))
