"""Users' networks of images: classifiers and feature extractors.

Images are converted to the size, layout and pixels that a network takes.
"""

import math
import os
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from lc_keras import batched
from lc_keras.generators import binding
from lc_keras.generators import conventions
from lc_keras.generators import kinds

# Kinds of pixels: the values of black and white, or means and scales of
# ImageNet, the modes of `keras.applications.imagenet_utils.preprocess_input`.
PIXELS = ("0,1", "-1,1", "torch", "0,255", "caffe")
_IMAGENET = ("torch", "caffe")
# Those about as wide as [0, 1], the narrowest first.
SMALL = PIXELS[:3]
_ENDINGS = (".keras", ".h5", ".hdf5", ".onnx", ".pt", ".pt2", ".pth")
_USUAL_OUTPUTS = ("logits", "probabilities", "predictions", "scores", "output")


class Network:
  """A network of images, in any format that a generator can have.

  >>> network = Network(lambda images: images.mean(axis=(1, 2)))
  >>> network(np.ones([2, 8, 8, 3], np.float32), "-1,1").shape
  (2, 3)

  Attributes:
    name: Its file, or its type.
    shape: Shape of one image as it takes it; None where open, or unknown.
  """

  def __init__(self, model):
    """Opens the network.

    Args:
      model: A file, a folder, "module:function", or a model, see
        `generators.kinds`.

    Raises:
      ValueError: It cannot be opened.
    """
    place = {}
    self.name = type(model).__name__
    if isinstance(model, (str, os.PathLike)):
      self.name = os.fspath(model)
      place = kinds.place_of(self.name)
      model = kinds.load(place)
    self._model = model
    part = kinds.wrap(model, "encode", place)
    shape = _shape(part.inputs)
    self.shape = shape and shape[1:]
    self._run = binding.arrays(part, {"batch_size": shape and shape[0]})
    # PyTorch takes channels first, and seldom declares it.
    is_torch = hasattr(model, "state_dict")
    self._layouts = _layouts(self.shape, first=is_torch)

  def __call__(
    self, images: np.ndarray, pixels: str, output: str | None = None
  ) -> np.ndarray:
    """Returns one output of the network, [n, ...].

    Args:
      images: float32 [n, height, width, channels] in [0, 1].
      pixels: One of PIXELS, or other values of black and white, "low,high".
      output: The name of the output, if there are several.

    Raises:
      ValueError: It cannot take such images, or has no such output.
    """
    found = self.outputs(images, pixels)
    return found[self.choose(found, output)]

  def outputs(self, images: np.ndarray, pixels: str) -> dict[str, np.ndarray]:
    """Returns all outputs by name; see `__call__`."""
    at_once = batched.rows_at_once(self._size(images.shape[1:]))
    parts = [
      self._look(images[start : start + at_once], pixels)
      for start in range(0, len(images), at_once)
    ]
    return {
      name: np.concatenate([one[name] for one in parts]) for name in parts[0]
    }

  def pixels(self, images: np.ndarray, given: str | None) -> list[str]:
    """Returns the kinds of pixels that it may take; a single one if known.

    Args:
      images: As for `__call__`.
      given: The user's setting, if there is one.

    Raises:
      ValueError: The setting is invalid.
    """
    if given is not None:
      _range(given)
      return [given]
    known = _rescaled(self._model)
    if known:
      return [known]
    colour = self._size(images.shape[1:])[-1] == 3
    return [one for one in PIXELS if colour or one not in _IMAGENET]

  def _size(self, own):
    """Returns the (height, width, channels) to resize images of a shape to."""
    shape, layout = self.shape, self._layouts[0]
    if shape is None:
      return tuple(own)
    if len(shape) == 1:
      return _unflattened(shape[0], own, self.name)
    if layout == "channels_first":
      shape = (*shape[1:], shape[0])
    shape = (*shape, 1)[:3]
    return tuple(size or mine for size, mine in zip(shape, own))

  def _look(self, images, pixels):
    """Returns the outputs for some images, by name."""
    shown = _scaled(_resized(images, self._size(images.shape[1:])), pixels)
    errors = []
    for layout in self._layouts:
      rows = conventions.from_channels_last(tf.constant(shown), layout).numpy()
      if self.shape is not None and len(self.shape) == 1:
        rows = rows.reshape(len(rows), -1)
      try:
        found = self._run(rows)
      except Exception as error:
        errors.append(error)
        continue
      self._layouts = [layout]
      return self._checked(found, len(images))
    raise ValueError(
      f"The network {self.name} cannot look at images {list(rows.shape)}: "
      f"{type(errors[0]).__name__}: {errors[0]}"
    ) from errors[0]

  def _checked(self, found, count):
    for key, value in found.items():
      if not value.shape or len(value) != count:
        raise ValueError(
          f"The network {self.name} gives {key} {list(value.shape)} for "
          f"{count} images: it must give a row for each."
        )
    return found

  def choose(self, found: Mapping, name: str | None) -> str:
    """Returns the name of the output to use."""
    if name in found:
      return name
    usual = [one for one in _USUAL_OUTPUTS if one in found]
    if name is None and (len(found) == 1 or usual):
      return [*usual, *found][0]
    raise ValueError(
      f"The network {self.name} has the outputs {', '.join(found)}: give a "
      "network with one output, or name one of these as the class."
    )


