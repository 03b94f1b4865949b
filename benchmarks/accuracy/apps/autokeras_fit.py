"""AutoKeras on a matrix: `autokeras_fit.py FOLDER CLASSES TRIALS SEED` reads rows.npz and writes answers.json there."""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import autokeras
import numpy as np


def main(folder: Path, classes: bool, trials: int, seed: int) -> None:
    """Search with AutoKeras's defaults, but for the number of trials."""
    with np.load(folder / "rows.npz") as rows:
        x, y, test_x = (np.array(rows[name]) for name in ("x", "y", "test_x"))
    made = autokeras.StructuredDataClassifier if classes else autokeras.StructuredDataRegressor
    model = made(max_trials=trials, directory=folder, seed=seed, overwrite=True)
    model.fit(x, y, verbose=0)
    answers = np.asarray(model.predict(test_x, verbose=0)).reshape(len(test_x))
    (folder / "answers.json").write_text(json.dumps(answers.tolist()), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] == "True", int(sys.argv[3]), int(sys.argv[4]))
