"""Tests of the HTTP port, over a real socket."""

import base64
import gzip
import http.client
import json
import threading

import numpy as np
from absl.testing import absltest
from absl.testing import parameterized

from tests import running_server
from tests import serving_models

_PREDICT = "/v1/models/demo:predict"
_NAN = b'{"instances": [[NaN, Infinity], [-Infinity, 1]]}'

# Path, body, status, and the text of the error or its beginning.
_ERRORS = {
  "no json": (_PREDICT, b"{", 400, "JSON Parse error: "),
  "no body": (_PREDICT, b"", 400, "JSON Parse error: The document is empty"),
  "no object": (_PREDICT, b"[1]", 400, "JSON Value: [\n    1\n] Is not object"),
  "too deep": (_PREDICT, b"[" * 10**5, 400, "JSON Parse error: "),
  "no inputs": (_PREDICT, {}, 400, "Missing 'inputs' or 'instances' key"),
  "both forms": (
    _PREDICT,
    {"inputs": [], "instances": []},
    400,
    'JSON Value: {\n    "inputs": [],\n    "instances": []\n} Not formatted '
    "correctly "
    "expecting only one of 'inputs' or 'instances' keys to exist",
  ),
  "no list": (
    _PREDICT,
    {"instances": 1},
    400,
    'JSON Value: {\n    "instances": 1\n} Excepting '
    "'instances' to be an list/array",
  ),
  "no rows": (
    _PREDICT,
    {"instances": []},
    400,
    "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array",
  ),
  "wrong type": (
    _PREDICT,
    {"instances": [[1.0, "x"]]},
    400,
    "Failed to process element: 0 of 'instances' list. Error: "
    'INVALID_ARGUMENT: JSON Value: "x" Type: String is not of expected type: '
    "float",
  ),
  "rows that differ": (
    _PREDICT,
    {"instances": [[1.0, 2.0], [3.0]]},
    400,
    "Failed to process element: 1 of 'instances' list. Error: "
    "INVALID_ARGUMENT: Expecting tensor size: 2 but got: 1",
  ),
  "graph's own error": (
    _PREDICT,
    {"signature_name": "add", "inputs": {"a": [-1], "b": [1]}},
    400,
    "assertion failed: [a must not be negative]",
  ),
  "plain list for two inputs": (
    _PREDICT,
    {"signature_name": "add", "instances": [1, 2]},
    400,
    "instances is a plain list, but expecting list of objects as multiple "
    "input tensors required as per tensorinfo_map",
  ),
  "plain column for two inputs": (
    _PREDICT,
    {"signature_name": "add", "inputs": [1, 2]},
    400,
    "inputs is a plain value/list, but expecting an object as multiple input "
    "tensors required as per tensorinfo_map",
  ),
  "missing column": (
    _PREDICT,
    {"signature_name": "add", "inputs": {"a": [1]}},
    400,
    "Missing named input: b in 'inputs' object.",
  ),
  "missing in a row": (
    _PREDICT,
    {"signature_name": "add", "instances": [{"a": 1}]},
    400,
    "Failed to process element: 0 of 'instances' list. JSON object: "
    '{\n    "a": 1\n} keys must be equal to: a,b',
  ),
  "too much in a row": (
    _PREDICT,
    {"signature_name": "add", "instances": [{"a": 1, "b": 2, "c": 3}]},
    400,
    "Failed to process element: 0 key: c of 'instances' list. Error: "
    "INVALID_ARGUMENT: JSON object: does not have named input: c",
  ),
  "unknown signature": (
    _PREDICT,
    {"signature_name": "halve", "instances": [1]},
    400,
    'Serving signature name: "halve" not found in signature def',
  ),
  "no name of a signature": (
    _PREDICT,
    {"signature_name": 100},
    400,
    'JSON Value: {\n    "signature_name": 100\n} not formatted correctly. '
    "'signature_name' key must be a string value.",
  ),
  "half floats": (
    _PREDICT,
    {"signature_name": "picture", "inputs": [1]},
    400,
    "Failed to write JSON value for tensor type: half",
  ),
  "unknown model": (
    "/v1/models/other:predict",
    {"instances": [1.0]},
    404,
    "Servable not found for request: Latest(other)",
  ),
  "unknown version": (
    "/v1/models/demo/versions/99:predict",
    {"instances": [1.0]},
    404,
    "Servable not found for request: Specific(demo, 99)",
  ),
  "unknown label": (
    "/v1/models/demo/labels/canary:predict",
    {"instances": [1.0]},
    400,
    "Unrecognized servable version label: canary",
  ),
  "no number": (
    f"/v1/models/demo/versions/{'9' * 30}:predict",
    {"instances": [1.0]},
    400,
    f"Failed to convert version: {'9' * 30} to numeric.",
  ),
  "unknown method": (
    "/v1/models/demo:guess",
    {},
    400,
    "Malformed request: POST /v1/models/demo:guess",
  ),
  "status of nobody": (
    "/v1/models",
    None,
    400,
    "Missing model name in request.",
  ),
  "status of an unknown model": (
    "/v1/models/other",
    None,
    404,
    "Could not find any versions of model other",
  ),
  "status of an unknown version": (
    "/v1/models/demo/versions/99",
    None,
    404,
    "Could not find version 99 of model demo",
  ),
  "metadata of an unknown model": (
    "/v1/models/other/metadata",
    None,
    404,
    "Servable not found for request: Latest(other)",
  ),
  "malformed": ("/v1/model", None, 400, "Malformed request: GET /v1/model"),
  "elsewhere": ("/v2/models", None, 404, "Nothing is at /v2/models"),
}


