"""Small images at a fraction of the cost, by an early exit of the synthesis.

The later blocks of the synthesis determine colours and fine detail. Here they
run at the size of an early block: each Haar transform keeps only its low band,
depthwise kernels are reduced to their effect on blocks of equal pixels, and
fixed noise is averaged. From this sketch of the image and the early features, a
linear head predicts the 12 Haar bands of a small image. Its errors show as a
fine grid, which a second head corrects: it predicts the bands again from those
of 5 x 5 places. Both are fitted in closed form to full-size images that are
scaled down.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from lc_keras.photo_faces import synthesis

_RIDGE = 1e-4
# Places per side that the second head sees.
_NEAR = 5


class EarlyExit:
  """Maps w to images of 256 or 128 pixels, in [-1, 1].

  Attributes:
    size: Height and width of the images, in pixels.
    heads: Two, float32 [inputs + 1, 12], the last row a bias; none until `fit`.
  """

  def __init__(
    self,
    steps: Sequence[synthesis.Step],
    size: int,
    heads: Sequence[np.ndarray] = (),
  ):
    """Creates the early exit.

    Args:
      steps: Steps of the whole synthesis.
      size: 256 or 128.
      heads: Heads of a fitted early exit of the same size.
    """
    self.size = size
    self.heads = list(heads)
    self._early = synthesis.until(steps, size // 2)
    self._sketch = _coarse(steps[len(self._early) :])

  def __call__(self, w: tf.Tensor) -> tf.Tensor:
    """Returns images [n, size, size, 3].

    Args:
      w: [n, 512], or [n, styles, 512].
    """
    bands = _around(self._bands(w))
    images = synthesis.from_bands(_applied(bands, self.heads[1], _NEAR))
    return tf.clip_by_value(images, -1.0, 1.0)

  def _bands(self, w):
    """Returns the bands of the first head, without holding all features."""
    first, bands, start = self.heads[0], 0.0, 0
    for x in self._features(w):
      part = first[start : start + x.shape[-1]]
      bands += _applied(x, np.pad(part, [[0, 1], [0, 0]]))
      start += x.shape[-1]
    return bands + first[-1]

  def _features(self, w):
    """Yields inputs of the first head, [n, size / 2, size / 2, some] each."""
    x = synthesis.run(self._early, w)
    style = synthesis.count_styles(self._early)
    yield x
    for step in self._sketch:
      one = w if w.shape.rank == 2 else w[:, style:]
      x = synthesis.run([step], one, x)
      if step.kind == "style":
        style += 1
        yield x
    yield x

  def fit(self, w: np.ndarray, images: np.ndarray) -> None:
    """Fits the two heads by least squares, one after the other.

    Args:
      w: [n, 512].
      images: [n, size, size, 3] in [-1, 1], full-size ones scaled down.
    """
    first = _least_squares(
      lambda w: tf.concat([*self._features(w)], axis=-1), w, images
    )
    self.heads = [first]

    def seen(w):
      bands = _around(self._bands(w))
      sides = [1, _NEAR, _NEAR, 1]
      ones = [1, 1, 1, 1]
      return tf.image.extract_patches(bands, sides, ones, ones, "VALID")

    self.heads = [first, _least_squares(seen, w, images)]


def _applied(x, head, side=1):
  """Returns bands: a convolution by a head, [side^2 * features + 1, bands]."""
  kernel = head[:-1].reshape(side, side, -1, head.shape[-1])
  return tf.nn.conv2d(x, tf.constant(kernel), 1, "VALID") + head[-1]


def _around(bands):
  """Pads bands beyond each edge as far as the second head sees."""
  beyond = [_NEAR // 2] * 2
  return tf.pad(bands, [[0, 0], beyond, beyond, [0, 0]], "SYMMETRIC")


def _least_squares(features, w, images):
  """Returns the head, [features + 1, bands]; takes one image at a time."""

  @tf.function(autograph=False)
  def moments(w, bands):
    x = features(w)
    x = tf.reshape(x, [-1, x.shape[-1]])
    x = tf.pad(x, [[0, 0], [0, 1]], constant_values=1.0)
    bands = tf.reshape(bands, [-1, bands.shape[-1]])
    return (
      tf.matmul(x, x, transpose_a=True),
      tf.matmul(x, bands, transpose_a=True),
    )

  squares = products = 0.0
  for row in range(len(w)):
    bands = synthesis.to_bands(images[row : row + 1])
    found = moments(tf.constant(w[row : row + 1]), tf.constant(bands))
    squares += found[0].numpy().astype(np.float64)
    products += found[1].numpy().astype(np.float64)
  squares += _RIDGE * np.diag(np.diag(squares))
  return np.linalg.solve(squares, products).astype(np.float32)


def smaller(images: np.ndarray, factor: int) -> np.ndarray:
  """Returns images scaled down: means over squares of `factor` pixels a side.

  Args:
    images: [n, height, width, channels].
    factor: A whole number.
  """
  n, height, width, channels = images.shape
  squares = [n, height // factor, factor, width // factor, factor, channels]
  return images.reshape(squares).mean(axis=(2, 4), dtype=np.float32)


def _coarse(steps):
  """Returns later steps, converted to run at the size of the first of them."""
  factor, made = 1, []
  for kind, value in steps:
    if kind == "haar":
      factor *= 2
      made.append(synthesis.Step("low", 0.5))
    elif kind == "depthwise":
      # A pixel stands for factor x factor pixels, of which only the outermost
      # ones touch a neighbour: the weight of neighbours shrinks.
      near = 1.0 / factor
      fold = np.array([[near, 0, 0], [1 - near, 1, 1 - near], [0, 0, near]])
      kernel = np.einsum("ai,ijcd,bj->abcd", fold, value, fold)
      made.append(synthesis.Step(kind, kernel.astype(np.float32)))
    elif kind == "add" and value.shape[1] > 1:
      made.append(synthesis.Step(kind, smaller(value, factor)))
    else:
      made.append(synthesis.Step(kind, value))
  return made
