"""The face generator of the package random-face, as plain TensorFlow.

MobileStyleGAN (Belousov 2021, https://arxiv.org/abs/2104.04767), distilled from
StyleGAN2 on FFHQ. A mapping network maps z [512] to w [512]. The synthesis maps
w to an image of 1024 x 1024 pixels by a chain of steps: a constant of 4 x 4
pixels, a convolution, then for every size from 8 to 512 pixels an inverse Haar
transform and two separable convolutions, and last one to the 12 Haar bands of
the image. A style, linear in w, scales the channels before each convolution.
"""

import math
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from lc_keras.photo_faces import openvino_ir
from lc_keras.photo_faces import packages

LATENT_SIZE = 512
IMAGE_SIZE = 1024
_START_SIZE = 4


class Step(NamedTuple):
  """A step of the synthesis.

  Attributes:
    kind: "start", "style", "convolution", "depthwise", "add", "leaky" or
      "haar"; an early exit has "low", too.
    value: Its constants, channels last: a kernel, an addend, a slope; for a
      style, a matrix and a bias.
  """

  kind: str
  value: Any = None


def read_mapping(data_dir: str = "data") -> Callable[[tf.Tensor], tf.Tensor]:
  """Returns the mapping network: z [n, 512] to w [n, 512].

  Args:
    data_dir: See `packages.folder`.
  """
  nodes = openvino_ir.read(_path("MappingNetwork.xml", data_dir))
  constants = [node.value for node in nodes if node.value is not None]
  kernels = [tf.constant(one.T) for one in constants if one.size > LATENT_SIZE]
  biases = [tf.constant(one) for one in constants if one.size == LATENT_SIZE]

  def mapping(z):
    squares = tf.reduce_mean(tf.square(z), axis=-1, keepdims=True)
    x = z * tf.math.rsqrt(squares + 1e-8)
    for kernel, bias in zip(kernels, biases, strict=True):
      x = math.sqrt(2.0) * tf.nn.leaky_relu(x @ kernel + bias, 0.2)
    return x

  return mapping


def read_steps(data_dir: str = "data") -> list[Step]:
  """Returns the steps of the synthesis, in order.

  Args:
    data_dir: See `packages.folder`.
  """
  steps = []
  for node in openvino_ir.read(_path("SynthesisNetwork.xml", data_dir)):
    step = _step(node)
    if step is not None:
      steps.append(step)
  return steps


def count_styles(steps: Sequence[Step]) -> int:
  """Returns the number of styles among the steps."""
  return sum(step.kind == "style" for step in steps)


