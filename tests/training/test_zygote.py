"""The zygote can be forked from safely."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

SCRIPT = """
import pathlib, sys
from service.training.zygote import Zygote

folder = pathlib.Path(sys.argv[1])
zygote = Zygote()
zygote.warm_up()
child = zygote.start("service.training.zygote:report_threads", ())
print(child.connection.recv(), child.collect())
child = zygote.start("time:no_such_function", ())
print(child.collect() != 0)
zygote.keep_standby(1, folder, folder)
standby = zygote._standby.child
zygote.keep_standby(1, folder, folder)
print(zygote._standby.child is standby)
zygote.keep_standby(2, folder, folder)
print(standby.process.is_alive(), zygote._standby.child is standby)
zygote.end_standby()
print(zygote._standby)
"""


def test_the_zygote_has_one_thread(tmp_path: Path) -> None:
    """With all that it imports it has one thread; a child that fails says so; one child at most stands by.

    Beside the tests pandas is installed, which Keras would import, and that a library that starts a thread.
    """
    assert find_spec("pandas") is not None
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "standby")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.stdout.split() == ["1", "0", "True", "True", "False", "False", "None"], ended.stderr
