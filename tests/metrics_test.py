"""Tests of the metrics for Prometheus, over a real socket."""

import re

import grpc
import numpy as np
from absl.testing import absltest

from serving.server import metrics
from tests import running_server

_X = np.ones([3, 2], np.float32)


def _samples(text):
  """Returns the value of each name with labels, in the order of the labels."""
  # Without the library's parser, which renames counters.
  return {
    (name, *sorted(re.findall(r'(\w+)="([^"]*)"', labels))): float(value)
    for name, labels, value in re.findall(
      r"^([^#{\s]+){(.*)} (\S+)$", text, re.MULTILINE
    )
  }


class MetricsTest(running_server.TestCase, absltest.TestCase):
  flags = None

  def _flags(self, text):
    path = self.create_tempfile(content=text).full_path
    return {"monitoring_config_file": path}

  def test_counts_and_times(self):
    flags = self._flags("prometheus_config { enable: true }")
    with self.serving(**flags) as running:
      for _ in range(3):
        running.predict(x=_X)
      for path, status in (("demo", 200), ("demo", 200), ("other", 404)):
        got, _ = running.json(
          f"/v1/models/{path}:predict", {"instances": _X.tolist()}
        )
        self.assertEqual(got, status)
      with self.assertRaises(grpc.RpcError):
        running.predict("halve", x=_X)
      status, headers, body = running.http(metrics.PATH)
    self.assertEqual(status, 200)
    self.assertEqual(headers["Content-Type"], "text/plain")
    text = body.decode()
    self.assertIn("# TYPE :tensorflow:serving:request_count counter", text)
    samples = _samples(text)
    for labels, count in (
      ((("model_name", "demo"), ("status", "OK")), 5),
      ((("model_name", "demo"), ("status", "FAILED_PRECONDITION")), 1),
      # Callers choose names: unknown ones share one label.
      ((("model_name", "unknown"), ("status", "NOT_FOUND")), 1),
    ):
      key = (":tensorflow:serving:request_count", *labels)
      self.assertEqual(samples[key], count)
    for entrypoint, count in (("GRPC", 4), ("REST", 2)):
      labels = (
        ("API", "Predict"),
        ("entrypoint", entrypoint),
        ("model_name", "demo"),
      )
      name = ":tensorflow:serving:request_latency"
      self.assertEqual(samples[(f"{name}_count", *labels)], count)
      self.assertGreater(samples[(f"{name}_sum", *labels)], 0)
      in_order = sorted([*labels, ("le", "+Inf")])
      self.assertEqual(samples[(f"{name}_bucket", *in_order)], count)
    self.assertIn(":tensorflow:serving:runtime_latency_bucket", text)
    self.assertNotIn("_created", text)

  def test_path(self):
    flags = self._flags('prometheus_config { enable: true path: "/x/y" }')
    with self.serving(**flags) as running:
      self.assertEqual(running.http("/x/y")[0], 200)
      self.assertEqual(running.http(metrics.PATH)[0], 404)

  def test_only_if_asked_for(self):
    with self.serving(**self._flags("prometheus_config {}")) as running:
      self.assertEqual(running.http(metrics.PATH)[0], 404)
    with self.serving() as running:
      self.assertEqual(running.http(metrics.PATH)[0], 404)
