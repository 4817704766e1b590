"""Tests of running signatures; prediction_service_test asks over a socket."""

import types

import grpc
import numpy as np
import tensorflow as tf
from absl.testing import absltest
from absl.testing import parameterized
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from serving.server import errors
from serving.server import predictor
from tests import serving_models

_A, _B = np.array([1.5], np.float32), np.array([2])


def _signature(defaults=(), method="tensorflow/serving/predict"):
  """Of two inputs, a and b, and two outputs, y and z."""
  signature = meta_graph_pb2.SignatureDef(method_name=method)
  for name, dtype in (("a", types_pb2.DT_FLOAT), ("b", types_pb2.DT_INT64)):
    signature.inputs[name].name = f"{name}:0"
    signature.inputs[name].dtype = dtype
  for name in ("z", "y"):
    signature.outputs[name].name = f"{name}:0"
  for name, value in dict(defaults).items():
    signature.defaults[name].CopyFrom(tf.make_tensor_proto(value))
  return signature


def _servable(signature, check_methods=False):
  def find(name):
    if name != "serving_default":
      raise errors.failed_precondition(name)
    return signature

  return types.SimpleNamespace(signature=find, check_methods=check_methods)


class PredictorTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.runs = []

  def _run(self, servable, feeds, fetches, interrupt=None):
    self.runs.append((feeds, fetches, interrupt))
    return [np.array([name]) for name in fetches]

  def _predict(self, inputs, filters=(), **kwargs):
    signature = _signature(**kwargs)
    return predictor.predict(
      _servable(signature), signature, inputs, filters, run=self._run
    )

  def _refuses(self, text, call, *args, **kwargs):
    with self.assertRaises(errors.ServingError) as caught:
      call(*args, **kwargs)
    self.assertEqual(caught.exception.text, text)
    self.assertEmpty(self.runs)
    return caught.exception.code

  def test_feeds_and_fetches_by_tensor(self):
    outputs = self._predict({"a": _A, "b": _B})
    ((feeds, fetches, _),) = self.runs
    self.assertEqual(feeds, {"a:0": _A, "b:0": _B})
    self.assertEqual(fetches, ["y:0", "z:0"])
    self.assertEqual(outputs, {"y": "y:0", "z": "z:0"})
    self.assertEqual(list(self._predict({"a": _A, "b": _B}, ["z"])), ["z"])

  def test_defaults_stand_in(self):
    self._predict({"a": _A}, defaults={"b": np.array([7])})
    self._predict({"a": _A, "b": _B}, defaults={"b": np.array([7])})
    self.assertEqual([run[0]["b:0"].tolist() for run in self.runs], [[7], [2]])

  @parameterized.parameters(
    (
      {},
      "input size does not match signature: 0!=2 len({}) != len({a,b}). Sent "
      "extra: {}. Missing but required: {a,b}.",
    ),
    (
      {"c": _A, "d": _A, "e": _A},
      "input size does not match signature: 3!=2 len({c,d,e}) != len({a,b}). "
      "Sent extra: {c,d,e}. Missing but required: {a,b}.",
    ),
    (
      {"a": _A, "c": _A},
      "input tensor alias not found in signature: c. Inputs expected to be in "
      "the set {a,b}.",
    ),
    (
      {"a": _A, "b": _A},
      "Expects arg[1] to be int64 but float is provided: input b",
    ),
  )
  def test_refuses_inputs(self, inputs, text):
    code = self._refuses(text, self._predict, inputs)
    self.assertEqual(code, grpc.StatusCode.INVALID_ARGUMENT)

  def test_refuses_what_has_no_default(self):
    self._refuses(
      "Missing but required: {a}.",
      self._predict,
      {"b": _B},
      defaults={"b": np.array([7])},
    )

  def test_refuses_outputs(self):
    inputs = {"a": _A, "b": _B}
    self._refuses(
      "output tensor alias not found in signature: x Outputs expected to be in "
      "the set {y,z}.",
      self._predict,
      inputs,
      ["x"],
    )
    self._refuses(
      "duplicate output tensor alias: y", self._predict, inputs, ["y", "y"]
    )

  def test_methods_are_checked_if_asked_for(self):
    for method in ("", "tensorflow/serving/guess"):
      signature = _signature(method=method)
      code = self._refuses(
        "Expected prediction signature method_name to be one of "
        "{tensorflow/serving/predict, tensorflow/serving/classify, "
        f"tensorflow/serving/regress}}. Was: {method}",
        predictor.predict,
        _servable(signature, check_methods=True),
        signature,
        {"a": _A, "b": _B},
        run=self._run,
      )
      self.assertEqual(code, grpc.StatusCode.INTERNAL)
    self._predict({"a": _A, "b": _B}, method="")
    self.assertLen(self.runs, 1)

  def test_answer(self):
    request = serving_models.request(a=_A, b=_B, filters=["y"])
    name, outputs = predictor.answer(
      _servable(_signature()), request, "interrupt", self._run
    )
    self.assertEqual((name, list(outputs)), ("serving_default", ["y"]))
    self.assertEqual(self.runs[0][2], "interrupt")

  def test_answer_refuses(self):
    servable = _servable(_signature())
    request = serving_models.request("halve", a=_A, b=_B)
    self._refuses("halve", predictor.answer, servable, request, run=self._run)
    request = serving_models.request(a=_A, b=_B)
    request.inputs["b"].tensor_shape.dim[0].size = -1
    self._refuses(
      "tensor parsing error: b",
      predictor.answer,
      servable,
      request,
      run=self._run,
    )


if __name__ == "__main__":
  absltest.main()
