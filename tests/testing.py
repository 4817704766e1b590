"""Helpers of tests: two replicas, fixed draws, batches, modules of users."""

import pathlib
import sys
import uuid
from collections.abc import Callable, Mapping
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context


def keep_kernels():
  """Lets the tests of a class share TensorFlow's kernels.

  `tf.test.TestCase` sets the same seed before each test, at which TensorFlow
  drops all kernels: each test would repeat the slow first call of a function,
  seconds for a sampler. Our draws keep no state in kernels.
  """
  set_up = tf.test.TestCase.setUp

  def quick(self):
    with mock.patch.object(
      context.pywrap_tfe, "TFE_ContextClearCaches", lambda _: None
    ):
      set_up(self)

  tf.test.TestCase.setUp = quick


def two_logical_cpus():
  """Splits the CPU into two logical devices, before TensorFlow starts."""
  tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
  )


def two_replica_strategy() -> tf.distribute.MirroredStrategy:
  """Returns a strategy of two replicas, each on its own logical CPU."""
  # The default collective operations are shared by all strategies of a process,
  # where those of a second one, as under pytest, conflict with the first's.
  return tf.distribute.MirroredStrategy(
    ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
  )


def draws(normal: float | None = None, uniform: float | None = None):
  """Makes all random numbers equal; batches must be drawn before.

  Args:
    normal: Value of all draws of a normal distribution; None is random.
    uniform: The same for a uniform distribution.
  """

  def fixed(value):
    return lambda shape, seed, *limits, dtype=tf.float32, **more: tf.cast(
      tf.fill(shape, value), dtype
    )

  values = {"stateless_normal": normal, "stateless_uniform": uniform}
  return mock.patch.multiple(
    tf.random,
    **{k: fixed(value) for k, value in values.items() if value is not None},
  )


def requests(rows: int, latent_size: int, num_attributes: int):
  """Returns inputs of an actor or critic, the same in every test.

  Returns:
    Float32 latents [rows, latent_size], values in {0, 1} and a mask of ones,
    [rows, num_attributes] each. Arrays, which tests may change.
  """
  random = np.random.default_rng(0)
  return (
    random.normal(size=[rows, latent_size]).astype(np.float32),
    random.integers(0, 2, [rows, num_attributes]).astype(np.float32),
    np.ones([rows, num_attributes], np.float32),
  )


def batches(rows: Mapping[str, np.ndarray], batch_size: int) -> tf.data.Dataset:
  """Returns columns of rows as batches."""
  return tf.data.Dataset.from_tensor_slices(dict(rows)).batch(batch_size)


def evaluate(
  model: keras.Model, rows: Mapping[str, np.ndarray], batch_size: int
) -> dict[str, float]:
  """Returns a compiled model's metrics, by name."""
  return model.evaluate(batches(rows, batch_size), return_dict=True, verbose=0)


def write_module(test, folder: pathlib.Path, text: str) -> str:
  """Writes a module that a test can import; returns its name."""
  name = f"theirs_{uuid.uuid4().hex}"
  (folder / f"{name}.py").write_text(text)
  test.enter_context(mock.patch.object(sys, "path", [str(folder), *sys.path]))
  return name


def labelled_images(rows: int) -> dict[str, np.ndarray]:
  """Returns images whose brightness is their share of five attributes."""
  random = np.random.default_rng(0)
  attributes = random.integers(0, 2, [rows, 5]).astype(np.float32)
  image = 0.2 + 0.6 * attributes.mean(axis=1)[:, None, None, None]
  image = image + random.normal(0.0, 0.02, [rows, 8, 16, 1])
  return {"image": image.astype(np.float32), "attributes": attributes}


def weights_after_one_step(
  make: Callable[[], keras.Model],
  batch: Mapping[str, np.ndarray],
  strategy: tf.distribute.Strategy | None = None,
) -> list[np.ndarray]:
  """Returns a model's weights after one step of `fit` on one batch.

  Args:
    make: Makes a compiled model, the same every time.
    batch: Batch of a step, for all replicas together.
    strategy: Strategy of one or more replicas; none if not given.
  """
  with (strategy or tf.distribute.get_strategy()).scope():
    model = make()
  dataset = tf.data.Dataset.from_tensors(dict(batch))
  model.fit(dataset, shuffle=False, verbose=0)
  return model.get_weights()
