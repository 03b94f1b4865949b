"""How a library that trains in the caller's own process is timed."""

from collections.abc import Callable

from benchmarks.cases import Case
from benchmarks.clock import timed
from benchmarks.plan import Plan
from benchmarks.readings import Measurement, Quantity

#: Trains for a number of epochs, and returns the last one's loss.
Fit = Callable[[int], float]


def measure_fit(build: Callable[[], Fit], case: Case, plan: Plan) -> Measurement:
    """Time the building and first training of a network as cold, then trainings of the same network as warm.

    A step's time is a whole warm training's by the number of its steps.
    """

    def cold_run() -> tuple[Fit, float]:
        fit = build()
        return fit, fit(plan.epochs)

    cold, (fit, loss) = timed(cold_run)
    warm = [timed(lambda: fit(plan.warm_epochs))[0] for _ in range(plan.warm_fits)]
    steps = plan.warm_epochs * case.steps
    return Measurement(
        values={Quantity.COLD: [cold], Quantity.STEP: [seconds / steps for seconds in warm], Quantity.LOSS: [loss]}
    )
