"""Models whose right answer is known from the version that answers.

y = factor * x + version. The factor tells models apart. Both are written into
copies of one SavedModel, which is faster than to save another.
"""

import os
import shutil
import threading
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from serving.server import versions

# Stand in the SavedModel for them.
_FACTOR, _VERSION = 123456.0, 987654.0
# A version that is not let go of should be seen: a megabyte.
_BALLAST = 2**18
_PROTO = "saved_model.pb"


class Template:
  """A SavedModel to make models and versions of."""

  def __init__(self, folder: str):
    """Saves it.

    Args:
      folder: Where.
    """
    self._folder = folder
    _save(folder)
    with open(os.path.join(folder, _PROTO), "rb") as file:
      self._proto = saved_model_pb2.SavedModel.FromString(file.read())
    self._factors = list(_constants(self._proto, _FACTOR))
    self._versions = list(_constants(self._proto, _VERSION))
    # Of which there is one, and several parts of a test.
    self._lock = threading.Lock()

  def files(self, factor: float, version: int) -> dict[str, bytes]:
    """Returns what a version's folder holds, in the order of a copy.

    Args:
      factor: An integer, so that all is exact.
      version: The version.
    """
    with self._lock:
      for constants, value in (
        (self._factors, factor),
        (self._versions, version),
      ):
        for constant in constants:
          constant.CopyFrom(tf.make_tensor_proto(np.float32(value)))
      contents = {_PROTO: self._proto.SerializeToString()}
    for path in versions.fingerprint(self._folder):
      name = os.path.relpath(path, self._folder)
      if name not in (_PROTO, "fingerprint.pb"):
        with open(path, "rb") as file:
          contents[name] = file.read()
    return contents


def write(folder: str, name: str, content: bytes) -> None:
  """Writes one file of a version."""
  path = os.path.join(folder, name)
  os.makedirs(os.path.dirname(path), exist_ok=True)
  with open(path, "wb") as file:
    file.write(content)


def publish(files: Mapping[str, bytes], base_path: str, version: int) -> None:
  """Puts a version there by a rename."""
  aside = os.path.join(base_path, f".tmp-{version}")
  for name, content in files.items():
    write(aside, name, content)
  os.rename(aside, os.path.join(base_path, str(version)))


def remove(base_path: str, version: int) -> None:
  """Takes a version away by a rename."""
  aside = os.path.join(base_path, f".gone-{version}")
  os.rename(os.path.join(base_path, str(version)), aside)
  shutil.rmtree(aside)


def version_of(x: np.ndarray, y, factor: float) -> int | None:
  """Returns which version has answered; None if none would answer that."""
  y = np.asarray(y, np.float32)
  if y.shape != x.shape or not y.size:
    return None
  rest = y - factor * x
  version = rest.ravel()[0]
  return int(version) if np.all(rest == version) and version % 1 == 0 else None


def _save(folder):
  module = tf.Module()
  module.ballast = tf.Variable(tf.zeros([_BALLAST]))
  module.gate = tf.Variable(0, dtype=tf.int64)
  module.started = tf.Variable(0, dtype=tf.int64)

  def answer(x):
    y = tf.constant(_FACTOR) * x + tf.constant(_VERSION)
    return {"y": y + module.ballast[0]}

  def wait(x, seconds):
    """Answers after a while."""
    with tf.control_dependencies([module.started.assign_add(1)]):
      end = tf.timestamp() + tf.cast(tf.reduce_max(seconds), tf.float64)
    turns = tf.while_loop(
      lambda turns: tf.timestamp() < end, lambda turns: turns + 1, [0]
    )
    with tf.control_dependencies(turns):
      return answer(x)

  def spin(x):
    """Answers after `release` was called, and never without."""
    begin = module.gate.read_value()
    with tf.control_dependencies([begin, module.started.assign_add(1)]):
      turns = tf.while_loop(
        lambda turns: tf.equal(module.gate.read_value(), begin),
        lambda turns: turns + 1,
        [tf.constant(0, tf.int64)],
      )
    with tf.control_dependencies(turns):
      return answer(x)

  def release(x):
    with tf.control_dependencies([module.gate.assign_add(1)]):
      return {"x": tf.identity(x)}

  def started(x):
    """Says how many calls of `wait` and `spin` have begun."""
    began = tf.cast(module.started.read_value(), tf.float32)
    return {"started": began + tf.zeros_like(x)}

  rows = tf.TensorSpec([None, 2], tf.float32, "x")
  seconds = tf.TensorSpec([None], tf.float32, "seconds")

  def signature(function, *specs):
    return tf.function(function, specs, autograph=False)

  module.functions = {
    "serving_default": signature(answer, rows),
    "wait": signature(wait, rows, seconds),
    "spin": signature(spin, rows),
    "release": signature(release, rows),
    "started": signature(started, rows),
  }
  tf.saved_model.save(module, folder, module.functions)


def _constants(proto, mark):
  """Yields the constants of a value."""
  for meta_graph in proto.meta_graphs:
    graph = meta_graph.graph_def
    for nodes in (graph.node, *(f.node_def for f in graph.library.function)):
      for node in nodes:
        if node.op == "Const" and node.attr["dtype"].type == tf.float32:
          value = tf.make_ndarray(node.attr["value"].tensor)
          if np.array_equal(value, np.float32(mark)):
            yield node.attr["value"].tensor
