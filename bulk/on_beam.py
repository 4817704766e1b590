"""Makes shards on Apache Beam, which `pip install .[beam]` brings."""

from collections.abc import Sequence

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.options import pipeline_options
from apache_beam.runners.portability import fn_api_runner
from apache_beam.utils import shared

from bulk import shards

_NAMESPACE = "lc_keras.bulk"


def run(
  job: shards.Job,
  missing: Sequence[shards.Shard],
  runner: str,
  options: Sequence[str] = (),
) -> dict[str, int]:
  """Makes shards and waits for them.

  Args:
    job: The job; every worker must see its folder by the same name.
    missing: The shards to make.
    runner: Beam's name of the runner, such as "FlinkRunner".
    options: Beam's options, "--name=value".

  Returns:
    Counters over all workers: "shards", "rows" and "bad_rows". A shard that is
    made twice, since a worker was lost, may count twice.

  Raises:
    ValueError: The pipeline failed; runners raise errors of their own, too.
  """
  if runner == "DirectRunner":
    # Beam's DirectRunner would download a program first.
    runner = fn_api_runner.FnApiRunner()
  pipeline = beam.Pipeline(
    runner=runner, options=pipeline_options.PipelineOptions(list(options))
  )
  _ = (
    pipeline
    | "Shards" >> beam.Create(list(missing))
    # Otherwise the worker that lists the shards would make all of them.
    | "Spread" >> beam.Reshuffle()
    | "Make" >> beam.ParDo(_Make(job))
  )
  result = pipeline.run()
  state = result.wait_until_finish()
  if state in ("FAILED", "CANCELLED"):
    raise ValueError(
      f"The pipeline ended as {state}. The shards that are done are kept; the "
      "same command goes on."
    )
  counters = result.metrics().query(
    beam.metrics.MetricsFilter().with_namespace(_NAMESPACE)
  )["counters"]
  return {c.key.metric.name: c.committed or c.attempted for c in counters}


class _Make(beam.DoFn):
  """Makes shards, with models loaded once in every process."""

  def __init__(self, job):
    self._job = job
    self._shared = shared.Shared()
    self._make = None
    self._counters = {
      name: Metrics.counter(_NAMESPACE, name)
      for name in ("shards", "rows", "bad_rows")
    }

  def setup(self):
    """Loads the models, or shares those of another thread."""
    self._make = self._shared.acquire(self._job.work.open)

  def process(self, shard):
    """Makes one shard."""
    mark = self._job.make(self._make, shard)
    self._counters["shards"].inc()
    self._counters["rows"].inc(mark["rows"])
    self._counters["bad_rows"].inc(mark["bad"])
    yield shard.name
