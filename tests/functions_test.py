"""Tests of functions by users: permitted results, and error messages."""

import hashlib
import sys

import ml_dtypes
import numpy as np
import pandas as pd
from absl.testing import parameterized

from lc_keras.constraints import functions
from tests import rules_folder


def _images(count=6):
  shape = [count, 7, 5, 3]
  return np.random.default_rng(0).uniform(size=shape).astype(np.float32)


def _first(images):
  return images[:, 0, 0, 0]


class _Tensor:
  """As PyTorch's: cannot become an array while it requires a gradient."""

  def __init__(self, values, requires_grad=True, device="cuda"):
    self.values, self.grad, self.device = values, requires_grad, device
    self.dtype = values.dtype

  def detach(self):
    return _Tensor(self.values, False, self.device)

  def cpu(self):
    return _Tensor(self.values, self.grad, "cpu")

  def __array__(self, dtype=None, copy=None):
    if self.grad:
      raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
    if self.device != "cpu":
      raise TypeError("can't convert cuda:0 device type tensor to numpy.")
    return np.asarray(self.values)


class _Stubborn:
  """Cannot be converted to an array."""

  def __array__(self, dtype=None, copy=None):
    raise RuntimeError("Use tensor.detach().numpy() instead.")


class AnswersTest(parameterized.TestCase):
  @parameterized.parameters(
    lambda v: v,
    lambda v: v[:, np.newaxis],
    lambda v: v.tolist(),
    lambda v: [[one] for one in v.tolist()],
    lambda v: v > 0.5,
    lambda v: (v > 0.5).astype(int),
    lambda v: v.astype(ml_dtypes.bfloat16),
    lambda v: v.astype(object),
    lambda v: pd.Series(v),
    lambda v: pd.Series(v > 0.5, dtype="boolean"),
    lambda v: pd.Series(v, index=list("fedcba")),
    lambda v: _Tensor(v),
    lambda v: _Tensor(v[:, np.newaxis]),
    lambda v: [_Tensor(one) for one in v],
    lambda v: np.ma.masked_array(v, mask=False),
  )
  def test_accepts(self, convert):
    images = _images()
    made = functions.Function(lambda x: convert(_first(x)))(images)
    self.assertEqual(made.dtype, np.float32)
    expected = convert(_first(images))
    if "_Tensor" in repr(expected):
      expected = _first(images)
    np.testing.assert_array_equal(
      made, np.asarray(expected).astype(np.float32).ravel()
    )

  @parameterized.parameters(
    (lambda x: None, "returns nothing. .*Does it end with return?"),
    (lambda x: "abc", "returns a str of <U3, for example 'abc'"),
    (lambda x: {"score": _first(x)}, "returns a dict of object"),
    (
      lambda x: [[1, 2], [3]],
      r"returns a list that cannot be read as numbers: .*here \[6\]",
    ),
    (lambda x: _Stubborn(), "cannot be read as numbers: Use tensor.detach"),
    (lambda x: [1.0, None] * 3, "list of object, for example None, and not"),
    (lambda x: pd.Series([True, None] * 3, dtype="boolean"), "example <NA>"),
    (lambda x: pd.Series(list("123456")), "returns a Series of .*example '1'"),
    (lambda x: _first(x) * 1j, "returns a ndarray of complex"),
    (
      lambda x: x.mean(),
      r"returns shape \[\] for 6 images. .*Keep the first axis: mean\(axis",
    ),
    (
      lambda x: x.mean(axis=(1, 2)),
      r"returns shape \[6, 3\] for 6 images. .*Reduce the other axes",
    ),
    (
      lambda x: x.mean(axis=(0, 2, 3)),
      r"shape \[7\] for 6 images. .*one number per image: \[n\], here \[6\]",
    ),
    (
      lambda x: np.where(np.arange(6) == 4, np.nan, 0),
      "gives row 4 of a batch of 6 the value nan, and 1 of them",
    ),
    (lambda x: np.full(6, 1e300), "gives row 0 of a batch of 6 the value inf"),
    (lambda x: np.ma.masked_less(_first(x), 2.0), "the value nan"),
    (lambda x: x.sort(axis=0), "writes into the images that it is given. Let"),
    (lambda x: sys.exit(3), "fails on images of shape .*: SystemExit: 3"),
    (lambda x: x @ "a", "fails on images of shape .*6, 7, 5, 3.*: .*Error"),
  )
  def test_refuses(self, function, message):
    images = _images()
    images.flags.writeable = False
    with self.assertRaisesRegex(ValueError, message):
      functions.Function(function)(images)

  def test_what_takes_tensors_is_told_how_to_get_one(self):
    def linear(images):
      raise TypeError("argument 'input' must be Tensor, not numpy.ndarray")

    with self.assertRaisesRegex(ValueError, "Begin with images = torch.as_ten"):
      functions.Function(linear)(_images())

  def test_a_single_image_keeps_its_axis(self):
    function = functions.Function(lambda x: np.squeeze(x.mean(axis=(1, 2, 3))))
    with self.assertRaisesRegex(
      ValueError, r"shape \[\] for 1 image. .*Keep the first axis of a single"
    ):
      function(_images(1))


class WrittenTest(rules_folder.RulesFolderCase):
  """Tests of functions in a file."""

  @parameterized.parameters(
    ("tall = 3", "written_rules:tall is of type int. A rule is a function"),
    ("class tall: pass", "written_rules:tall is a class"),
    (
      "def tall(a, b): pass",
      r"takes \(a, b\). A rule is called with one",
    ),
    ("def tall(): pass", r"takes \(\). A rule is called with one argument"),
  )
  def test_refuses_what_is_no_function_of_images(self, text, message):
    self._write(text)
    with self.assertRaisesRegex(ValueError, message):
      functions.Function("written_rules:tall")

  def test_extra_arguments_may_have_defaults(self):
    self._write("def tall(images, a=1): return images[:, 0, 0, 0]\n")
    functions.Function("written_rules:tall")

  def test_identity_holds_the_checksum_of_the_file_that_was_loaded(self):
    text = "def tall(images): return images[:, 0, 0, 0]\n"
    self._write(text)
    loaded = functions.Function("written_rules:tall")
    self._write("something else")
    checksum = hashlib.sha256(text.encode()).hexdigest()
    self.assertEqual(
      loaded.identity, {"rule": "written_rules:tall", "source_sha256": checksum}
    )
    self.assertEqual(
      functions.Function(len).identity,
      {"rule": "builtins:len", "source_sha256": None},
    )

  def test_an_exception_is_reported_with_the_line_of_the_rule(self):
    self._write(
      "import numpy as np\n\n"
      "def tall(images):\n"
      "  return np.reshape(images, [3, -7, 11])\n"
    )
    with self.assertRaisesRegex(
      ValueError,
      r"rule written_rules:tall fails on images of shape \[4, 7, 5, 3\]: "
      r"ValueError: .*\n.*written_rules.py, line 4, in tall:\n"
      r"    return np.reshape\(images",
    ):
      functions.Function("written_rules:tall")(_images(4))
