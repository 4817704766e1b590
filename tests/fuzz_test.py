"""Random requests: the server answers or returns an error, and never crashes.

`make fuzz` runs this for any time; the suite for some seconds, with the same
requests every time.
"""

import json
import math
import os

import grpc
import numpy as np
from absl.testing import absltest
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import predict_pb2

from tests import running_server

_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
_fuzzed = settings(
  max_examples=_EXAMPLES or 150,
  derandomize=not _EXAMPLES,
  database=None,
  deadline=None,
  suppress_health_check=list(HealthCheck),
)
# Codes of answers, and of errors of the caller.
_CODES = {
  grpc.StatusCode.OK,
  grpc.StatusCode.INVALID_ARGUMENT,
  grpc.StatusCode.NOT_FOUND,
  grpc.StatusCode.FAILED_PRECONDITION,
  grpc.StatusCode.OUT_OF_RANGE,
  grpc.StatusCode.UNIMPLEMENTED,
}
_STATUSES = {200, 400, 404, 405, 501}
# Without `spin` and `hold`, which may run for ever.
_SIGNATURES = ["", "add", "any_length", "echo", "picture", "total", "none", "é"]
_INPUTS = ["x", "a", "b", "text", "row", "y", ""]

_numbers = st.one_of(
  st.integers(),
  st.floats(),
  st.sampled_from([math.nan, math.inf, -1, 0, 2**31, 2**63 - 1, -(2**63)]),
)
_sizes = st.integers(-2, 4) | st.sampled_from([2**31, 2**40, 2**62])


@st.composite
def _tensors(draw):
  """Generates a TensorProto, some of whose fields are consistent."""
  proto = tensor_pb2.TensorProto(dtype=draw(st.integers(0, 30)))
  for size in draw(st.lists(_sizes, max_size=3)):
    proto.tensor_shape.dim.add(size=size)
  proto.tensor_shape.unknown_rank = draw(st.booleans()) and draw(st.booleans())
  if draw(st.booleans()):
    proto.tensor_content = draw(st.binary(max_size=32))
  proto.float_val.extend(draw(st.lists(st.floats(width=32), max_size=4)))
  proto.int64_val.extend(
    draw(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4))
  )
  proto.string_val.extend(draw(st.lists(st.binary(max_size=8), max_size=3)))
  return proto


@st.composite
def _requests(draw):
  request = predict_pb2.PredictRequest()
  request.model_spec.name = draw(
    st.sampled_from(["demo", "demo", "", "x/../y"])
  )
  request.model_spec.signature_name = draw(st.sampled_from(_SIGNATURES))
  if draw(st.booleans()):
    request.model_spec.version.value = draw(st.sampled_from([10, 2, -1]))
  for name, proto in draw(
    st.dictionaries(st.sampled_from(_INPUTS), _tensors(), max_size=3)
  ).items():
    request.inputs[name].CopyFrom(proto)
  request.output_filter.extend(
    draw(st.lists(st.sampled_from(_INPUTS), max_size=2))
  )
  return request


def _serialize(request):
  return request.SerializeToString()


_json = st.recursive(
  st.none() | st.booleans() | _numbers | st.text(max_size=8),
  lambda inner: (
    st.lists(inner, max_size=4)
    | st.dictionaries(
      st.sampled_from([*_INPUTS, "b64", "instances"]), inner, max_size=3
    )
  ),
  max_leaves=12,
)


class FuzzTest(running_server.TestCase, absltest.TestCase):
  def tearDown(self):
    """Checks that the server still answers."""
    x = np.ones([1, 2], np.float32)
    self.assertIn("y", self.running.predict(x=x).outputs)
    super().tearDown()

  def _code(self, data):
    """Sends bytes; returns the code and the text of the answer."""
    call = self.running.channel.unary_unary(
      "/tensorflow.serving.PredictionService/Predict"
    )
    try:
      call(data, timeout=running_server.PATIENCE)
    except grpc.RpcError as error:
      return error.code(), error.details()
    return grpc.StatusCode.OK, ""

  def _assert_answered(self, data):
    code, text = self._code(data)
    self.assertIn(code, _CODES, text)
    if code != grpc.StatusCode.OK:
      self.assertNotEmpty(text)
      self.assertNotIn("Traceback", text)

  @_fuzzed
  @given(st.binary(max_size=200) | _requests().map(_serialize))
  def test_any_request(self, data):
    self._assert_answered(data)

  @_fuzzed
  @given(_requests(), st.data())
  def test_damaged_requests(self, request, data):
    sent = bytearray(request.SerializeToString())
    for place in data.draw(st.lists(st.integers(0, len(sent) - 1), max_size=4)):
      sent[place] = data.draw(st.integers(0, 255))
    self._assert_answered(bytes(sent))

  @_fuzzed
  @given(
    st.builds(
      lambda key, value, signature: json.dumps(
        {key: value, "signature_name": signature}, ensure_ascii=False
      ).encode(),
      st.sampled_from(["instances", "inputs", "signature_name", ""]),
      _json,
      st.sampled_from(_SIGNATURES),
    )
    | st.binary(max_size=100)
    | st.text(max_size=100).map(str.encode)
  )
  def test_any_body(self, body):
    status, _, answer = self.running.http("/v1/models/demo:predict", body)
    self.assertIn(status, _STATUSES, answer)
    if status != 200:
      said = json.loads(answer)["error"]
      self.assertNotEmpty(said)
      self.assertNotIn("Traceback", said)

  @_fuzzed
  @given(
    st.text(
      st.characters(min_codepoint=33, max_codepoint=126), max_size=40
    ).filter(lambda path: "#" not in path and "?" not in path)
  )
  def test_any_path(self, path):
    status, _, answer = self.running.http(f"/v1/models/{path}")
    self.assertIn(status, _STATUSES, answer)
