"""Small models for the tests of serving, and requests to them."""

import atexit
import functools
import os
import shutil
import tempfile

import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_log_pb2

from serving import server

# Suffix of the file that `hold` writes; it waits for the file without it.
BEGUN = ".begun"


def write(folder: str, factor: float = 2.0) -> None:
  """Writes a SavedModel that multiplies, adds, echoes, refuses and spins.

  Tests tell versions apart by the factor.
  """
  shutil.copytree(_saved(factor), folder, dirs_exist_ok=True)


@functools.cache
def _saved(factor):
  """Saves the model once in a process: tracing takes longer than a test."""
  folder = tempfile.mkdtemp()
  atexit.register(shutil.rmtree, folder)
  module = tf.Module()
  module.go = tf.Variable(True)
  module.ticks = tf.Variable(0, dtype=tf.int64)
  module.factor = tf.Variable(factor)

  def multiply(x):
    return {"y": module.factor * x}

  def add(a, b):
    positive = tf.debugging.Assert(
      tf.reduce_all(a >= 0), ["a must not be negative"]
    )
    with tf.control_dependencies([positive]):
      return {"sum": a + b, "difference": a - b}

  def echo(text):
    return {"text": text, "length": tf.strings.length(text)}

  def picture(row):
    """Returns bytes, a scalar, and a type that REST does not support."""
    return {
      "half": tf.cast(row, tf.float16),
      "image_bytes": tf.repeat(tf.constant([b"\xff\x00"]), tf.size(row)),
      "count": tf.size(row),
    }

  def total(x):
    """Returns a value that depends on all rows."""
    return {"total": tf.reduce_sum(x)}

  def spin(row):
    """Runs until `stop` is called."""
    turns = tf.while_loop(
      lambda turns: module.go.read_value(),
      lambda turns: [turns + tf.ones_like(module.ticks.assign_add(1))],
      [tf.constant(0, tf.int64)],
    )
    return {"turns": row + turns[0]}

  def hold(path):
    """Writes a file, and runs until another file exists.

    So it can be ended in another process, and if no more calls are admitted.
    """
    begun = tf.io.write_file(path[0] + BEGUN, "")
    with tf.control_dependencies([begun]):
      turns = tf.while_loop(
        lambda turns: tf.equal(tf.size(tf.io.matching_files(path[0])), 0),
        lambda turns: turns + 1,
        [0],
      )
    with tf.control_dependencies(turns):
      return {"path": tf.identity(path)}

  def stop(row):
    with tf.control_dependencies([module.go.assign(False)]):
      return {"row": tf.identity(row)}

  def ticks(row):
    return {"ticks": module.ticks.read_value() + tf.zeros_like(row)}

  def signature(function, **inputs):
    specs = [tf.TensorSpec(*spec, name=name) for name, spec in inputs.items()]
    return tf.function(function, specs, autograph=False)

  rows = ([None], tf.int64)
  module.functions = {
    "serving_default": signature(multiply, x=([None, 2], tf.float32)),
    "any_length": signature(multiply, x=([None, None], tf.float32)),
    "add": signature(add, a=rows, b=rows),
    "echo": signature(echo, text=([None], tf.string)),
    "picture": signature(picture, row=rows),
    "total": signature(total, x=([None, 2], tf.float32)),
    "spin": signature(spin, row=rows),
    "hold": signature(hold, path=([None], tf.string)),
    "stop": signature(stop, row=rows),
    "ticks": signature(ticks, row=rows),
  }
  tf.saved_model.save(module, folder, module.functions)
  return folder


def config(more: str = "", **base_paths: str) -> str:
  """Returns the text of a configuration of models with these base paths."""
  models = "".join(
    f'config {{ name: "{name}" base_path: "{base_path}" '
    f'model_platform: "tensorflow" {more} }}\n'
    for name, base_path in base_paths.items()
  )
  return f"model_config_list {{ {models} }}"


def write_tf1(folder: str) -> None:
  """Writes a SavedModel of TF1: half of x, plus two."""
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    x = tf.compat.v1.placeholder(tf.float32, [None], name="x")
    half = tf.compat.v1.get_variable(
      "half", initializer=0.5, use_resource=False
    )
    y = tf.add(half * x, 2.0, name="y")
    session.run(tf.compat.v1.global_variables_initializer())
    tf.compat.v1.saved_model.simple_save(session, folder, {"x": x}, {"y": y})


def write_warmup(folder: str, *requests: predict_pb2.PredictRequest) -> None:
  """Adds warm-up requests to a SavedModel."""
  path = os.path.join(folder, server.WARMUP_REQUESTS)
  os.makedirs(os.path.dirname(path), exist_ok=True)
  with tf.io.TFRecordWriter(path) as writer:
    for made in requests:
      log = prediction_log_pb2.PredictionLog()
      log.predict_log.request.CopyFrom(made)
      writer.write(log.SerializeToString())


def request(
  signature="", name="demo", filters=(), version=None, label=None, **inputs
) -> predict_pb2.PredictRequest:
  """Returns a request; inputs are arrays or messages, filters are outputs."""
  made = predict_pb2.PredictRequest(output_filter=filters)
  made.model_spec.name = name
  made.model_spec.signature_name = signature
  if version is not None:
    made.model_spec.version.value = version
  if label is not None:
    made.model_spec.version_label = label
  for key, value in inputs.items():
    if not isinstance(value, tensor_pb2.TensorProto):
      value = tf.make_tensor_proto(value)
    made.inputs[key].CopyFrom(value)
  return made
