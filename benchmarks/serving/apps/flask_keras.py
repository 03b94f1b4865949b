"""Flask calling Keras, as tutorials do: the model is loaded in each worker, and a view calls it.

BENCH_CALL says how: `predict` is `model.predict(x)`, `call` is `model(x)`, which is quicker for few rows.
"""

import os
from typing import Any

import keras
import numpy as np
from flask import Flask, jsonify, request

app = Flask(__name__)
model = keras.models.load_model(os.environ["BENCH_KERAS"], compile=False)


@app.post("/predict")
def predict() -> Any:
    rows = np.array(request.get_json()["instances"], dtype=np.float32)
    answer = (
        model.predict(rows, verbose=0)
        if os.environ["BENCH_CALL"] == "predict"
        else keras.ops.convert_to_numpy(model(rows, training=False))
    )
    return jsonify(predictions=answer.tolist())
