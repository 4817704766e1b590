"""Two replicas on one machine, for the tests of distributed steps."""

import tensorflow as tf


def two_logical_cpus():
  """Splits the CPU in two logical devices, unless that has been done.

  Raises:
    RuntimeError: TensorFlow has already started with one.
  """
  cpu = tf.config.list_physical_devices("CPU")[0]
  if tf.config.get_logical_device_configuration(cpu) is None:
    tf.config.set_logical_device_configuration(
      cpu, [tf.config.LogicalDeviceConfiguration()] * 2
    )


def two_replica_strategy() -> tf.distribute.MirroredStrategy:
  """Returns a strategy of two replicas, each on a logical CPU of its own.

  Raises:
    RuntimeError: TensorFlow has already started with one logical CPU: call
      `two_logical_cpus` when the test module loads.
  """
  two_logical_cpus()
  return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
