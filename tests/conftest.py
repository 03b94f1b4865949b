"""What holds for all tests: TensorFlow has one thread, as results are compared to the bit, and others run beside.

An example that hypothesis draws may take as long as it takes: nothing depends on the machine's speed. The examples are
the same in each run, so that a change is judged by what it changes; `make explore` draws others, and more of them.
"""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

#: Sums of three or more gradients add up in the order in which threads come, in Keras's `fit` too.
ONE_THREAD = {"TF_NUM_INTEROP_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}

#: These take minutes each, and begin first, so that no worker is left alone with one of them at the end.
LONGEST = ("training/test_parity.py", "end_to_end/test_chaos.py")

os.environ.update(ONE_THREAD)
settings.register_profile("same", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.register_profile("explore", settings.get_profile("same"), derandomize=False, max_examples=1000)
settings.load_profile("same")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first; workers take one file after the other."""
    home = Path(__file__).parent
    items.sort(key=lambda item: item.path.relative_to(home).as_posix() not in LONGEST)
