"""Tests of the server as a whole, and as a program."""

import contextlib
import io
import os
import signal
import threading
from unittest import mock

import grpc
import numpy as np
from absl import flags
from absl.testing import absltest
from grpc_health.v1 import health_pb2
from grpc_health.v1 import health_pb2_grpc

from serving.server import __main__ as program
from serving.server import calls
from serving.server import embedded
from serving.server import options
from serving.server import servables
from tests import running_server
from tests import serving_models

_X = np.array([[1.0, 2.0], [3.0, 4.0], [-5.0, 0.5]], np.float32)


class ServerTest(running_server.TestCase, absltest.TestCase):
  flags = None

  def _config(self, more="", name="demo"):
    more = f"model_version_policy {{ all {{}} }} {more}"
    return serving_models.config(more, **{name: self.base_path})

  def test_several_versions_with_labels_on_both_ports(self):
    labels = (
      'version_labels { key: "stable" value: 2 } '
      'version_labels { key: "canary" value: 10 }'
    )
    path = self.create_tempfile(content=self._config(labels)).full_path
    with self.serving(
      model_config_file=path, allow_version_labels_for_unavailable_models=True
    ) as running:
      running.wait_for("AVAILABLE", 2)
      running.wait_for("AVAILABLE", 10)
      self.assertEqual(list(running.states()), [10, 2])
      for asked, version, factor in (
        ({}, 10, 2.0),
        ({"version": 2}, 2, 3.0),
        ({"label": "stable"}, 2, 3.0),
        ({"label": "canary"}, 10, 2.0),
      ):
        response = running.predict(x=_X, **asked)
        self.assertEqual(response.model_spec.version.value, version)
        self.assertSequenceEqual(
          response.outputs["y"].float_val, (factor * _X).ravel().tolist()
        )
        where = "".join(f"/{key}s/{value}" for key, value in asked.items())
        status, answer = running.json(
          f"/v1/models/demo{where}:predict", {"inputs": _X.tolist()}
        )
        self.assertEqual(status, 200)
        self.assertEqual(answer, {"outputs": (factor * _X).tolist()})

  def test_follows_its_file_of_models(self):
    path = self.create_tempfile(content=self._config()).full_path
    with self.serving(
      model_config_file=path, model_config_file_poll_wait_seconds=1
    ) as running:
      running.predict(x=_X)
      with open(path, "w") as file:
        file.write("no configuration")
      with open(path + "~", "w") as file:
        file.write(self._config(name="renamed"))
      os.replace(path + "~", path)
      running.wait_for("AVAILABLE", 10, "renamed")
      running.predict(name="renamed", x=_X)
      running.wait_for("END", 10)

  def test_ports_are_open_while_models_load(self):
    base_path = self.create_tempdir().full_path
    serving_models.write(os.path.join(base_path, "1"))
    warm = threading.Event()
    self.addCleanup(warm.set)
    with (
      mock.patch.object(
        servables.Servable,
        "warming",
        lambda *_: iter([warm.wait(running_server.PATIENCE)]),
      ),
      self.serving(
        wait=False,
        model_base_path=base_path,
        enable_grpc_healthcheck_service=True,
      ) as running,
    ):
      running.wait_for("LOADING", 1)
      self.assertEqual(running.json("/health/live")[0], 200)
      self.assertEqual(running.json("/health/ready")[0], 503)
      health = health_pb2_grpc.HealthStub(running.channel)
      for name in ("", "demo"):
        self.assertEqual(
          health.Check(health_pb2.HealthCheckRequest(service=name)).status,
          health_pb2.HealthCheckResponse.NOT_SERVING,
        )
      with mock.patch.object(calls, "LONGEST_WAIT", 0.1):
        self.assert_refused(
          grpc.StatusCode.UNAVAILABLE,
          "Model demo is still being loaded",
          running.predict,
          x=_X,
        )
        asked = "/v1/models/demo:predict", {"inputs": _X.tolist()}
        self.assertEqual(running.json(*asked)[0], 503)
      # A call with a longer deadline is answered when the model is loaded.
      early = running.predictions.Predict.future(
        serving_models.request(x=_X), timeout=running_server.PATIENCE
      )
      self.assertEqual(running.json("/health/ready")[0], 503)
      warm.set()
      self.assertEqual(early.result().model_spec.version.value, 1)

  def test_most_of_the_warm_up_is_behind_the_traffic(self):
    go_on, warm = threading.Event(), threading.Event()
    self.addCleanup(go_on.set)

    def warming(*_):
      yield
      go_on.wait(running_server.PATIENCE)
      warm.set()

    with (
      mock.patch.object(servables.Servable, "warming", warming),
      mock.patch.object(embedded, "_WARM_UP", 0.0),
      self.serving() as running,
    ):
      running.predict(x=_X)
      self.assertFalse(warm.is_set())
      go_on.set()
      self.assertTrue(warm.wait(running_server.PATIENCE))

  def test_says_what_is_wrong_with_a_folder(self):
    said = self.enter_context(contextlib.redirect_stderr(io.StringIO()))
    folder = os.path.join(self.base_path, "2")
    with self.serving(model_base_path=folder) as running:
      self.assertEmpty(running.states())
    self.assertIn(
      f"Model demo cannot be served yet: {folder} is itself a version. A "
      "server takes a folder of versions, each a folder named by a number: "
      f"give {self.base_path}.",
      said.getvalue(),
    )

  def test_a_broken_model_blocks_no_other(self):
    base_path = self.create_tempdir().full_path
    os.makedirs(os.path.join(base_path, "1"))
    with self.serving(
      model_base_path=base_path, max_num_load_retries=0
    ) as running:
      status = running.wait_for("END", 1)
      self.assertEqual(status.error_code, grpc.StatusCode.NOT_FOUND.value[0])
      self.assertIn("cannot be loaded", status.error_message)
      status, answer = running.json("/v1/models/demo")
      self.assertEqual(
        answer["model_version_status"][0]["status"]["error_code"], "NOT_FOUND"
      )
      serving_models.write(os.path.join(base_path, ".tmp-2"))
      os.rename(os.path.join(base_path, ".tmp-2"), os.path.join(base_path, "2"))
      running.wait_for("AVAILABLE", 2)
      # And a copy that was incomplete when first seen.
      serving_models.write(os.path.join(base_path, "1"))
      running.predict(x=_X)


class ProgramTest(running_server.TestCase, absltest.TestCase):
  flags = None

  def test_calls_leave_cpus_to_other_calls(self):
    half = max(1, os.cpu_count() // 2)
    path = self.create_tempfile(content="intra_op_parallelism_threads: 7")
    for settings, threads in (
      ({}, half),
      ({"tensorflow_session_config_file": path.full_path}, 7),
      ({"tensorflow_intra_op_parallelism": 5}, 5),
      ({"tensorflow_session_parallelism": 3}, 3),
    ):
      config = embedded._session_config(
        options.Options(model_base_path="x", **settings)
      )
      self.assertEqual(config.intra_op_parallelism_threads, threads)

  def test_errors_name_the_file(self):
    # TensorFlow Serving's own test looks for these words.
    path = self.create_tempfile(
      content="improperly formatted file contents"
    ).full_path
    values = flags.FlagValues()
    options.define_flags(values)
    values(["server", "--port=0", f"--model_config_file={path}"])
    with (
      mock.patch.object(flags, "FLAGS", values),
      mock.patch.object(signal, "signal"),
      self.assertRaisesRegex(
        SystemExit,
        f"Invalid protobuf file: '{path}'.*Error parsing text-format "
        "tensorflow.serving.ModelServerConfig",
      ),
    ):
      program._run(["server"])
