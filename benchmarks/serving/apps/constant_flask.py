"""A constant from an empty Flask view."""

from flask import Flask, Response

from benchmarks.serving.apps.network import constant

ANSWER = constant()
app = Flask(__name__)


@app.post("/predict")
def predict() -> Response:
    return Response(ANSWER, content_type="application/json")
