"""Tests of Classify, Regress and MultiInference, without a server."""

import os
import shutil
import tempfile

import grpc
import numpy as np
import tensorflow as tf
from absl.testing import absltest
from absl.testing import parameterized
from tensorflow_serving.apis import classification_pb2
from tensorflow_serving.apis import inference_pb2
from tensorflow_serving.apis import input_pb2
from tensorflow_serving.apis import regression_pb2

from serving.server import errors
from serving.server import inference
from serving.server import servables
from tests import serving_models

_CLASSIFY = tf.saved_model.CLASSIFY_METHOD_NAME
_REGRESS = tf.saved_model.REGRESS_METHOD_NAME
_PREDICT = tf.saved_model.PREDICT_METHOD_NAME


def _write_native(folder):
  """Writes a SavedModel of TF2, whose signatures say nothing of an RPC."""
  module = tf.Module()

  def parse(inputs):
    spec = {"x": tf.io.FixedLenFeature([], tf.float32)}
    return tf.io.parse_example(inputs, spec)["x"]

  def scores(inputs):
    x = parse(inputs)
    return tf.stack([x, 2.0 * x], 1)

  def classes(inputs, count=2):
    return tf.repeat(
      tf.constant([["cat", "dog", "cow"][:count]]), tf.size(inputs), 0
    )

  functions = {
    "serving_default": lambda inputs: {"outputs": parse(inputs)},
    "column": lambda inputs: {"outputs": parse(inputs)[:, None]},
    "both": lambda inputs: {
      "classes": classes(inputs),
      "scores": scores(inputs),
    },
    "classes": lambda inputs: {"classes": classes(inputs)},
    "wide": lambda inputs: {"outputs": scores(inputs)},
    "flat": lambda inputs: {"scores": parse(inputs)},
    "first": lambda inputs: {"outputs": parse(inputs)[:1]},
    "first_scores": lambda inputs: {"scores": scores(inputs)[:1]},
    "doubles": lambda inputs: {"outputs": tf.cast(parse(inputs), tf.float64)},
    "numbers": lambda inputs: {"classes": scores(inputs)},
    "mismatch": lambda inputs: {
      "classes": classes(inputs, 3),
      "scores": scores(inputs),
    },
    "third": lambda inputs: {"scores": scores(inputs), "x": 1, "y": 2},
    "bytes": lambda inputs: {
      "classes": tf.repeat([["\xff".encode("latin-1")]], tf.size(inputs), 0)
    },
    "unnamed": lambda text: {"outputs": parse(text)},
    "unnamed_output": lambda inputs: {"y": parse(inputs)},
    "two": lambda inputs, other: {"outputs": parse(inputs)},
  }
  rows = tf.TensorSpec([None], tf.string)
  module.functions = {
    name: tf.function(
      function,
      [
        tf.TensorSpec(rows.shape, rows.dtype, name=argument)
        for argument in function.__code__.co_varnames[
          : function.__code__.co_argcount
        ]
      ],
      autograph=False,
    )
    for name, function in functions.items()
  }
  tf.saved_model.save(module, folder, module.functions)


def _ask(kind, signature, given, name="demo"):
  request = kind(input=given)
  request.model_spec.name = name
  request.model_spec.signature_name = signature
  return request


def _tasks(*tasks, given=None, name="demo"):
  """Returns a request of pairs of a signature and an RPC."""
  request = inference_pb2.MultiInferenceRequest(input=given)
  for signature, method in tasks:
    task = request.tasks.add(method_name=method)
    task.model_spec.name = name
    task.model_spec.signature_name = signature
  return request


class InferenceTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    folder = tempfile.mkdtemp()
    cls.addClassCleanup(shutil.rmtree, folder)
    cls.models = {}
    for name, write, check in (
      ("tf1", serving_models.write_half_plus_two, True),
      ("tf2", _write_native, False),
    ):
      path = os.path.join(folder, name)
      write(path)
      cls.models[name] = servables.Servable(
        "demo", 123, path, check_methods=check
      )
      cls.addClassCleanup(cls.models[name].close)

  def _classify(self, signature, *xs, model="tf2", **kwargs):
    return inference.classify(
      self.models[model],
      _ask(
        classification_pb2.ClassificationRequest,
        signature,
        serving_models.examples(*xs, **kwargs),
      ),
    )

  def _regress(self, signature, *xs, model="tf2", **kwargs):
    return inference.regress(
      self.models[model],
      _ask(
        regression_pb2.RegressionRequest,
        signature,
        serving_models.examples(*xs, **kwargs),
      ),
    )

  def _refuses(
    self, text, call, *args, code=grpc.StatusCode.INVALID_ARGUMENT, **kwargs
  ):
    with self.assertRaises(errors.ServingError) as caught:
      call(*args, **kwargs)
    self.assertStartsWith(caught.exception.text, text)
    self.assertEqual(caught.exception.code, code)

  def test_regression(self):
    response = self._regress("regress_x_to_y", 2.0, 80.0, model="tf1")
    self.assertEqual([v.value for v in response.result.regressions], [3.0, 42])
    self.assertEqual(response.model_spec.name, "demo")
    self.assertEqual(response.model_spec.signature_name, "regress_x_to_y")
    self.assertEqual(response.model_spec.version.value, 123)
    # Of the default signature, and in a column.
    response = self._regress("", 2.0, 3.0)
    self.assertEqual([v.value for v in response.result.regressions], [2.0, 3.0])
    self.assertEqual(response.model_spec.signature_name, "serving_default")
    self.assertEqual(self._regress("column", 2, 3).result, response.result)

  def test_classification(self):
    def pairs(response):
      return [
        [(one.label, one.score) for one in row.classes]
        for row in response.result.classifications
      ]

    scores = self._classify("classify_x_to_y", 2.0, 4.0, model="tf1")
    self.assertEqual(pairs(scores), [[("", 3.0)], [("", 4.0)]])
    self.assertEqual(scores.model_spec.version.value, 123)
    self.assertEqual(
      pairs(self._classify("both", 1.0, 3.0)),
      [[("cat", 1.0), ("dog", 2.0)], [("cat", 3.0), ("dog", 6.0)]],
    )
    self.assertEqual(
      pairs(self._classify("classes", 1.0)), [[("cat", 0.0), ("dog", 0.0)]]
    )

  def test_a_context_is_part_of_every_example(self):
    for xs, expected in (([None, None], [4.0, 4.0]), ([2.0, None], [3.0, 4.0])):
      response = self._regress("regress_x_to_y", *xs, context=4.0, model="tf1")
      self.assertEqual([v.value for v in response.result.regressions], expected)

  def test_several_at_once(self):
    tasks = _tasks(
      ("regress_x_to_y", _REGRESS),
      ("classify_x_to_y", _CLASSIFY),
      ("regress_x_to_y2", _REGRESS),
      given=serving_models.examples(2.0),
    )
    runs = []

    def run(servable, feeds, fetches, interrupt=None):
      runs.append(fetches)
      return servable.run(feeds, fetches, interrupt)

    response = inference.multi_inference(self.models["tf1"], tasks, run=run)
    self.assertEqual(runs, [["y2:0", "y:0"]])
    first, second, third = response.results
    self.assertEqual(first.regression_result.regressions[0].value, 3.0)
    classification = second.classification_result.classifications[0]
    self.assertEqual(classification.classes[0].score, 3.0)
    self.assertEqual(third.regression_result.regressions[0].value, 4.0)
    for task, result in zip(tasks.tasks, response.results):
      task.model_spec.version.value = 123
      self.assertEqual(result.model_spec, task.model_spec)

  def test_several_with_inputs_of_their_own(self):
    tasks = _tasks(
      ("", _REGRESS), ("both", _CLASSIFY), given=serving_models.examples(2.0)
    )
    response = inference.multi_inference(self.models["tf2"], tasks)
    self.assertEqual(
      response.results[0].regression_result.regressions[0].value, 2.0
    )
    self.assertEqual(
      response.results[0].model_spec.signature_name, "serving_default"
    )
    row = response.results[1].classification_result.classifications[0]
    self.assertEqual([one.score for one in row.classes], [2.0, 4.0])

  @parameterized.parameters(
    ("halve", "No signature was found with the name: halve"),
    ("two", "Expected one input Tensor."),
    ("both", "Expected one output Tensor."),
    (
      "wide",
      "Expected output Tensor shape to be either [batch_size] or [batch_size, "
      "1] but got [2,2]",
    ),
    (
      "first",
      "Input batch size did not match output batch size: 2 vs. 1",
    ),
    ("doubles", "Expected output Tensor of DT_FLOAT.  Got: DT_DOUBLE"),
  )
  def test_what_is_no_regression(self, signature, text):
    self._refuses(text, self._regress, signature, 1.0, 2.0)

  @parameterized.parameters(
    ("halve", "No signature was found with the name: halve"),
    ("two", "Expected one input Tensor."),
    ("third", "Expected one or two output Tensors, found 3"),
    (
      "flat",
      "Expected Tensor shape: [batch_size num_classes] but got [2]",
    ),
    ("first_scores", "Expected scores output batch size of 2. Got: 1"),
    ("numbers", "Expected classes Tensor of DT_STRING. Got: DT_FLOAT"),
    (
      "mismatch",
      "Tensors class and score should match in dim_size(1). Got 3 vs. 2",
    ),
    ("bytes", "A class is not UTF-8"),
  )
  def test_what_is_no_classification(self, signature, text):
    self._refuses(text, self._classify, signature, 1.0, 2.0)

  def test_names_that_are_not_there(self):
    for call, signature, text in (
      (
        self._regress,
        "unnamed",
        "No regression inputs found in SignatureDef: inputs {",
      ),
      (
        self._classify,
        "unnamed",
        "No classification inputs found in SignatureDef: ",
      ),
      (
        self._regress,
        "unnamed_output",
        "No regression outputs found in SignatureDef: ",
      ),
      (
        self._classify,
        "unnamed_output",
        "Expected classification signature outputs to contain at least one of "
        '"classes" or "scores". Signature was: ',
      ),
    ):
      self._refuses(
        text, call, signature, 1.0, code=grpc.StatusCode.FAILED_PRECONDITION
      )

  def test_methods_are_checked_if_asked_for(self):
    self._refuses(
      f"Expected classification signature method_name to be {_CLASSIFY}. Was: "
      f"{_REGRESS}",
      self._classify,
      "regress_x_to_y",
      1.0,
      model="tf1",
    )
    self._refuses(
      f"Expected regression signature method_name to be {_REGRESS}. Was: "
      f"{_PREDICT}",
      self._regress,
      "",
      1.0,
      model="tf1",
    )

  def test_examples_that_are_none(self):
    for given in (input_pb2.Input(), serving_models.examples(context=1.0)):
      request = _ask(regression_pb2.RegressionRequest, "", given)
      self._refuses(
        "Input is empty.", inference.regress, self.models["tf2"], request
      )
    # Without x; with an x of another type; where numbers are expected.
    self._refuses("", self._regress, "", None)
    whole = input_pb2.Input()
    features = whole.example_list.examples.add().features
    features.feature["x"].int64_list.value.append(2)
    request = _ask(regression_pb2.RegressionRequest, "", whole)
    self._refuses("", inference.regress, self.models["tf2"], request)
    self._refuses(
      "Expects arg[0] to be float but string is provided",
      self._regress,
      "regress_x2_to_y3",
      2.0,
      model="tf1",
    )

  def test_tasks_that_do_not_go_together(self):
    regress = ("regress_x_to_y", _REGRESS)
    given = serving_models.examples(2.0)
    other = _tasks(regress, ("regress_x_to_y2", _REGRESS), given=given)
    other.tasks[1].model_spec.name = "other"
    for request, text in (
      (_tasks(regress), "Input is empty."),
      (
        _tasks(regress, given=given, name=""),
        "Found ModelSpec with an empty model name.",
      ),
      (
        other,
        "All ModelSpecs in a MultiInferenceRequest must access the same model "
        "name.",
      ),
      (
        _tasks(regress, regress, given=given),
        "Duplicate evaluation of signature: regress_x_to_y",
      ),
      (
        _tasks(("halve", _REGRESS), given=given),
        "Requested signature not found in model graph: halve",
      ),
      (
        _tasks(("classify_x_to_y", _REGRESS), given=given),
        f"Expected regression signature method_name to be {_REGRESS}. Was: "
        f"{_CLASSIFY}",
      ),
    ):
      self._refuses(
        text, inference.multi_inference, self.models["tf1"], request
      )
    self._refuses(
      f"Unsupported signature method_name: {_PREDICT}",
      inference.multi_inference,
      self.models["tf1"],
      _tasks(("", _PREDICT), given=given),
      code=grpc.StatusCode.UNIMPLEMENTED,
    )

  def test_more_examples_than_one(self):
    xs = np.linspace(-1.0, 1.0, 100).tolist()
    response = self._regress("", *xs)
    np.testing.assert_array_equal(
      [v.value for v in response.result.regressions], np.float32(xs)
    )


if __name__ == "__main__":
  absltest.main()
