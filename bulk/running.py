"""Makes the shards of a job: here, one after the other, or on Apache Beam."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

import tqdm
from absl import flags
from etils import epy

from bulk import shards as shards_lib
from trainers import runs

with epy.lazy_imports():
  from bulk import on_beam

LOCAL = "local"
_POLL_SECONDS = 2.0


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags that say where and how the work is done."""
  flags.DEFINE_string(
    "runner",
    LOCAL,
    "Where shards are made: local is this process, without Apache Beam; "
    "otherwise a runner of Beam's, such as DirectRunner, FlinkRunner or "
    "DataflowRunner.",
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
    "max_bad",
    0,
    "Most rows that may be bad, and are then left out: those for which "
    "something comes out that is not a number.",
    lower_bound=0,
    flag_values=values,
  )


def run(
  folder: str,
  work: shards_lib.Work,
  shards: Sequence[shards_lib.Shard],
  settings: flags.FlagValues,
) -> dict[str, int]:
  """Makes the shards that are not there yet, with progress.

  Args:
    folder: Where to; made if needed. Every worker must see it by this name.
    work: The job.
    shards: All shards of it.
    settings: The job's flags.

  Returns:
    "rows" and "bad" of all shards, made now or before, and "made", shards
    made now.

  Raises:
    ValueError: The folder holds other work, or too many rows are bad.
  """
  os.makedirs(folder, exist_ok=True)
  wanted = shards_lib.missing(folder, work, shards)
  if wanted:
    if len(wanted) < len(shards):
      runs.say(f"{len(shards) - len(wanted)} of {len(shards)} shards are done")
    if settings.runner == LOCAL:
      maker = work.open()
      for shard in tqdm.tqdm(wanted, unit=" shards"):
        shards_lib.make(folder, work, maker, shard)
    else:
      with _Progress(folder, wanted):
        counted = on_beam.run(
          folder, work, wanted, settings.runner, settings.beam_option
        )
      runs.say(", ".join(f"{name}: {n}" for name, n in counted.items()))
  total = shards_lib.check(folder, work, shards, settings.max_bad)
  return total | {"made": len(wanted)}


class _Progress:
  """Shows how many shards are done, wherever they are made."""

  def __init__(self, folder, wanted):
    self._folder = folder
    self._wanted = wanted
    self._stopped = threading.Event()
    self._thread = threading.Thread(target=self._watch)

  def __enter__(self):
    # Marks of damaged shards would count.
    for shard in self._wanted:
      shards_lib.forget(self._folder, shard)
    self._bar = tqdm.tqdm(total=len(self._wanted), unit=" shards")
    self._thread.start()

  def __exit__(self, *error):
    self._stopped.set()
    self._thread.join()
    self._bar.close()

  def _watch(self):
    while True:
      last = self._stopped.wait(_POLL_SECONDS)
      done = shards_lib.count(self._folder, self._wanted)
      self._bar.update(done - self._bar.n)
      if last:
        return
