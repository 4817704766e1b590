"""Tests of the gRPC port: limits, deadlines, cancellation, sockets."""

import os
import tempfile
import threading
from unittest import mock

import grpc
import numpy as np
from absl.testing import absltest
from tensorflow_serving.apis import model_management_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc

from serving.server import embedded
from serving.server import model_configs
from tests import running_server
from tests import serving_models

_X = np.array([[1.0, 2.0], [3.0, 4.0], [-5.0, 0.5]], np.float32)
_ROWS = np.array([5, 7, 9])


def _until_accepted(running):
  for _ in running_server.attempts():
    try:
      running.predict(x=_X)
      return
    except grpc.RpcError as error:
      if error.code() != grpc.StatusCode.RESOURCE_EXHAUSTED:
        raise


class GrpcEndpointTest(running_server.TestCase, absltest.TestCase):
  def test_a_deadline_stops_the_graph(self):
    # One slot: if it becomes free again, the endless loop has ended.
    with self.serving(grpc_max_threads=1) as running:
      self.assert_refused(
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "",
        running.predict,
        "spin",
        row=_ROWS,
        timeout=0.5,
      )
      _until_accepted(running)

  def test_a_cancelled_call_stops_the_graph(self):
    with self.serving(grpc_max_threads=1) as running:
      self.spin(running).cancel()
      _until_accepted(running)

  def test_too_many_calls_are_refused(self):
    with self.serving(grpc_max_threads=1) as running:
      spinning = self.spin(running)
      self.assert_refused(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "Server Threadpool Exhausted",
        running.predict,
        x=_X,
      )
      running_server.aside(running, "stop")
      self.assertIn("turns", spinning.result().outputs)
      _until_accepted(running)

  def test_large_calls_wait_for_each_other_and_small_ones_do_not(self):
    many = np.ones([33, 2], np.float32)
    with mock.patch.object(embedded, "_HALF", 1), self.serving() as running:
      spinning = self.spin(running, np.arange(len(many)))
      waiting = running.predictions.Predict.future(
        serving_models.request(x=many), timeout=running_server.PATIENCE
      )
      self.assert_refused(
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "",
        running.predict,
        x=many,
        timeout=0.5,
      )
      running.predict(x=_X)
      self.assertFalse(waiting.done())
      running_server.aside(running, "stop")
      self.assertIn("turns", spinning.result().outputs)
      self.assertIn("y", waiting.result().outputs)

  def test_pictures_are_large(self):
    for value, are in (
      (np.array([b"\x89PNG", b""], object), True),
      (np.array([[b"\xff\xd8\xff\xe0"]], object), True),
      (np.array(b"\x89PNG", object), True),
      (np.array([b"text"], object), False),
      (np.array([], object), False),
      (np.array([1.0]), False),
    ):
      self.assertEqual(embedded._are_pictures(value), are, value)

  def test_stopping_lets_calls_in_flight_finish(self):
    running = self.start()
    spinning = self.spin(running)
    stopping = threading.Thread(
      target=running.server.stop, args=[running_server.PATIENCE]
    )
    stopping.start()
    for _ in running_server.attempts():  # Until the server notices.
      try:
        running.predict(x=_X)
      except grpc.RpcError as error:
        self.assertEqual(error.code(), grpc.StatusCode.UNAVAILABLE)
        break
    self.assertFalse(spinning.done())
    running_server.aside(running, "stop")
    self.assertIn("turns", spinning.result().outputs)
    stopping.join()
    running.stop()

  def test_stopping_does_not_wait_for_ever(self):
    running = self.start()
    spinning = self.spin(running)
    running.server.stop(grace=0.1)
    self.assertNotEqual(spinning.code(), grpc.StatusCode.OK)
    running.stop()

  def test_a_port_is_taken_once(self):
    with self.assertRaisesRegex(
      ValueError, f":{self.running.server.port} cannot be taken.*--port"
    ):
      self.start(port=self.running.server.port)

  def test_a_unix_socket_and_channel_arguments(self):
    # Not in the test's folder: paths of sockets are limited to 107 characters.
    folder = self.enterContext(tempfile.TemporaryDirectory())
    path = os.path.join(folder, "socket")
    with self.serving(
      grpc_socket_path=path,
      grpc_channel_arguments="grpc.max_receive_message_length=1000",
    ) as running:
      with grpc.insecure_channel(f"unix:{path}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for ask in (stub.Predict, running.predictions.Predict):
          response = ask(
            serving_models.request(x=_X), timeout=running_server.PATIENCE
          )
          self.assertEqual(response.model_spec.version.value, 10)
      self.assert_refused(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "",
        running.predict,
        x=np.ones([1000, 2], np.float32),
      )
    self.assertFalse(os.path.exists(path))

  def test_a_message_that_is_too_large(self):
    with self.serving(grpc_max_message_mb=1) as running:
      self.assert_refused(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "SERVER: Received message larger than max (",
        running.predict,
        x=np.ones([1 << 17, 2], np.float32),
      )
      running.predict(x=_X)

  def test_outputs_as_content(self):
    with self.serving(enable_serialization_as_tensor_content=True) as running:
      y = running.predict(x=_X).outputs["y"]
      self.assertEqual(y.tensor_content, (2 * _X).tobytes())
      self.assertEmpty(y.float_val)

  def test_reloading_the_configuration(self):
    def reload(*names):
      made = model_management_pb2.ReloadConfigRequest()
      for name in names:
        one = model_configs.single(name, self.base_path)
        made.config.model_config_list.config.extend(
          one.model_config_list.config
        )
      return running.models.HandleReloadConfigRequest(
        made, timeout=running_server.PATIENCE
      )

    with self.serving() as running:
      self.assertEqual(reload("demo", "other").status.error_code, 0)
      for name in ("demo", "other"):
        self.assertEqual(running.predict(name=name, x=_X).model_spec.name, name)
      self.assert_refused(
        grpc.StatusCode.INVALID_ARGUMENT,
        "ServerModelConfig type not supported by HandleReloadConfigRequest. "
        "Only ModelConfigList is currently supported",
        reload,
      )
      # A refused request changes nothing.
      for name in ("demo", "other"):
        running.predict(name=name, x=_X)
