"""Tests of the HTTP port, over a real socket."""

import gc
import gzip
import http.client
import json
import socket
import threading
from unittest import mock

import grpc
import numpy as np
from absl.testing import parameterized

from serving.server import errors
from serving.server import json_process
from serving.server import rest
from tests import running_server

_PREDICT = "/v1/models/demo:predict"
_HEADERS = "Host: localhost", "Connection: close"

# Path, body, status, and how the text of the error begins. manager_test and
# json_inputs_test have more texts.
_ERRORS = {
  "no inputs": (
    _PREDICT,
    {"signature_name": "__saved_model_init_op", "inputs": {}},
    400,
    "Failed to get input map for signature: __saved_model_init_op",
  ),
  "unknown model": (
    "/v1/models/other:predict",
    {"instances": [1.0]},
    404,
    "Servable not found for request: Latest(other)",
  ),
  "no number": (
    f"/v1/models/demo/versions/{'9' * 30}:predict",
    {"instances": [1.0]},
    400,
    f"Failed to convert version: {'9' * 30} to numeric.",
  ),
  "a number that Python does not read": (
    f"/v1/models/demo/versions/{'9' * 7000}:predict",
    {"instances": [1.0]},
    400,
    "Failed to convert version: 9999",
  ),
  "classify": ("/v1/models/demo:classify", {}, 501, "This server has no class"),
  "regress": ("/v1/models/demo:regress", {}, 501, "This server has no regress"),
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
  "malformed": ("/v1/model", None, 400, "Malformed request: GET /v1/model"),
  "elsewhere": ("/v2/models", None, 404, "Nothing is at /v2/models"),
}


def _serving_errors():
  objects = gc.get_objects()
  return [one for one in objects if isinstance(one, errors.ServingError)]


class RestTest(running_server.TestCase, parameterized.TestCase):
  def _predict(self, body, path=_PREDICT):
    status, answer = self.running.json(path, body)
    self.assertEqual(status, 200, answer)
    return answer

  @parameterized.parameters(
    (
      {
        "signature_name": "add",
        "instances": [{"a": 5, "b": 2}, {"b": 1, "a": 7}],
      },
      [{"sum": 7, "difference": 3}, {"sum": 8, "difference": 6}],
    ),
    (
      {"signature_name": "add", "inputs": {"a": [5, 2**62], "b": [2, 1]}},
      {"sum": [7, 2**62 + 1], "difference": [3, 2**62 - 1]},
    ),
    (
      {"signature_name": "echo", "instances": ["ünï", {"b64": "YWIA"}]},
      [{"text": "ünï", "length": 5}, {"text": "ab\0", "length": 3}],
    ),
  )
  def test_predict(self, body, expected):
    key = "predictions" if "instances" in body else "outputs"
    self.assertEqual(self._predict(body), {key: expected})

  def test_paths(self):
    # Any case, and percent-encoded names.
    for path in ("/v1/models/demo/versions/10", "/V1/Models/d%65mo"):
      answer = self._predict({"inputs": [[1.0, 2.0]]}, f"{path}:predict")
      self.assertEqual(answer, {"outputs": [[2.0, 4.0]]})

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

  def _raw(self, *lines):
    """Sends raw lines of HTTP; returns the answer's head."""
    address = "localhost", self.running.server.rest_port
    with socket.create_connection(address) as connection:
      connection.sendall("\r\n".join([*lines, "", ""]).encode())
      answer = b""
      while b"\r\n\r\n" not in answer and (part := connection.recv(4096)):
        answer += part
      return answer.decode()

  def test_headers_name_no_versions(self):
    for lines in (["GET /x HTTP/1.1", *_HEADERS], ["no HTTP"]):
      answer = self._raw(*lines)
      self.assertIn("Server: lc_keras\r\n", answer)
      self.assertNotRegex(answer, "(?i)python|aiohttp")

  def test_errors_have_the_content_type_of_tensorflow_serving(self):
    _, headers, _ = self.running.http(_PREDICT, b"{")
    self.assertEqual(headers["Content-Type"], "application/json")

  def test_no_path_passes_by_the_tokens(self):
    path = self.create_tempfile(content="secret").full_path
    with self.serving(bearer_token_file=path) as running:
      for path in ("/v1/models/demo", "/%0d%0aSet-Cookie:x", "/a%0ab", "/x"):
        status, answer = running.json(path)
        self.assertEqual(status, 401, path)
        self.assertIn("Bearer", answer["error"])

  def test_bodies_that_are_too_large(self):
    self.enter_context(mock.patch.object(rest, "_LARGEST_BODY", 1 << 20))
    for size, sent in ((1 << 20, 400), ((1 << 20) + 1, 413)):
      status, answer = self.running.json(
        _PREDICT,
        gzip.compress(bytes(size)),
        headers={"Content-Encoding": "gzip"},
      )
      self.assertEqual(status, sent, answer)
    self.assertStartsWith(answer["error"], "A body may have 1 MiB, also once")
    # Before the body is sent.
    announced = f"Content-Length: {(1 << 20) + 1}"
    answer = self._raw(f"POST {_PREDICT} HTTP/1.1", announced, *_HEADERS)
    self.assertStartsWith(answer, "HTTP/1.1 413")

  def test_large_bodies(self):
    x = np.random.default_rng(0).integers(100, size=500).tolist()
    sent = json.dumps({"inputs": x}).encode() + b" " * json_process.LARGE
    for body, headers in (
      (sent, {}),
      (gzip.compress(sent), {"Content-Encoding": "gzip"}),
    ):
      status, answer = self.running.json(_PREDICT, body, headers=headers)
      self.assertEqual(status, 200, answer)
      self.assertEqual(answer["outputs"], [2.0 * value for value in x])

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
    self.assertEqual(
      signatures["serving_default"]["inputs"]["x"],
      {
        "dtype": "DT_FLOAT",
        "tensor_shape": {
          "dim": [{"size": "-1", "name": ""}, {"size": "2", "name": ""}],
          "unknown_rank": False,
        },
        "name": "serving_default_x:0",
      },
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

  def test_large_answers_and_small_ones_are_alike(self):
    body = {"inputs": list(range(1000))}
    _, headers, expected = self.running.http(_PREDICT, body)
    self.enter_context(mock.patch.object(json_process, "LARGE", 0))
    status, got, answer = self.running.http(_PREDICT, body)
    self.assertEqual((status, answer), (200, expected))
    for of_one in (got, headers):  # They may be of two seconds.
      del of_one["Date"]
    self.assertEqual(got.items(), headers.items())
    _, got, answer = self.running.http(
      _PREDICT, body, {"Accept-Encoding": "gzip"}
    )
    self.assertEqual(got["Content-Type"], headers["Content-Type"])
    self.assertEqual(int(got["Content-Length"]), len(answer))
    self.assertEqual(gzip.decompress(answer), expected)

  def test_errors_hold_no_bodies(self):
    gc.collect()
    gc.disable()  # It would free them later.
    self.addCleanup(gc.enable)
    before = set(map(id, _serving_errors()))  # Left by other tests.
    self.assertEqual(self.running.json(_PREDICT, b"{")[0], 400)
    with self.assertRaises(grpc.RpcError):
      self.running.predict("add", a=np.array([1.0]))
    for _ in running_server.attempts():  # The threads that have answered.
      if before.issuperset(map(id, _serving_errors())):
        break

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
    # One thread: if it becomes free again, the endless loop has ended.
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
    for _ in running_server.attempts():  # Until the server notices.
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
