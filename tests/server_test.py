"""Tests of the server: what TensorFlow Serving answers, over a real socket."""

import contextlib
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import grpc
import numpy as np
import tensorflow as tf
from absl.testing import absltest
from absl.testing import parameterized
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import classification_pb2
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.apis import inference_pb2
from tensorflow_serving.apis import model_management_pb2
from tensorflow_serving.apis import model_pb2
from tensorflow_serving.apis import model_service_pb2_grpc
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc
from tensorflow_serving.apis import regression_pb2

from serving import errors
from serving import prediction_service
from serving import servables
from serving import server
from serving import tensors

# No call of these tests takes a second; a machine may.
_PATIENCE = 120.0
_AVAILABLE = get_model_status_pb2.ModelVersionStatus.AVAILABLE


def _write_model(folder):
  """Writes a SavedModel that doubles, adds, echoes, refuses and spins."""
  module = tf.Module()
  module.go = tf.Variable(True)
  module.ticks = tf.Variable(0, dtype=tf.int64)

  def double(x):
    return {"y": 2.0 * x}

  def add(a, b):
    positive = tf.debugging.Assert(
      tf.reduce_all(a >= 0), ["a must not be negative"]
    )
    with tf.control_dependencies([positive]):
      return {"sum": a + b, "difference": a - b}

  def echo(text):
    return {"text": text, "length": tf.strings.length(text)}

  def spin(row):
    """Runs until `stop` is called."""
    turns = tf.while_loop(
      lambda turns: module.go.read_value(),
      lambda turns: [turns + tf.ones_like(module.ticks.assign_add(1))],
      [tf.constant(0, tf.int64)],
    )
    return {"turns": row + turns[0]}

  def stop(row):
    with tf.control_dependencies([module.go.assign(False)]):
      return {"row": tf.identity(row)}

  def ticks(row):
    return {"ticks": module.ticks.read_value() + tf.zeros_like(row)}

  def signature(function, **inputs):
    specs = [tf.TensorSpec(*spec, name=name) for name, spec in inputs.items()]
    return tf.function(function, specs, autograph=False)

  rows = ([None], tf.int64)
  module.functions = {
    "serving_default": signature(double, x=([None, 2], tf.float32)),
    "add": signature(add, a=rows, b=rows),
    "echo": signature(echo, text=([None], tf.string)),
    "spin": signature(spin, row=rows),
    "stop": signature(stop, row=rows),
    "ticks": signature(ticks, row=rows),
  }
  tf.saved_model.save(module, folder, module.functions)


def _request(signature="", name="demo", filters=(), **inputs):
  request = predict_pb2.PredictRequest(output_filter=filters)
  request.model_spec.name = name
  request.model_spec.signature_name = signature
  for key, value in inputs.items():
    if not isinstance(value, tensor_pb2.TensorProto):
      value = tf.make_tensor_proto(value)
    request.inputs[key].CopyFrom(value)
  return request


def _at(version=None, label=None, **kwargs):
  request = _request(**kwargs)
  if version is not None:
    request.model_spec.version.value = version
  if label is not None:
    request.model_spec.version_label = label
  return request


def _malformed(kind):
  proto = tf.make_tensor_proto(np.ones([3, 2], np.float32))
  if kind == "short content":
    proto.tensor_content = proto.tensor_content[:-3]
  elif kind == "negative size":
    proto.tensor_shape.dim[0].size = -1
  elif kind == "unknown rank":
    proto.tensor_shape.Clear()
    proto.tensor_shape.unknown_rank = True
  elif kind == "no type":
    proto.dtype = types_pb2.DT_INVALID
  elif kind == "handle":
    proto.dtype = types_pb2.DT_RESOURCE
  elif kind == "larger than memory":
    proto = tf.make_tensor_proto(1.0)
    proto.tensor_shape.dim.add(size=2**40)
    proto.tensor_shape.dim.add(size=2)
  return proto


_X = np.array([[1.0, 2.0], [3.0, 4.0], [-5.0, 0.5]], np.float32)
_ROWS = np.array([5, 7, 9])
_INVALID = grpc.StatusCode.INVALID_ARGUMENT