class RestTest(running_server.TestCase, parameterized.TestCase):
  def _predict(self, body, path=_PREDICT):
    status, answer = self.running.json(path, body)
    self.assertEqual(status, 200, answer)
    return answer

  def test_rows(self):
    answer = self._predict({"instances": [[1.0, 2.0], [3, 4.5]]})
    self.assertEqual(answer, {"predictions": [[2.0, 4.0], [6.0, 9.0]]})

  def test_columns(self):
    answer = self._predict({"inputs": [[1.0, 2.0]]})
    self.assertEqual(answer, {"outputs": [[2.0, 4.0]]})

  def test_one_named_input(self):
    self.assertEqual(
      self._predict({"instances": [{"x": [1.0, 2.0]}]}),
      {"predictions": [[2.0, 4.0]]},
    )
    self.assertEqual(
      self._predict({"inputs": {"x": [[1.0, 2.0]]}}), {"outputs": [[2.0, 4.0]]}
    )

  def test_several_inputs_and_outputs(self):
    answer = self._predict(
      {
        "signature_name": "add",
        "instances": [{"a": 5, "b": 2}, {"b": 1, "a": 7}],
      }
    )
    self.assertEqual(
      answer,
      {
        "predictions": [
          {"sum": 7, "difference": 3},
          {"sum": 8, "difference": 6},
        ]
      },
    )
    answer = self._predict(
      {"signature_name": "add", "inputs": {"a": [5, 2**62], "b": [2, 1]}}
    )
    self.assertEqual(
      answer,
      {"outputs": {"sum": [7, 2**62 + 1], "difference": [3, 2**62 - 1]}},
    )

  def test_text_and_bytes(self):
    raw = base64.b64encode(b"ab\x00").decode()
    answer = self._predict(
      {"signature_name": "echo", "instances": ["ünï", {"b64": raw}]}
    )
    self.assertEqual(
      answer["predictions"],
      [{"text": "ünï", "length": 5}, {"text": "ab\0", "length": 3}],
    )

  def test_versions_and_labels_in_the_path(self):
    answer = self._predict(
      {"inputs": [[1.0, 2.0]]}, "/v1/models/demo/versions/10:predict"
    )
    self.assertEqual(answer, {"outputs": [[2.0, 4.0]]})
    # Letters of any size, and names as URLs write them.
    self._predict({"inputs": [[1.0, 2.0]]}, "/V1/Models/d%65mo:predict")

  def test_numbers_that_are_none(self):
    status, _, answer = self.running.http(_PREDICT, _NAN)
    self.assertEqual(status, 200)
    (a, b), (c, d) = json.loads(answer)["predictions"]
    self.assertTrue(np.isnan(a))
    self.assertEqual((b, c, d), (np.inf, -np.inf, 2.0))
    self.assertIn(b"[NaN, Infinity]", answer)

  def test_floats_read_back_equal(self):
    random = np.random.default_rng(0)
    x = random.normal(size=[50, 2]).astype(np.float32)
    x *= 10.0 ** random.integers(-30, 30, x.shape)
    answer = self._predict({"inputs": x.tolist()})
    np.testing.assert_array_equal(
      np.array(answer["outputs"], np.float32), (2 * x).astype(np.float32)
    )

  def test_large_bodies(self):
    x = np.ones([50_000, 2])
    answer = self._predict({"instances": x.tolist()})
    np.testing.assert_array_equal(answer["predictions"], 2 * x)

  @parameterized.named_parameters(
    (key.replace(" ", "_").replace("'", ""), *case)
    for key, case in _ERRORS.items()
  )
  def test_refuses(self, path, body, status, text):
    got, answer = self.running.json(path, body)
    self.assertEqual(got, status, answer)
    self.assertEqual(list(answer), ["error"])
    self.assertStartsWith(answer["error"], text)
    self.assertNotEmpty(answer["error"])

  def test_other_methods(self):
    status, answer = self.running.json(_PREDICT, b"{}", method="PUT")
    self.assertEqual(status, 400)
    self.assertEqual(
      answer, {"error": "Malformed request: PUT /v1/models/demo:predict"}
    )

  def test_status(self):
    for path in ("/v1/models/demo", "/v1/models/demo/versions/10"):
      status, answer = self.running.json(path)
      self.assertEqual(status, 200)
      self.assertEqual(
        answer,
        {
          "model_version_status": [
            {
              "version": "10",
              "state": "AVAILABLE",
              "status": {"error_code": "OK", "error_message": ""},
            }
          ]
        },
      )

  def test_metadata(self):
    status, answer = self.running.json("/v1/models/demo/metadata")
    self.assertEqual(status, 200)
    self.assertEqual(
      answer["model_spec"],
      {"name": "demo", "signature_name": "", "version": "10"},
    )
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    self.assertEqual(signatures["add"]["inputs"]["a"]["dtype"], "DT_INT64")
    self.assertEqual(
      [
        dim["size"]
        for dim in signatures["serving_default"]["inputs"]["x"]["tensor_shape"][
          "dim"
        ]
      ],
      ["-1", "2"],
    )

  def test_gzip_both_ways(self):
    body = gzip.compress(json.dumps({"inputs": [[1.0, 2.0]] * 500}).encode())
    headers = {"Content-Encoding": "gzip", "Accept-Encoding": "gzip"}
    status, got, answer = self.running.http(_PREDICT, body, headers)
    self.assertEqual(status, 200)
    self.assertEqual(got["Content-Encoding"], "gzip")
    self.assertLen(json.loads(gzip.decompress(answer))["outputs"], 500)
    status, _, answer = self.running.http(_PREDICT, b"no gzip", headers)
    self.assertEqual(status, 400)
    self.assertIn("error", json.loads(answer))

  def test_pages_of_other_servers(self):
    _, headers, _ = self.running.http("/v1/models/demo")
    self.assertIsNone(headers["Access-Control-Allow-Origin"])
    with self.serving(rest_api_enable_cors_support=True) as running:
      status, headers, _ = running.http(_PREDICT, method="OPTIONS")
      self.assertEqual(status, 200)
      self.assertIn("POST", headers["Access-Control-Allow-Methods"])
      _, headers, _ = running.http("/v1/models/demo")
      self.assertEqual(headers["Access-Control-Allow-Origin"], "*")

  def test_a_call_that_takes_too_long_stops(self):
    # One thread: that it comes free again shows that the endless loop ended.
    with self.serving(
      rest_api_timeout_in_ms=300, rest_api_num_threads=1
    ) as running:
      body = {"signature_name": "spin", "instances": [1]}
      status, answer = running.json(_PREDICT, body)
      self.assertEqual(status, 504)
      self.assertIn("0.3 seconds", answer["error"])
      for _ in running_server.attempts():
        status, _ = running.json(_PREDICT, {"inputs": [[1.0, 2.0]]})
        if status == 200:
          return

  def test_a_caller_that_goes_away_stops_its_call(self):
    with self.serving(rest_api_num_threads=1) as running:
      address = "localhost", running.server.rest_port
      connection = http.client.HTTPConnection(*address)
      before = running_server.aside(running, "ticks")["ticks"][0]
      body = json.dumps({"signature_name": "spin", "instances": [1]})
      connection.request("POST", _PREDICT, body)
      for _ in running_server.attempts():
        if running_server.aside(running, "ticks")["ticks"][0] > before:
          break
      connection.close()
      status, _ = running.json(_PREDICT, {"inputs": [[1.0, 2.0]]})
      self.assertEqual(status, 200)

  def test_more_calls_than_threads_wait(self):
    with self.serving(rest_api_num_threads=1) as running:
      statuses = []

      def call():
        status, _ = running.json(_PREDICT, {"inputs": [[1.0, 2.0]]})
        statuses.append(status)

      threads = [threading.Thread(target=call) for _ in range(12)]
      for thread in threads:
        thread.start()
      for thread in threads:
        thread.join()
      self.assertEqual(statuses, [200] * 12)

  def test_stopping_lets_what_waits_finish(self):
    running = self.start(rest_api_num_threads=1, rest_api_timeout_in_ms=0)
    statuses = []

    def call():
      body = {"signature_name": "spin", "instances": [1]}
      status, _ = running.json(_PREDICT, body)
      statuses.append(status)

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
      thread.start()
    for _ in running_server.attempts():
      if running.server._rest_calls.running == 3:
        break
    stopping = threading.Thread(
      target=running.stop, args=[running_server.PATIENCE]
    )
    stopping.start()
    for _ in running_server.attempts():  # Until the server has heard of it.
      if running.json("/health/ready")[0] == 503:
        break
    self.assertEmpty(statuses)
    running_server.aside(running, "stop")
    for thread in (*threads, stopping):
      thread.join()
    self.assertEqual(statuses, [200] * 3)

  def test_liveness_and_readiness(self):
    self.assertEqual(self.running.json("/health/live"), (200, {"live": True}))
    self.assertEqual(self.running.json("/health/ready"), (200, {"ready": True}))
    empty = self.create_tempdir().full_path
    with self.serving(model_base_path=empty) as running:
      self.assertEqual(running.json("/health/live"), (200, {"live": True}))
      self.assertEqual(running.json("/health/ready"), (503, {"ready": False}))

  def test_a_taken_port(self):
    with self.assertRaisesRegex(ValueError, "cannot be taken.*rest_api_port"):
      self.start(rest_api_port=self.running.server.rest_port)

  def test_no_port(self):
    with self.serving(rest_api_port=0) as running:
      self.assertIsNone(running.server.rest_port)

  def test_a_saved_model_of_tf1(self):
    # As TensorFlow Serving's own test of its model half_plus_two.
    folder = self.create_tempdir().full_path
    serving_models.write_tf1(f"{folder}/123")
    with self.serving(model_name="default", model_base_path=folder) as running:
      path = "/v1/models/default:predict"
      for sent, got in (("instances", "predictions"), ("inputs", "outputs")):
        status, answer = running.json(path, {sent: [2.0, 3.0, 4.0]})
        self.assertEqual(status, 200)
        self.assertEqual(answer, {got: [3.0, 3.5, 4.0]})


if __name__ == "__main__":
  absltest.main()
