"""What is measured of the input pipeline: reading, and training on it.

Started by `input_pipeline`, which describes the cases.
"""

import itertools

import keras
import tensorflow as tf

from benchmarks import tasks
from lc_keras.data import pipeline
from lc_keras.models import adam
from lc_keras.models import vae
from trainers import loop


class _Reading:
  """Takes batches of training, and does nothing with them."""

  parameters = 0
  flops = 0.0

  def __init__(self, case):
    self.items = case["batch"]
    self._batches = pipeline.load(
      case["dataset"],
      "train",
      case["batch"],
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
  """Trains on these batches, or on the first of them again and again."""

  def __init__(self, case, from_memory):
    super().__init__(case)
    batches = self._batches
    if from_memory:
      batches = tf.data.Dataset.from_tensors(self._first).repeat()
    keras.utils.set_random_seed(0)
    shape = pipeline.describe(case["dataset"]).image_shape
    model = vae.VAE(shape, case["latent_size"], case["architecture"])
    optimizer = adam.Adam(1e-4)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer=optimizer, jit_compile=False)
    self._loop = loop.Loop(model, batches)

  def run(self, steps):
    """See `tasks.Task`."""
    tasks.train(self._loop, steps)


def _build(case, folder):
  del folder  # Nobody needs more than the case says.
  if case["work"] == "read":
    return _Reading(case)
  return _Training(case, from_memory=case["work"] == "train from memory")


if __name__ == "__main__":
  tasks.serve(_build, tf.constant)