# What is sent, the code, and the text or its beginning.
_ERRORS = {
  "no spec": (predict_pb2.PredictRequest(), _INVALID, "Missing ModelSpec"),
  "no name": (
    _request(name="", x=_X),
    _INVALID,
    "ModelSpec has no name specified.",
  ),
  "unknown model": (
    _request(name="other", x=_X),
    grpc.StatusCode.NOT_FOUND,
    "Servable not found for request: Latest(other)",
  ),
  "unknown version": (
    _at(version=99, x=_X),
    grpc.StatusCode.NOT_FOUND,
    "Servable not found for request: Specific(demo, 99)",
  ),
  "unknown label": (
    _at(label="canary", x=_X),
    _INVALID,
    "Unrecognized servable version label: canary",
  ),
  "unknown signature": (
    _request("halve", x=_X),
    grpc.StatusCode.FAILED_PRECONDITION,
    'Serving signature key "halve" not found.',
  ),
  "no inputs": (
    _request(),
    _INVALID,
    "input size does not match signature: 0!=1 len({}) != len({x}). "
    "Sent extra: {}. Missing but required: {x}.",
  ),
  "too many inputs": (
    _request(x=_X, z=_X, w=_X),
    _INVALID,
    "input size does not match signature: 3!=1 len({w,x,z}) != len({x}). "
    "Sent extra: {w,z}. Missing but required: {}.",
  ),
  "wrong name": (
    _request("add", a=_ROWS, c=_ROWS),
    _INVALID,
    "input tensor alias not found in signature: c. Inputs expected to be in "
    "the set {a,b}.",
  ),
  "wrong type": (
    _request(x=np.ones([3, 2])),
    _INVALID,
    "Expects arg[0] to be float but double is provided",
  ),
  "unknown output": (
    _request("add", filters=["product"], a=_ROWS, b=_ROWS),
    _INVALID,
    "output tensor alias not found in signature: product Outputs expected to "
    "be in the set {difference,sum}.",
  ),
  "output twice": (
    _request("add", filters=["sum", "sum"], a=_ROWS, b=_ROWS),
    _INVALID,
    "duplicate output tensor alias: sum",
  ),
  "refused shape": (_request(x=np.ones([3, 5], np.float32)), _INVALID, ""),
  "rows that do not match": (
    _request("add", a=_ROWS, b=np.array([1, 2])),
    _INVALID,
    "",
  ),
} | {
  kind: (_request(x=_malformed(kind)), _INVALID, "tensor parsing error: x")
  for kind in (
    "short content",
    "negative size",
    "unknown rank",
    "no type",
    "handle",
    "larger than memory",
  )
}


