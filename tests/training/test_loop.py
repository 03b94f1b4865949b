"""Many steps in one call are those steps, from where they begin to where they end."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.training import engine
from service.training.kept import Kept
from service.training.loop import Loop
from service.training.rows import Memory, Rows, epoch_order, stored_order
from tests.training.trainings import Case, case, make, split

DENSE = {"type": "Dense", "units": 4, "activation": "tanh"}


class Looped:
    """A loop over the rows of a case, and its model."""

    def __init__(self, one: Case, *, jit_compile: bool = False, ends_on_nan: bool = False) -> None:
        self.model = make(one)
        self.rows: Rows = split(one, one.fitting)[0]
        size = one.fitting.batch_size
        engine.prepare(self.model, self.rows, size)
        self.loop = Loop(
            self.model,
            self.model.train_step,
            self.rows.layout,
            size,
            Kept(Path("nowhere"), self.model, {}),
            jit_compile=jit_compile,
            even=len(self.rows) % size == 0,
            ends_on_nan=ends_on_nan,
        )
        self.memory = Memory(self.rows)

    def run(self, start: int, stop: int, order: Any = None) -> int:
        block = self.memory.block(stored_order(len(self.rows)) if order is None else order, 0)
        return self.loop.run(block, start, stop)

    @property
    def iterations(self) -> int:
        return int(self.model.optimizer.iterations)

    @property
    def weights(self) -> list[Any]:
        return [weight.numpy() for weight in self.model.weights]


def same(one: list[Any], other: list[Any]) -> bool:
    return all(np.array_equal(mine, its) for mine, its in zip(one, other, strict=True))


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "XLA"])
@pytest.mark.parametrize("batch_size", [4, 5], ids=["last batch not full", "full batches"])
def test_a_call_runs_the_steps_it_is_asked_for(jit_compile: bool, batch_size: int) -> None:
    """One call or several: the same steps, none twice and none left out, a last batch that is not full among them."""
    one = case((3,), DENSE, batch_size=batch_size, optimizer="adam")
    steps = -(-10 // batch_size)
    whole, parts = Looped(one, jit_compile=jit_compile), Looped(one, jit_compile=jit_compile)
    assert whole.run(0, steps) == whole.iterations == steps
    assert [parts.run(step, step + 1) for step in range(steps)] == [1] * steps
    assert same(whole.weights, parts.weights)
    assert whole.run(steps, steps) == 0


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "XLA"])
def test_a_step_has_the_rows_of_its_place_in_the_order(jit_compile: bool) -> None:
    """The order says which, and the number of the step where."""
    one = case((3,), DENSE)
    order = epoch_order(3, 0, 10)
    looped = Looped(one, jit_compile=jit_compile)
    looped.run(1, 2, order)
    by_hand = make(one)
    wanted = order[4:8]
    by_hand.train_on_batch(one.x[0][wanted], one.y[0][wanted])
    for own, other in zip(looped.weights, by_hand.weights, strict=True):
        assert own == pytest.approx(other.numpy(), rel=1e-6)


def test_a_loss_that_is_not_finite_ends_the_loop_where_that_is_asked_for() -> None:
    """After the step that came to it, which is counted."""
    y = np.ones((10, 1), "float32")
    y[5] = np.inf
    one = case((3,), DENSE, batch_size=2).but(y=(y,))
    assert Looped(one, ends_on_nan=True).run(0, 5) == 3
    assert Looped(one).run(0, 5) == 5


def test_a_loss_that_is_not_finite_also_keeps_the_last_batch_away() -> None:
    """With XLA the last batch is a call of its own, which is left to who has seen the loss."""
    y = np.ones((10, 1), "float32")
    y[5] = np.inf
    one = case((3,), DENSE).but(y=(y,))
    looped = Looped(one, jit_compile=True, ends_on_nan=True)
    assert looped.run(0, 3) == 2
    assert looped.iterations == 2
    # Of a loss that is finite, it is the next call.
    good = Looped(case((3,), DENSE), jit_compile=True, ends_on_nan=True)
    assert [good.run(0, 3), good.run(2, 3)] == [2, 1]
    assert good.iterations == 3
