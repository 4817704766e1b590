"""Runs a model that another program wrote, and says what is wrong with it."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from lc_keras.generators import adapter
from lc_keras.generators import foreign

# Draws of the prior that a decoder is looked at with, and those of them that it
# is asked for again.
_PROBES = 16
FEW = 3
# Shares of the width of the pixel range: what rounding may add, and what of it
# images use at least.
_TOLERANCE = 0.01
_LEAST_USED = 0.02
# Share of pixels that may lie outside the range, as those of a network without
# an activation at its end do.
_MOST_OUTSIDE = 0.05


def run(
  part: foreign.Part, rows: np.ndarray, direction: str, asked: Mapping[str, str]
) -> tuple[dict[str, np.ndarray], dict[str, str], bool]:
  """Runs one direction of a model.

  Args:
    part: The direction.
    rows: A batch as the model takes it.
    direction: "decode" or "encode".
    asked: The model's names of outputs by ours, as far as they were given.

  Returns:
    The outputs by our names, float32; the model's names by ours; and whether
    it is a function of arrays, and not of tensors.

  Raises:
    ValueError: It fails, has no such output, or it is not clear which is
      meant; or an output is no number.
  """
  try:
    found = part.run(rows)
  except Exception as error:
    raise ValueError(
      f"The model failed when it was asked to {direction} a batch of shape "
      f"[{foreign.dims(rows.shape)}]: {type(error).__name__}: {error}"
    ) from error
  # Given an array, a function of numpy answers with one, and a function of
  # TensorFlow with a tensor.
  is_numpy = not any(map(tf.is_tensor, found.values()))
  arrays = {name: np.asarray(value) for name, value in found.items()}
  names = _chosen(arrays, direction, asked)
  outputs = {
    ours: _numbers(arrays[theirs], direction, ours)
    for ours, theirs in names.items()
  }
  return outputs, names, is_numpy


def _chosen(found, direction, asked):
  """Returns which output is which, by our names."""
  listing = "".join(f"\n  {text}" for text in foreign.described(found))
  needed = foreign.OUTPUTS[direction][0]
  outputs = {}
  for ours in foreign.OUTPUTS[direction]:
    theirs = asked.get(ours)
    if theirs is None and ours in found:
      theirs = ours
    if theirs is None and ours == needed and len(found) == 1:
      (theirs,) = found
    if theirs in found:
      outputs[ours] = theirs
    elif theirs or ours == needed:
      flag = "output" if direction == "decode" else ours
      what = f"no output {theirs!r}" if theirs else "several outputs"
      raise ValueError(
        f"Asked to {direction}, the model gives {what}. Name the one that is "
        f"the {ours} with --{direction}_{flag}:{listing}"
      )
  if {"scale", "log_variance"} <= outputs.keys():
    raise ValueError(
      "An encoder gives a scale or a log-variance, not both: name one of them "
      f"only. It has:{listing}"
    )
  return outputs


def _numbers(value, direction, name):
  """Returns an output as an array; refuses what is no number."""
  if value.dtype.kind not in "fiu":
    raise ValueError(
      f"Asked to {direction}, the model gives the {name} as {value.dtype}: "
      "numbers are needed. Is this the right output?"
    )
  value = value.astype(np.float32)
  broken = 1.0 - np.isfinite(value).mean()
  if broken:
    raise ValueError(
      f"Asked to {direction}, the model gives {broken:.0%} of the {name} as "
      "NaN or infinite. Is it trained, and does it expect other latents "
      "(--prior) or other pixels (--pixel_range)?"
    )
  return value


def latent_shape(
  shape: Sequence[int | None] | None, latent_size: int | None
) -> list[int]:
  """Returns the shape of one latent vector as the model takes it.

  Args:
    shape: See `foreign.Part`.
    latent_size: What was said of it.

  Raises:
    ValueError: The two do not say what it is, or contradict each other.
  """
  if shape in (None, (None,)):
    if latent_size is None:
      raise ValueError(
        "The model does not say how long its latent vectors are: give "
        "--latent_size."
      )
    return [latent_size]
  what = f"The model takes latents of shape [?, {foreign.dims(shape)}]: "
  if None in shape:
    raise ValueError(what + "only the batch can be of any length.")
  if latent_size not in (None, math.prod(shape)):
    raise ValueError(what + f"leave --latent_size={latent_size} out.")
  return list(shape)


def latents(shape: Sequence[int], prior: str) -> np.ndarray:
  """Returns draws of a model's prior, float32 [16, *shape].

  Args:
    shape: Of one latent vector.
    prior: One of `adapter.PRIORS`.
  """
  draws = tf.random.stateless_normal([_PROBES, *shape], (0, 0))
  return adapter.from_normal(draws, prior).numpy()


def layout(shape: Sequence[int]) -> tuple[str, list[int]]:
  """Returns one of `adapter.LAYOUTS`, and [height, width, channels].

  Args:
    shape: Of a batch of the model's images.

  Raises:
    ValueError: These are no images.
  """
  sizes = list(shape[1:])
  if len(sizes) == 2:
    return "no_channels", [*sizes, 1]
  if len(sizes) == 3 and sizes[2] in (1, 3):
    return "channels_last", sizes
  if len(sizes) == 3 and sizes[0] in (1, 3):
    return "channels_first", [*sizes[1:], sizes[0]]
  raise ValueError(
    f"The model makes images of shape [{foreign.dims(shape)}]: expected "
    "[batch, height, width, channels] or [batch, channels, height, width] with "
    "1 or 3 channels, or [batch, height, width]. Is this the right output?"
  )


def check_pixels(
  pixels: np.ndarray, few: np.ndarray, pixel_range: Sequence[float]
) -> list[str]:
  """Returns sentences about images.

  Args:
    pixels: What the model made of `latents`.
    few: What it made of the first FEW of them, alone.
    pixel_range: What was said of them.

  Raises:
    ValueError: They cannot be meant.
  """
  if len(pixels) != _PROBES:
    raise ValueError(
      f"The model made {len(pixels)} images of {_PROBES} latent vectors: "
      "expected one of each."
    )
  low, high = pixel_range
  width = high - low
  lowest, highest = float(pixels.min()), float(pixels.max())
  seen = f"pixels from {lowest:.4g} to {highest:.4g}"
  if np.ptp(pixels, axis=0).max() <= 1e-6 * width:
    raise ValueError(
      f"The model makes the same image of all latent vectors, {seen}: is this "
      "the right function, and is it trained?"
    )
  margin = _TOLERANCE * width
  outside = ((pixels < low - margin) | (pixels > high + margin)).mean()
  used = (min(highest, high) - max(lowest, low)) / width
  if outside > _MOST_OUTSIDE or used < _LEAST_USED:
    raise ValueError(
      f"The model makes {seen}, which does not fit --pixel_range={low:g},"
      f"{high:g}: {outside:.0%} of them lie outside, and they use "
      f"{max(used, 0.0):.1%} of it. Give the model's values for black and "
      "white."
    )
  notes = [f"In {_PROBES} draws of the prior it made {seen}."]
  if outside:
    notes.append(f"{outside:.2%} of pixels lie outside the range: clipped.")
  if np.abs(few - pixels[:FEW]).mean() > _TOLERANCE * width:
    notes.append(
      "Warning: the same latent vector gave another image in another batch. "
      "There is chance in the model, or an image depends on the others of its "
      "batch (batch normalisation as in training): nothing can be repeated."
    )
  return notes


def check_codes(codes: Mapping[str, np.ndarray], size: int) -> None:
  """Checks what an encoder makes of FEW images.

  Args:
    codes: By our names.
    size: Of a latent vector.

  Raises:
    ValueError: They cannot be meant.
  """
  for name, value in codes.items():
    if value.shape[:1] != (FEW,) or value.size != FEW * size:
      raise ValueError(
        f"The encoder gives the {name} of {FEW} images as an array of shape "
        f"[{foreign.dims(value.shape)}]: the decoder takes {size} numbers an "
        "image. Is this the right output?"
      )
  if not np.ptp(codes["mean"], axis=0).any():
    raise ValueError(
      "The encoder gives the same mean for different images: is this the right "
      "output?"
    )
  if "scale" in codes and codes["scale"].min() <= 0.0:
    raise ValueError(
      f"The encoder gives scales down to {codes['scale'].min():.3g}: a "
      "standard deviation is above 0. Is it a log-variance "
      "(--encode_log_variance)?"
    )


def check_traced(made: adapter.Adapter) -> None:
  """Runs a generator the way in which all jobs do: as a graph, any batch.

  Raises:
    ValueError: It cannot be run so.
  """
  try:
    decode = tf.function(lambda z: made.decode(z).mean(), autograph=False)
    spec = tf.TensorSpec([None, made.latent_size], tf.float32)
    images = decode.get_concrete_function(spec)(
      tf.zeros([FEW, made.latent_size])
    )
    if hasattr(made, "encode"):
      encode = tf.function(lambda x: made.encode(x).mean(), autograph=False)
      spec = tf.TensorSpec([None, *made.image_shape], tf.float32)
      encode.get_concrete_function(spec)(images)
  except Exception as error:
    raise ValueError(
      "The model runs, but not in a TensorFlow graph for batches of any "
      f"length: {type(error).__name__}: {error}\nA Python function that "
      "returns numpy arrays is called as it is."
    ) from error