class ServerTest(parameterized.TestCase):
  """Over one server that every test shares."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.base_path = tempfile.mkdtemp()
    cls.addClassCleanup(shutil.rmtree, cls.base_path)
    for version in ("2", "010"):
      _write_model(os.path.join(cls.base_path, version))
    for other in (".tmp-11", "latest", "-3", "12.tmp"):
      os.makedirs(os.path.join(cls.base_path, other))
    cls.server = cls._start()
    cls.channel = _channel(cls.server)
    cls.stub = prediction_service_pb2_grpc.PredictionServiceStub(cls.channel)
    cls.models = model_service_pb2_grpc.ModelServiceStub(cls.channel)

  @classmethod
  def tearDownClass(cls):
    cls.channel.close()
    cls.server.stop(grace=0)
    super().tearDownClass()

  @classmethod
  def _start(cls, **kwargs):
    models = servables.Servables({"demo": cls.base_path})
    models.load()
    return server.Server(models, **kwargs)

  def _predict(self, *args, **kwargs):
    request = _request(*args, **kwargs)
    response = self.stub.Predict(request, timeout=_PATIENCE)
    return {
      name: tf.make_ndarray(proto) for name, proto in response.outputs.items()
    }

  def _assert_refused(self, code, text, method, request):
    with self.assertRaises(grpc.RpcError) as caught:
      method(request, timeout=_PATIENCE)
    self.assertEqual(caught.exception.code(), code)
    self.assertStartsWith(caught.exception.details(), text)
    return caught.exception.details()

  def test_predict_answers_and_says_who_did(self):
    response = self.stub.Predict(_request(x=_X), timeout=_PATIENCE)
    self.assertEqual(response.model_spec.name, "demo")
    self.assertEqual(response.model_spec.version.value, 10)
    self.assertEqual(response.model_spec.signature_name, "serving_default")
    self.assertEqual(list(response.outputs), ["y"])
    # Typed values, since some clients read nothing else.
    self.assertEqual(response.outputs["y"].tensor_content, b"")
    self.assertSequenceEqual(
      response.outputs["y"].float_val, (2 * _X).ravel().tolist()
    )

  def test_version_by_number(self):
    request = _at(version=10, x=_X)
    response = self.stub.Predict(request, timeout=_PATIENCE)
    self.assertEqual(response.model_spec.version.value, 10)

  def test_several_inputs_and_outputs(self):
    outputs = self._predict("add", a=_ROWS, b=_ROWS - 1)
    np.testing.assert_array_equal(outputs["sum"], 2 * _ROWS - 1)
    np.testing.assert_array_equal(outputs["difference"], [1, 1, 1])

  def test_output_filter(self):
    outputs = self._predict("add", filters=["sum"], a=_ROWS, b=_ROWS)
    self.assertEqual(list(outputs), ["sum"])

  def test_no_rows(self):
    outputs = self._predict(x=np.zeros([0, 2], np.float32))
    self.assertEqual(outputs["y"].shape, (0, 2))

  def test_one_value_for_a_whole_shape(self):
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[1.5])
    for size in (3, 2):
      proto.tensor_shape.dim.add(size=size)
    np.testing.assert_array_equal(
      self._predict(x=proto)["y"], np.full([3, 2], 3.0)
    )

  def test_strings(self):
    text = np.array([b"", b"\x00ends in zero\x00", "ünï".encode()], object)
    outputs = self._predict("echo", text=text)
    np.testing.assert_array_equal(outputs["text"], text)
    np.testing.assert_array_equal(outputs["length"], [len(t) for t in text])

  def test_more_than_grpc_takes_by_default(self):
    x = np.ones([600_000, 2], np.float32)
    np.testing.assert_array_equal(self._predict(x=x)["y"], 2 * x)

  @parameterized.named_parameters(
    (key.replace(" ", "_"), *case) for key, case in _ERRORS.items()
  )
  def test_refuses(self, request, code, text):
    details = self._assert_refused(code, text, self.stub.Predict, request)
    self.assertNotEmpty(details)

  def test_the_graphs_own_errors_arrive(self):
    request = _request("add", a=-_ROWS, b=_ROWS)
    details = self._assert_refused(
      _INVALID, "assertion failed", self.stub.Predict, request
    )
    self.assertIn("a must not be negative", details)

  def test_long_texts_are_cut(self):
    request = _request("x" * 2000)
    details = self._assert_refused(
      grpc.StatusCode.FAILED_PRECONDITION, "Serv", self.stub.Predict, request
    )
    self.assertLen(details, 1024)
    self.assertEndsWith(details, "...TRUNCATED")

  def test_metadata(self):
    request = get_model_metadata_pb2.GetModelMetadataRequest(
      model_spec=model_pb2.ModelSpec(name="demo"),
      metadata_field=["signature_def"],
    )
    response = self.stub.GetModelMetadata(request, timeout=_PATIENCE)
    self.assertEqual(response.model_spec.version.value, 10)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    self.assertTrue(response.metadata["signature_def"].Unpack(signatures))
    add = signatures.signature_def["add"]
    self.assertCountEqual(add.inputs, ["a", "b"])
    self.assertEqual(add.inputs["a"].dtype, types_pb2.DT_INT64)

  def test_metadata_refuses(self):
    def request(name="demo", fields=("signature_def",)):
      return get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec=None if name is None else model_pb2.ModelSpec(name=name),
        metadata_field=fields,
      )

    for sent, code, text in (
      (request(None), _INVALID, "Missing ModelSpec"),
      (
        request(fields=()),
        _INVALID,
        "GetModelMetadataRequest must specify at least one metadata_field",
      ),
      (
        request(fields=["size"]),
        _INVALID,
        "Metadata field size is not supported",
      ),
      (
        request("other"),
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Latest(other)",
      ),
    ):
      self._assert_refused(code, text, self.stub.GetModelMetadata, sent)

  def test_status(self):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "demo"
    response = self.models.GetModelStatus(request, timeout=_PATIENCE)
    self.assertEqual(
      [(s.version, s.state) for s in response.model_version_status],
      [(10, _AVAILABLE)],
    )
    self.assertTrue(response.model_version_status[0].HasField("status"))
    request.model_spec.version.value = 10
    again = self.models.GetModelStatus(request, timeout=_PATIENCE)
    self.assertEqual(again, response)

  def test_status_refuses(self):
    request = get_model_status_pb2.GetModelStatusRequest()
    method = self.models.GetModelStatus
    self._assert_refused(_INVALID, "Missing ModelSpec", method, request)
    request.model_spec.name = "other"
    self._assert_refused(
      grpc.StatusCode.NOT_FOUND,
      "Could not find any versions of model other",
      method,
      request,
    )
    request.model_spec.name = "demo"
    request.model_spec.version.value = 99
    self._assert_refused(
      grpc.StatusCode.NOT_FOUND,
      "Could not find version 99 of model demo",
      method,
      request,
    )

  def test_what_is_not_done_says_so(self):
    for method, request in (
      (self.stub.Classify, classification_pb2.ClassificationRequest()),
      (self.stub.Regress, regression_pb2.RegressionRequest()),
      (self.stub.MultiInference, inference_pb2.MultiInferenceRequest()),
      (
        self.models.HandleReloadConfigRequest,
        model_management_pb2.ReloadConfigRequest(),
      ),
    ):
      self._assert_refused(grpc.StatusCode.UNIMPLEMENTED, "", method, request)

  def test_a_deadline_stops_the_graph(self):
    # One slot: that it comes free again shows that the endless loop ended.
    with _serving(self._start(max_calls=1)) as stub:
      with self.assertRaises(grpc.RpcError) as caught:
        stub.Predict(_request("spin", row=_ROWS), timeout=0.5)
      self.assertEqual(
        caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED
      )
      _until_accepted(stub)

  def test_too_many_calls_are_refused(self):
    running = self._start(max_calls=1)
    with _serving(running) as stub:
      spinning = self._spin(running, stub)
      self._assert_refused(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "Server Threadpool Exhausted",
        stub.Predict,
        _request(x=_X),
      )
      _aside(running, "stop")
      self.assertIn("turns", spinning.result().outputs)
      _until_accepted(stub)

  def test_stopping_lets_calls_in_flight_finish(self):
    running = self._start(max_calls=1)
    with _serving(running) as stub:
      spinning = self._spin(running, stub)
      stopping = threading.Thread(target=running.stop, args=[_PATIENCE])
      stopping.start()
      for _ in _attempts():  # Until the server has heard of it.
        with self.assertRaises(grpc.RpcError) as caught:
          stub.Predict(_request(x=_X), timeout=_PATIENCE)
        if caught.exception.code() == grpc.StatusCode.UNAVAILABLE:
          break
      self.assertFalse(spinning.done())
      # The server may be gone before this call of our own has its answer.
      with contextlib.suppress(errors.ServingError):
        _aside(running, "stop")
      self.assertIn("turns", spinning.result().outputs)
      stopping.join()

  def test_stopping_does_not_wait_for_ever(self):
    running = self._start(max_calls=1)
    with _serving(running) as stub:
      spinning = self._spin(running, stub)
      running.stop(grace=0.1)
      self.assertNotEqual(spinning.code(), grpc.StatusCode.OK)

  def test_a_port_is_taken_once(self):
    with self.assertRaisesRegex(ValueError, f"Port {self.server.port} cannot"):
      server.Server(
        servables.Servables({"demo": self.base_path}), self.server.port
      )

  def test_program(self):
    command = [sys.executable, "-m", "serving.server", "--port=0"]
    command += ["--model_name=demo", f"--model_base_path={self.base_path}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
      try:
        lines = []
        for line in child.stdout:
          lines.append(line)
          if line.startswith("Serving"):
            break
        port = lines[-1].split("port ")[1].split(";")[0]
        with grpc.insecure_channel(f"localhost:{port}") as channel:
          stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
          response = stub.Predict(_request(x=_X), timeout=_PATIENCE)
        self.assertSequenceEqual(
          response.outputs["y"].float_val, (2 * _X).ravel().tolist()
        )
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(_PATIENCE), 0)
      finally:
        child.kill()

  def _spin(self, running, stub):
    """Starts an endless call, and waits until it runs."""
    spinning = stub.Predict.future(
      _request("spin", row=_ROWS), timeout=_PATIENCE
    )
    self.addCleanup(spinning.cancel)
    for _ in _attempts():
      if _aside(running, "ticks")["ticks"][0] > 0:
        return spinning


class ServableTest(parameterized.TestCase):
  """What needs no socket."""

  def test_deadline_returns_only_when_the_graph_has_stopped(self):
    folder = self.create_tempdir().full_path
    _write_model(folder)
    servable = servables.Servable("demo", 1, folder)
    self.addCleanup(servable.close)
    with self.assertRaises(errors.ServingError) as caught:
      prediction_service.predict(
        servable,
        servable.signature("spin"),
        {"row": _ROWS},
        timeout=0.2,
      )
    self.assertEqual(caught.exception.code, grpc.StatusCode.DEADLINE_EXCEEDED)

  def test_defaults_are_filled_in(self):
    folder = self.create_tempdir().full_path
    _write_model(folder)
    path = os.path.join(folder, "saved_model.pb")
    model = saved_model_pb2.SavedModel()
    with open(path, "rb") as file:
      model.ParseFromString(file.read())
    add = model.meta_graphs[0].signature_def["add"]
    add.defaults["b"].CopyFrom(tf.make_tensor_proto([1, 1, 1], tf.int64))
    with open(path, "wb") as file:
      file.write(model.SerializeToString())
    servable = servables.Servable("demo", 1, folder)
    self.addCleanup(servable.close)
    signature = servable.signature("add")
    outputs = prediction_service.predict(servable, signature, {"a": _ROWS})
    np.testing.assert_array_equal(outputs["sum"], _ROWS + 1)
    with self.assertRaisesRegex(errors.ServingError, "required: {a}"):
      prediction_service.predict(servable, signature, {"b": _ROWS})

  def test_no_versions(self):
    folder = self.create_tempdir().full_path
    for path in (folder, os.path.join(folder, "missing")):
      with self.assertRaisesRegex(ValueError, "No versions of model demo"):
        servables.Servables({"demo": path}).load()

  def test_not_a_saved_model(self):
    folder = self.create_tempdir().full_path
    os.makedirs(os.path.join(folder, "1"))
    with self.assertRaisesRegex(ValueError, "Version 1 of model demo cannot"):
      servables.Servables({"demo": folder}).load()


class TensorsTest(parameterized.TestCase):
  @parameterized.parameters(
    tf.float16,
    tf.bfloat16,
    tf.float32,
    tf.float64,
    tf.int8,
    tf.uint8,
    tf.int32,
    tf.int64,
    tf.uint32,
    tf.uint64,
    tf.bool,
    tf.complex64,
    tf.complex128,
    tf.string,
  )
  def test_there_and_back(self, dtype):
    for shape in ((), (3,), (3, 1, 2), (0, 4)):
      count = math.prod(shape)
      values = np.arange(count) % 3 - (0 if dtype.is_unsigned else 1)
      array = values.astype(dtype.as_numpy_dtype).reshape(shape)
      if dtype == tf.string:
        array = np.array([b"%d\0" % value for value in values], object)
        array = array.reshape(shape)
      for as_content in (False, True):
        proto = tensors.to_proto(array, as_content)
        self.assertEqual(proto.dtype, dtype.as_datatype_enum)
        # TensorFlow's own reader agrees, and so does ours.
        for read in (tf.make_ndarray(proto), tensors.to_array(proto)):
          self.assertEqual(read.shape, shape)
          np.testing.assert_array_equal(read, array)
        if count and not as_content:
          self.assertEqual(proto.tensor_content, b"")


def _channel(running):
  return grpc.insecure_channel(
    f"localhost:{running.port}",
    options=[("grpc.max_receive_message_length", -1)],
  )


class _serving:
  """A stub of a server that is stopped at the end."""

  def __init__(self, running):
    self._running = running
    self._channel = _channel(running)

  def __enter__(self):
    return prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

  def __exit__(self, *_):
    self._channel.close()
    self._running.stop(grace=0)


def _attempts():
  """Yields for as long as it makes sense to try again."""
  end = time.monotonic() + _PATIENCE
  while time.monotonic() < end:
    yield
    time.sleep(0.01)
  raise AssertionError("The server did not come to what was waited for.")


def _aside(running, signature):
  """Calls the model past the socket, whose slots may be taken."""
  servable = running.models.find(model_pb2.ModelSpec(name="demo"))
  return prediction_service.predict(
    servable, servable.signature(signature), {"row": _ROWS}
  )


def _until_accepted(stub):
  for _ in _attempts():
    try:
      stub.Predict(_request(x=_X), timeout=_PATIENCE)
      return
    except grpc.RpcError as error:
      if error.code() != grpc.StatusCode.RESOURCE_EXHAUSTED:
        raise


if __name__ == "__main__":
  absltest.main()