def pooled(features: np.ndarray) -> np.ndarray:
  """Returns features [n, d], maps of them averaged over the image.

  Args:
    features: [n, d] or [n, height, width, d].
  """
  features = np.asarray(features, np.float32)
  if features.ndim == 4:
    return features.mean(axis=(1, 2))
  return features.reshape(len(features), -1)


def split(place) -> tuple[object, str | None]:
  """Splits "file:class" into a network's place and its class, or None."""
  if isinstance(place, str) and not os.path.exists(place):
    file, colon, asked = place.rpartition(":")
    if colon and is_model(file):
      return file, asked
  return place, None


def is_model(place) -> bool:
  """Says whether something is a network rather than a function of images."""
  if isinstance(place, (str, os.PathLike)):
    text = os.fspath(place)
    return text.endswith(_ENDINGS) or (
      os.path.exists(text) and not text.endswith(".py")
    )
  return any(
    kind.accepts(place)
    for name, kind in kinds.KINDS.items()
    if name != "callable"
  )


def _shape(inputs):
  """Returns the shape of the first input, batch included, if it is known."""
  spec = next(iter(inputs.values()), None) if inputs else None
  return spec and spec.shape.rank and tuple(spec.shape)


def _layouts(shape, first):
  """Returns the possible layouts of channels, the likeliest first."""
  if shape is None:
    both = ["channels_last", "channels_first"]
    return both[::-1] if first else both
  if len(shape) == 2:
    return ["no_channels"]
  if len(shape) == 3 and shape[0] in (1, 3) and shape[-1] not in (1, 3):
    return ["channels_first"]
  return ["channels_last"]


def _unflattened(size, own, name):
  """Returns the image shape of a network that takes flattened images."""
  if size is None or math.prod(own) == size:
    return tuple(own)
  for channels in (own[-1], 1, 3):
    side = math.isqrt(size // channels)
    if side * side * channels == size:
      return side, side, channels
  raise ValueError(
    f"The network {name} takes {size} numbers, which are no square image."
  )


def _resized(images, shape):
  """Returns float32 images of another size, or with other channels."""
  images = tf.constant(images, tf.float32)
  if images.shape[-1] != shape[-1]:
    if shape[-1] == 1:
      images = tf.image.rgb_to_grayscale(images)
    elif images.shape[-1] == 1:
      images = tf.repeat(images, shape[-1], axis=-1)
  if tuple(images.shape[1:3]) != tuple(shape[:2]):
    images = tf.image.resize(images, shape[:2], antialias=True)
  return tf.clip_by_value(images, 0.0, 1.0).numpy()


def _scaled(images, pixels):
  """Converts images in [0, 1] to the pixels of a network."""
  if pixels in _IMAGENET:
    return keras.applications.imagenet_utils.preprocess_input(
      255.0 * images, data_format="channels_last", mode=pixels
    )
  low, high = _range(pixels)
  return np.float32(low + (high - low) * images)


def _range(pixels):
  """Returns the values of black and white; None for modes of ImageNet."""
  if pixels in _IMAGENET:
    return None
  try:
    low, high = map(float, pixels.split(","))
  except ValueError:
    low = high = 0.0
  if not low < high:
    raise ValueError(
      f"Unknown pixels {pixels!r}: give the values of black and white, "
      f"such as 0,1 or -1,1 or 0,255; or {' or '.join(_IMAGENET)}."
    )
  return low, high


def _rescaled(model):
  """Returns the pixels that a Keras model declares; None if it does not.

  A first layer that rescales declares them, as in most of keras.applications
  since EfficientNet.
  """
  for layer in getattr(model, "layers", ()):
    if isinstance(layer, keras.Model):
      return _rescaled(layer)
    if isinstance(layer, keras.layers.Rescaling):
      return "0,255" if np.max(layer.scale) < 0.1 else "0,1"
    if isinstance(layer, keras.layers.Normalization):
      return "0,255" if np.max(layer.mean) > 2.0 else "0,1"
    if layer.weights:
      return None
  return None
