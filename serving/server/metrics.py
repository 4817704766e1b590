"""What Prometheus reads, by the names that TensorFlow Serving gives it."""

import functools
import threading
from collections import abc
from collections.abc import Callable

import prometheus_client
from prometheus_client import metrics_core
from prometheus_client import registry

PATH = "/monitoring/prometheus/metrics"
CONTENT_TYPE = prometheus_client.CONTENT_TYPE_PLAIN_0_0_4
_COUNT = ":tensorflow:serving:request_count"
_LATENCY = ":tensorflow:serving:request_latency"
_RUNTIME = ":tensorflow:serving:runtime_latency"
# From 10 microseconds to 20 minutes.
_BUCKETS = [10.0 * 1.8**power for power in range(33)]
# Names are up to the callers, and memory is not.
_UNKNOWN_MODEL = "unknown"


class Metrics:
  """Counts and times calls."""

  def __init__(self, is_known: Callable[[str], bool]):
    """Begins at zero.

    Args:
      is_known: Whether there is a model of that name; all others are counted
        as one.
    """
    # Times of creation are no part of what TensorFlow Serving writes.
    prometheus_client.disable_created_metrics()
    self._is_known = is_known
    self._registry = prometheus_client.CollectorRegistry()
    self._counts = _Counts()
    self._registry.register(self._counts)
    self._latency = prometheus_client.Histogram(
      _LATENCY,
      "Wall time in microseconds of a request.",
      ["model_name", "API", "entrypoint"],
      registry=self._registry,
      buckets=_BUCKETS,
    )
    self._runtime = prometheus_client.Histogram(
      _RUNTIME,
      "Wall time in microseconds in the TensorFlow runtime.",
      ["model_name", "API", "runtime"],
      registry=self._registry,
      buckets=_BUCKETS,
    )
    # The library looks at labels as if for the first time: 2 us.
    self._latency_of = functools.cache(self._latency.labels)
    self._runtime_of = functools.cache(self._runtime.labels)
    prometheus_client.ProcessCollector(registry=self._registry)

  def request(
    self, model: str, api: str, entrypoint: str, status: str, seconds: float
  ) -> None:
    """Notes a request.

    Args:
      model: Name of the model, as it was sent.
      api: "Predict", for example.
      entrypoint: "GRPC" or "REST".
      status: "OK", or the name of a code.
      seconds: How long it took.
    """
    if not self._is_known(model):
      model = _UNKNOWN_MODEL
    self._counts.add(model, status)
    self._latency_of(model, api, entrypoint).observe(seconds * 1e6)

  def run(self, model: str, seconds: float) -> None:
    """Notes how long a graph took."""
    self._runtime_of(model, "Predict", "TF1").observe(seconds * 1e6)

  def text(self) -> bytes:
    """Returns all of it in Prometheus's text form."""
    text = prometheus_client.generate_latest(self._registry)
    # The library names counters *_total, which TensorFlow Serving does not.
    return text.replace(
      f"# TYPE {_COUNT} untyped".encode(), f"# TYPE {_COUNT} counter".encode()
    )


class _Counts(registry.Collector):
  """Requests by model and status."""

  def __init__(self):
    self._lock = threading.Lock()
    self._values: dict[tuple[str, str], int] = {}

  def add(self, model, status):
    key = model, status
    with self._lock:
      self._values[key] = self._values.get(key, 0) + 1

  def collect(self) -> abc.Iterable[metrics_core.Metric]:
    metric = metrics_core.UnknownMetricFamily(
      _COUNT, "The total number of requests.", labels=["model_name", "status"]
    )
    with self._lock:
      values = sorted(self._values.items())
    for key, value in values:
      metric.add_metric(key, value)
    return [metric]
