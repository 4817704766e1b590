"""The same shards on Apache Beam, which `pip install .[beam]` brings."""

from collections.abc import Sequence

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.options import pipeline_options
from apache_beam.runners.portability import fn_api_runner
from apache_beam.utils import shared

from bulk import shards as shards_lib

_NAMESPACE = "lc_keras.bulk"
_DIRECT = "DirectRunner"
_FAILED = ("FAILED", "CANCELLED")


def run(
  folder: str,
  work: shards_lib.Work,
  shards: Sequence[shards_lib.Shard],
  runner: str,
  options: Sequence[str] = (),
) -> dict[str, int]:
  """Makes shards and waits for them.

  Args:
    folder: Where to; every worker must see it by this name.
    work: The job.
    shards: Those to make.
    runner: Beam's name for it, such as "FlinkRunner".
    options: Of Beam's, "--name=value".

  Returns:
    Counters over all workers: "shards", "rows" and "bad_rows". A shard that is
    made twice, since a worker was lost, may count twice.

  Raises:
    ValueError: The pipeline failed; runners raise errors of their own, too.
  """
  pipeline = beam.Pipeline(
    # Beam's DirectRunner would fetch a program, and do with this one without.
    runner=fn_api_runner.FnApiRunner() if runner == _DIRECT else runner,
    options=pipeline_options.PipelineOptions(list(options)),
  )
  _ = (
    pipeline
    | "Shards" >> beam.Create(list(shards))
    # Or they would all be made where they are listed.
    | "Spread" >> beam.Reshuffle()
    | "Make" >> beam.ParDo(_Make(folder, work))
  )
  result = pipeline.run()
  state = result.wait_until_finish()
  if state in _FAILED:
    raise ValueError(
      f"The pipeline on {runner} ended as {state}. The shards that are done "
      "are kept; the same command goes on."
    )
  counters = result.metrics().query(
    beam.metrics.MetricsFilter().with_namespace(_NAMESPACE)
  )["counters"]
  return {c.key.metric.name: c.committed or c.attempted for c in counters}


class _Make(beam.DoFn):
  """Makes shards, with models loaded once in every process."""

  def __init__(self, folder, work):
    self._folder = folder
    self._work = work
    self._shared = shared.Shared()
    self._maker = None
    self._counters = {
      name: Metrics.counter(_NAMESPACE, name)
      for name in ("shards", "rows", "bad_rows")
    }

  def setup(self):
    """Loads the models, or takes those of another thread."""
    self._maker = self._shared.acquire(self._work.open)

  def process(self, shard):
    """Makes one shard."""
    made = shards_lib.make(self._folder, self._work, self._maker, shard)
    self._counters["shards"].inc()
    self._counters["rows"].inc(made.rows)
    self._counters["bad_rows"].inc(len(made.bad))
    yield shard.name
