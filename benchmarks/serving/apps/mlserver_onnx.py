"""MLServer's runtime of an ONNX file; MLServer brings none of its own."""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.serving.apps.network import load


class OnnxNetwork(MLModel):
    async def load(self) -> bool:
        self.run = load()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0])
        output = NumpyCodec.encode_output(name="predictions", payload=self.run(rows))
        return InferenceResponse(model_name=self.name, id=payload.id, outputs=[output])
