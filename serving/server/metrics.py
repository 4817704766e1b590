"""Metrics for Prometheus, under TensorFlow Serving's names."""

from collections.abc import Callable

import prometheus_client

PATH = "/monitoring/prometheus/metrics"
CONTENT_TYPE = "text/plain"
_COUNT = ":tensorflow:serving:request_count"
_LATENCY = ":tensorflow:serving:request_latency"
_RUNTIME = ":tensorflow:serving:runtime_latency"
# From 10 microseconds to 20 minutes.
_BUCKETS = [10.0 * 1.8**power for power in range(33)]
# One name for all unknown models: callers choose names, and memory is limited.
_UNKNOWN_MODEL = "unknown"


class Metrics:
  """Counts and times calls."""

  def __init__(self, is_known: Callable[[str], bool]):
    """Starts at zero; counts all models that are not known together."""
    # TensorFlow Serving has no `_created` metrics.
    prometheus_client.disable_created_metrics()
    self._is_known = is_known
    self._registry = prometheus_client.CollectorRegistry()
    self._count = prometheus_client.Counter(
      _COUNT,
      "The total number of requests.",
      ["model_name", "status"],
      registry=self._registry,
    )
    self._latency = self._histogram(
      _LATENCY, "Wall time in microseconds of a request.", "entrypoint"
    )
    self._runtime = self._histogram(
      _RUNTIME,
      "Wall time in microseconds in the TensorFlow runtime.",
      "runtime",
    )
    prometheus_client.ProcessCollector(registry=self._registry)

  def request(
    self, model: str, api: str, entrypoint: str, status: str, seconds: float
  ) -> None:
    """Counts and times a request.

    Args:
      model: Name of the model, as it was sent.
      api: "Predict", for example.
      entrypoint: "GRPC" or "REST".
      status: "OK", or the name of a code.
      seconds: Duration of the request.
    """
    if not self._is_known(model):
      model = _UNKNOWN_MODEL
    self._count.labels(model, status).inc()
    self._latency.labels(model, api, entrypoint).observe(seconds * 1e6)

  def run(self, model: str, seconds: float) -> None:
    """Records the duration of a graph's run."""
    self._runtime.labels(model, "Predict", "TF1").observe(seconds * 1e6)

  def _histogram(self, name, text, label):
    return prometheus_client.Histogram(
      name,
      text,
      ["model_name", "API", label],
      registry=self._registry,
      buckets=_BUCKETS,
    )

  def text(self) -> bytes:
    """Returns all metrics in Prometheus's text form."""
    text = prometheus_client.generate_latest(self._registry)
    # TensorFlow Serving's counters have no suffix.
    return text.replace(f"{_COUNT}_total".encode(), _COUNT.encode())
