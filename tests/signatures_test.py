"""Tests of the checks of a call against a signature."""

import grpc
import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from serving.server import errors
from serving.server import signatures

_A, _B = np.array([1.5], np.float32), np.array([2])


def _signature(**defaults):
  """Returns a signature of two inputs, a and b, and two outputs, y and z."""
  signature = meta_graph_pb2.SignatureDef()
  for name, dtype in (("a", types_pb2.DT_FLOAT), ("b", types_pb2.DT_INT64)):
    signature.inputs[name].name = f"{name}:0"
    signature.inputs[name].dtype = dtype
  for name in ("z", "y"):
    signature.outputs[name].name = f"{name}:0"
  for name, value in defaults.items():
    signature.defaults[name].CopyFrom(tf.make_tensor_proto(value))
  return signature


class SignaturesTest(parameterized.TestCase):
  def _assert_refused(self, text, call, *args):
    with self.assertRaises(errors.ServingError) as caught:
      call(*args)
    self.assertEqual(caught.exception.text, text)
    self.assertEqual(caught.exception.code, grpc.StatusCode.INVALID_ARGUMENT)

  def test_feeds_by_tensor(self):
    fed = signatures.feeds(_signature(), {"b": _B, "a": _A})
    self.assertEqual(fed, {"a:0": _A, "b:0": _B})

  def test_defaults_are_filled_in(self):
    signature = _signature(b=np.array([7]))
    self.assertEqual(signatures.feeds(signature, {"a": _A})["b:0"], 7)
    self.assertEqual(signatures.feeds(signature, {"a": _A, "b": _B})["b:0"], 2)
    self._assert_refused(
      "Signature input alias: a(feed name: a:0) not found in request and no "
      "default value provided. Inputs expected to be in the request {b}, or "
      "default input alias set: b",
      *(signatures.feeds, signature, {"b": _B}),
    )
    self._assert_refused(
      "Inputs contains invalid name. Used request inputs: a, request input: "
      "a,c",
      *(signatures.feeds, signature, {"a": _A, "c": _A}),
    )

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
      "Signature input alias: b(feed name: b:0) not found in request and no "
      "default value provided. Inputs expected to be in the request {a,c}, or "
      "default input alias set: ",
    ),
    (
      {"a": _A, "b": _A},
      "Expects arg[1] to be int64 but float is provided: input b",
    ),
  )
  def test_refuses_inputs(self, inputs, text):
    self._assert_refused(text, signatures.feeds, _signature(), inputs)

  def test_outputs(self):
    signature = _signature()
    self.assertEqual(signatures.outputs(signature, []), ["y", "z"])
    self.assertEqual(signatures.outputs(signature, ["z"]), ["z"])
    self._assert_refused(
      "output tensor alias not found in signature: x Outputs expected to be in "
      "the set {y,z}.",
      *(signatures.outputs, signature, ["x"]),
    )
    self._assert_refused(
      "duplicate output tensor alias: y",
      *(signatures.outputs, signature, ["y", "y"]),
    )
