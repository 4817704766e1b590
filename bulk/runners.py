"""Makes the shards of a job: one by one in this process, or on Apache Beam."""

import contextlib
import functools
import os
import threading

import tqdm
from absl import flags

from bulk import shards
from trainers import messages

_POLL_SECONDS = 2.0


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of the runner and of shards."""
  flags.DEFINE_enum(
    "runner",
    "local",
    list(RUNNERS),
    "Where shards are made: local is this process, without Apache Beam; the "
    "others are Beam's.",
    flag_values=values,
  )
  flags.DEFINE_multi_string(
    "beam_option",
    [],
    "An option of Beam's, as in --beam_option=--flink_master=localhost:8081; "
    "may be given several times.",
    flag_values=values,
  )
  flags.DEFINE_integer(
    "rows_per_shard",
    4096,
    "Rows that a file holds: as many are lost when a worker is.",
    lower_bound=1,
    flag_values=values,
  )
  flags.DEFINE_integer(
    "max_bad",
    0,
    "Most rows that may be bad, with values that are not numbers; they are "
    "left out.",
    lower_bound=0,
    flag_values=values,
  )


def run(job: shards.Job, settings: flags.FlagValues) -> dict[str, int]:
  """Makes the missing shards, with a progress bar.

  Returns:
    "rows" and "bad", numbers of rows in all shards.

  Raises:
    ValueError: The folder holds other work, or too many rows are bad.
  """
  os.makedirs(job.folder, exist_ok=True)
  missing = job.missing()
  if missing:
    if len(missing) < len(job.shards):
      done = len(job.shards) - len(missing)
      messages.info(f"{done} of {len(job.shards)} shards are done")
    RUNNERS[settings.runner](job, missing, settings.beam_option)
  return job.total(settings.max_bad)


def _locally(job, missing, options):
  del options  # They are Beam's.
  make = job.work.open()
  for shard in tqdm.tqdm(missing, unit=" shards"):
    job.make(make, shard)


def _on_beam(runner, job, missing, options):
  from bulk import on_beam

  with _progress(job, missing):
    counted = on_beam.run(job, missing, runner, options)
  messages.info(", ".join(f"{name}: {n}" for name, n in counted.items()))


# By value of --runner: the function that makes shards.
RUNNERS = {"local": _locally} | {
  name: functools.partial(_on_beam, name)
  for name in (
    "DirectRunner",
    "FlinkRunner",
    "SparkRunner",
    "DataflowRunner",
  )
}


@contextlib.contextmanager
def _progress(job, missing):
  """Shows a progress bar of the shards that have a mark, on any machine."""
  ended = threading.Event()

  def watch():
    with tqdm.tqdm(total=len(missing), unit=" shards") as bar:
      while not ended.wait(_POLL_SECONDS):
        bar.update(sum(map(job.is_marked, missing)) - bar.n)
      bar.update(sum(map(job.is_marked, missing)) - bar.n)

  thread = threading.Thread(target=watch)
  thread.start()
  try:
    yield
  finally:
    ended.set()
    thread.join()
