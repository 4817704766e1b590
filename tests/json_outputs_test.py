"""Tests of writing the JSON of answers."""

import json

import numpy as np
from absl.testing import parameterized

from serving.server import errors
from serving.server import json_outputs

_ROWS = np.array([[1, 2, 3], [4, 5, 6]])


class JsonOutputsTest(parameterized.TestCase):
  def _write(self, form, **outputs):
    return json.loads(json_outputs.write(form, outputs))

  def test_forms(self):
    self.assertEqual(
      self._write("instances", y=_ROWS), {"predictions": _ROWS.tolist()}
    )
    self.assertEqual(
      self._write("inputs", y=_ROWS), {"outputs": _ROWS.tolist()}
    )
    self.assertEqual(
      self._write("instances", y=_ROWS, z=np.array([True, False])),
      {
        "predictions": [
          {"y": [1, 2, 3], "z": True},
          {"y": [4, 5, 6], "z": False},
        ]
      },
    )
    self.assertEqual(
      self._write("inputs", y=_ROWS, z=np.float32(0.1)),
      {"outputs": {"y": _ROWS.tolist(), "z": 0.1}},
    )

  @parameterized.parameters(np.float32, np.float64)
  def test_floats_read_back_equal_and_are_short(self, dtype):
    random = np.random.default_rng(0)
    values = random.normal(size=500) * 10.0 ** random.integers(-30, 30, 500)
    values = np.concatenate([values, [0.1, 3.0, 1e-5, 1e22, -0.0]])
    values = values.astype(dtype)
    text = json_outputs.write("inputs", {"y": values})
    np.testing.assert_array_equal(
      np.array(json.loads(text)["outputs"], dtype), values
    )
    self.assertIn(b"0.1, 3.0, 1e-05, 1e+22, -0.0]", text)

  def test_floats_that_are_no_numbers(self):
    self.assertIn(
      b"[NaN, Infinity, -Infinity, 1.0]",
      json_outputs.write(
        "inputs", {"y": np.array([np.nan, np.inf, -np.inf, 1], np.float32)}
      ),
    )

  @parameterized.parameters(
    ((0,),), ((0, 3),), ((2, 0),), ((2, 0, 3),), ((2, 3, 0),), ((),)
  )
  def test_shapes(self, *shape):
    array = np.zeros(shape[0], np.int32)
    self.assertEqual(
      self._write("inputs", y=array), {"outputs": array.tolist()}
    )

  def test_text_and_bytes(self):
    rows = np.array(['ü"\n'.encode(), b""], object)
    self.assertEqual(
      self._write("instances", y=rows, y_bytes=rows)["predictions"],
      [
        {"y": 'ü"\n', "y_bytes": {"b64": "w7wiCg=="}},
        {"y": "", "y_bytes": {"b64": ""}},
      ],
    )
    self.assertEqual(
      self._write("inputs", y_bytes=b"\0"), {"outputs": {"b64": "AA=="}}
    )

  @parameterized.parameters(
    ({"y": np.float32(1)}, "Tensor name: y has no shape information"),
    ({"y": np.zeros([0, 2])}, "Tensor name: y has invalid batch size: 0"),
    (
      {"y": np.zeros(2), "z": np.zeros(3)},
      "Tensor name: z has inconsistent batch size: 3 expecting: 2",
    ),
    ({"y": np.array([b"\xff"], object)}, "y is not UTF-8"),
    ({"y": np.zeros(2, np.float16)}, "for tensor type: half"),
    ({"y": np.zeros(2, np.complex64)}, "for tensor type: complex64"),
    ({"y": np.zeros(2, [("qint8", np.int8)])}, "for tensor type: qint8"),
  )
  def test_refuses(self, outputs, text):
    with self.assertRaisesRegex(errors.ServingError, text):
      json_outputs.write("instances", outputs)
