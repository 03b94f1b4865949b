"""The signature's JSON form."""

import json

from service.inference.signature import Signature, TensorSpec


def test_a_signature_survives_json() -> None:
    """Writing and reading gives an equal value, unfixed sizes included."""
    signature = Signature(
        inputs=(TensorSpec(name="x", shape=(None, 3), dtype="int32"), TensorSpec(name="z", shape=(), dtype="float32")),
        outputs=(TensorSpec(name="y", shape=(1,), dtype="float32"),),
    )
    assert Signature.from_json(json.loads(json.dumps(signature.to_json()))) == signature
