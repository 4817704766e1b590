"""Compares reading with training: python -m benchmarks.input_pipeline.

Times the reading of batches of toon_faces, as for the demo's VAE, and the VAE's
training step on a batch in memory. On a CPU both use the same cores: the step
is timed on batches from the pipeline, too.
"""

import contextlib
import itertools
import os
import sys

import keras
import tensorflow as tf
from absl import flags

from benchmarks import tasks
from benchmarks import timing
from lc_keras.data import pipeline
from lc_keras.models import adam
from lc_keras.models import vae
from trainers import loop

_DATASET, _BATCH = "toon_faces/studio", 64
_DATA_DIR = flags.DEFINE_string(
  "data_dir", "data", "Folder in which prepared data sets are kept."
)


class _Reading:
  """Reads batches of the training split, and does nothing with them."""

  parameters = 0
  items = _BATCH
  flops = 0.0

  def __init__(self, case):
    self._batches = pipeline.load(
      _DATASET,
      "train",
      _BATCH,
      data_dir=case["data_dir"],
      training=True,
    )
    self._iterator = iter(self._batches)
    self._first = next(self._iterator)

  def loss(self):
    """See `tasks.Task`; the mean of the first batch."""
    return tf.reduce_mean(self._first["image"])

  def run(self, steps):
    """See `tasks.Task`."""
    for batch in itertools.islice(self._iterator, steps):
      batch["image"].shape.assert_has_rank(4)


class _Training(_Reading):
  """Trains on these batches, or on the first one repeated."""

  def __init__(self, case, from_memory):
    super().__init__(case)
    batches = self._batches
    if from_memory:
      batches = tf.data.Dataset.from_tensors(self._first).repeat()
    keras.utils.set_random_seed(0)
    shape = pipeline.describe(_DATASET).image_shape
    model = vae.VAE(shape, 256, "toon_faces")
    model.compile(adam.Adam(1e-4))
    self._loop = loop.Loop(model, batches)

  def run(self, steps):
    """See `tasks.Task`."""
    tasks.train(self._loop, steps)


def _build(case, folder):
  del folder  # There is no peer.
  if case["work"] == "read":
    return _Reading(case)
  return _Training(case, from_memory=case["work"] == "train from memory")


def _measure():
  machine = timing.machine()
  data_dir = os.path.abspath(_DATA_DIR.value)
  pipeline.prepare(_DATASET, data_dir)
  speeds = {}
  with contextlib.ExitStack() as stack:
    for work in ("read", "train from memory", "train on what is read"):
      worker = stack.enter_context(
        timing.Worker(sys.executable, "benchmarks.input_pipeline", "--worker")
      )
      worker.do("build", case={"work": work, "data_dir": data_dir}, folder="")
      speeds[work] = worker
    rates = timing.in_turn("toon_faces", speeds)[0]
  memory = _BATCH * rates.pop("train from memory")
  rows = [
    timing.row(
      work,
      "images/s",
      {work: _BATCH * values, "train from memory": memory},
    )
    for work, values in rates.items()
  ]
  timing.report("input_pipeline", rows, machine)


if __name__ == "__main__":
  if "--worker" in sys.argv:
    tasks.serve(_build, tf.constant)
  else:
    timing.run(_measure)
