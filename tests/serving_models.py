"""Small models for the tests of serving, and requests to them."""

import os

import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import input_pb2
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_log_pb2

# What `hold` adds to the name of the file that it waits for.
BEGUN = ".begun"


def write(folder: str, factor: float = 2.0) -> None:
  """Writes a SavedModel that multiplies, adds, echoes, refuses and spins.

  Args:
    folder: Where.
    factor: What it multiplies by: 2 in general, so that versions differ.
  """
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
    """Answers bytes, a scalar and what REST cannot write."""
    return {
      "half": tf.cast(row, tf.float16),
      "image_bytes": tf.repeat(tf.constant([b"\xff\x00"]), tf.size(row)),
      "count": tf.size(row),
    }

  def total(x):
    """Answers what depends on all rows."""
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
    """Writes a file, and runs until the one whose name it has is there.

    Of another process, or a server that lets no more calls in, too.
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


def write_half_plus_two(folder: str) -> None:
  """Writes what TensorFlow Serving's own tests serve, as TF1 would have.

  Of examples with x, and x2 which is 0 if it is not there: y = x / 2 + 2,
  y2 = x / 2 + 3, y3 = x2 / 2 + 3.
  """
  saved_model = tf.compat.v1.saved_model
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    a, b, c = (
      tf.compat.v1.get_variable(name, initializer=value, use_resource=False)
      for name, value in (("a", 0.5), ("b", 2.0), ("c", 3.0))
    )
    serialized = tf.compat.v1.placeholder(tf.string, [None], name="tf_example")
    parsed = tf.io.parse_example(
      serialized,
      {
        "x": tf.io.FixedLenFeature([1], tf.float32),
        "x2": tf.io.FixedLenFeature([1], tf.float32, [0.0]),
      },
    )
    x, x2 = (tf.identity(parsed[name], name) for name in ("x", "x2"))
    y = tf.add(a * x, b, "y")
    y2, y3 = tf.add(a * x, c, "y2"), tf.add(a * x2, c, "y3")
    session.run(tf.compat.v1.global_variables_initializer())
    builder = saved_model.Builder(folder)

    def signature(method, inputs, outputs):
      infos = (
        {name: saved_model.build_tensor_info(value) for name, value in of}
        for of in (inputs.items(), outputs.items())
      )
      return saved_model.build_signature_def(
        *infos, f"tensorflow/serving/{method}"
      )

    def regress(inputs, outputs):
      return signature("regress", {"inputs": inputs}, {"outputs": outputs})

    def classify(inputs, scores):
      return signature("classify", {"inputs": inputs}, {"scores": scores})

    builder.add_meta_graph_and_variables(
      session,
      [tf.saved_model.SERVING],
      {
        "serving_default": signature("predict", {"x": x}, {"y": y}),
        "regress_x_to_y": regress(serialized, y),
        "regress_x_to_y2": regress(serialized, y2),
        "regress_x2_to_y3": regress(x2, y3),
        "classify_x_to_y": classify(serialized, y),
        "classify_x2_to_y3": classify(x2, y3),
      },
    )
    builder.save()


def write_warmup(folder: str, *requests: predict_pb2.PredictRequest) -> None:
  """Adds warm-up requests of Predict to a SavedModel."""
  logs = []
  for request in requests:
    logs.append(prediction_log_pb2.PredictionLog())
    logs[-1].predict_log.request.CopyFrom(request)
  write_warmup_logs(folder, *logs)


def write_warmup_logs(
  folder: str, *logs: prediction_log_pb2.PredictionLog
) -> None:
  """Adds warm-up requests to a SavedModel."""
  path = os.path.join(folder, "assets.extra", "tf_serving_warmup_requests")
  os.makedirs(os.path.dirname(path), exist_ok=True)
  with tf.io.TFRecordWriter(path) as writer:
    for log in logs:
      writer.write(log.SerializeToString())


def examples(*xs, context=None, **more) -> input_pb2.Input:
  """Returns examples, each with a float x and what `more` says.

  Args:
    *xs: The values of x, one an example.
    context: An x that all of them have besides; none if None.
    **more: A value for each further feature, of all examples.
  """
  made = input_pb2.Input()
  into = made.example_list.examples
  if context is not None:
    into = made.example_list_with_context.examples
    given = made.example_list_with_context.context.features
    given.feature["x"].float_list.value.append(context)
  for x in xs:
    features = into.add().features.feature
    if x is not None:
      features["x"].float_list.value.append(x)
    for name, value in more.items():
      features[name].float_list.value.append(value)
  return made


def request(
  signature="", name="demo", filters=(), version=None, label=None, **inputs
) -> predict_pb2.PredictRequest:
  """Returns a request.

  Args:
    signature: Name of the signature.
    name: Name of the model.
    filters: The outputs to return.
    version: Number of the version.
    label: Its label.
    **inputs: Arrays, or messages.
  """
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