def run(
  steps: Sequence[Step], w: tf.Tensor, features: tf.Tensor | None = None
) -> tf.Tensor:
  """Returns the output of the last step, [n, height, width, channels].

  Args:
    steps: Some or all of a synthesis. All of them make images in [-1, 1], not
      clipped.
    w: [n, 512]; or [n, styles, 512], one for every style of these steps.
    features: Input of the first step, unless that is the start.
  """
  w, x, style = tf.convert_to_tensor(w), features, 0
  for kind, value in steps:
    if kind == "start":
      x = tf.tile(value, [tf.shape(w)[0], 1, 1, 1])
    elif kind == "style":
      one = w if w.shape.rank == 2 else w[:, style]
      x *= (one @ value[0] + value[1])[:, tf.newaxis, tf.newaxis]
      style += 1
    elif kind == "convolution":
      x = tf.nn.conv2d(x, value, 1, "SAME")
    elif kind == "depthwise":
      x = tf.nn.depthwise_conv2d(x, value, [1, 1, 1, 1], "SAME")
    elif kind == "add":
      x += value
    elif kind == "leaky":
      x = tf.nn.leaky_relu(x, value)
    elif kind == "haar":
      x = from_bands(x)
    elif kind == "low":
      x = value * x[..., : x.shape[-1] // 4]
  return x


def until(steps: Sequence[Step], size: int) -> list[Step]:
  """Returns the steps up to the features of `size` pixels, styled.

  They end where the next inverse Haar transform begins.

  Args:
    steps: All steps.
    size: A power of two from 4 to 512.
  """
  ends = [place for place, step in enumerate(steps) if step.kind == "haar"]
  return list(steps[: ends[int(math.log2(size // _START_SIZE))]])


def from_bands(x: tf.Tensor) -> tf.Tensor:
  """Applies the inverse Haar transform.

  Args:
    x: [n, h, w, 4 * c], the low band's c channels, then three details of each.

  Returns:
    [n, 2 * h, 2 * w, c].
  """
  n, height, width = tf.shape(x)[0], x.shape[1], x.shape[2]
  c = x.shape[3] // 4
  # The gradient of a split costs less than that of two slices.
  low, details = tf.split(x, [c, 3 * c], axis=-1)
  details = tf.reshape(details, [n, height, width, c, 3])
  rows, columns, both = tf.unstack(details, axis=-1)
  plus, minus = low + rows, low - rows
  more, less = columns + both, columns - both
  top = tf.stack([plus + more, plus - more], axis=3)
  bottom = tf.stack([minus + less, minus - less], axis=3)
  pixels = tf.stack([top, bottom], axis=2)  # [n, h, 2, w, 2, c]
  return 0.5 * tf.reshape(pixels, [n, 2 * height, 2 * width, c])


def to_bands(images: np.ndarray) -> np.ndarray:
  """Applies the Haar transform, the inverse of `from_bands`.

  Args:
    images: [n, 2 * h, 2 * w, c].

  Returns:
    [n, h, w, 4 * c].
  """
  n, height, width, c = images.shape
  x = images.reshape(n, height // 2, 2, width // 2, 2, c)
  a, b = x[:, :, 0, :, 0], x[:, :, 0, :, 1]
  d, e = x[:, :, 1, :, 0], x[:, :, 1, :, 1]
  details = np.stack([a + b - d - e, a - b + d - e, a - b - d + e], axis=-1)
  details = details.reshape(n, height // 2, width // 2, 3 * c)
  return 0.5 * np.concatenate([a + b + d + e, details], axis=-1)


def _path(name, data_dir):
  return os.path.join(packages.folder(packages.GENERATOR, data_dir), name)


def _step(node):
  """Returns the step of a node; None if it is only a part of one."""
  shape, constant = node.shapes[0] if node.shapes else (), node.constant
  if len(shape) != 4 or shape[2:] == (1, 1):
    return None  # Arithmetic of shapes, or inside of a style.
  if node.kind == "Const":
    if shape[2:] == (_START_SIZE, _START_SIZE) and shape[1] > 1:
      return Step("start", _channels_last(node.value))
    return None
  if node.kind == "Multiply":
    (style,) = [one for one in node.sources if one.shape[2:] == (1, 1)]
    return Step("style", _style(style))
  if node.kind == "Convolution":
    return Step("convolution", constant.transpose(2, 3, 1, 0))
  if node.kind == "GroupConvolution":
    kernel = constant[:, 0, 0].transpose(1, 2, 0)
    return Step("depthwise", kernel[..., np.newaxis])
  if node.kind == "Add" and constant is not None:
    return Step("add", _channels_last(constant))
  if node.kind == "PReLU":
    return Step("leaky", float(constant.ravel()[0]))
  if node.kind == "VariadicSplit":
    # A transform begins by splitting the low band from the details.
    return Step("haar")
  return None


def _style(node):
  """Returns (matrix, bias) of a style, before it is reshaped."""
  factor = 1.0
  while node.kind in ("Multiply", "Reshape"):
    if node.kind == "Multiply":
      factor *= float(node.constant.ravel()[0])
    node = next(one for one in node.sources if one.value is None)
  (product,) = [one for one in node.sources if one.kind == "MatMul"]
  matrix, bias = product.constant.T, node.constant.ravel()
  return tf.constant(factor * matrix), tf.constant(factor * bias)


def _channels_last(array):
  return array.transpose(0, 2, 3, 1)
