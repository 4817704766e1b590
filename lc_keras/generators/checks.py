"""Runs a model before it is used: what it can be used for, what is wrong."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from lc_keras.generators import conventions
from lc_keras.generators import part as parts

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
# Names under which encoders give their outputs, by ours.
_NAMES = {
  "images": ("images",),
  "mean": ("mean", "mu", "z_mean", "loc"),
  "scale": ("scale", "stddev", "std", "sigma"),
  "log_variance": ("log_variance", "log_var", "logvar", "z_log_var"),
}
# A single output of an encoder that is both halves, mean first.
HALVES = "halves"


def complete(
  drafted: Mapping, opened: Mapping[str, parts.Part]
) -> tuple[dict, list[str]]:
  """Runs a model, and says all that a `Generator` has to know of it.

  Args:
    drafted: See `importing.draft`.
    opened: Its decoder and perhaps its encoder.

  Returns:
    The spec, and sentences about the model.

  Raises:
    ValueError: It is no such model, or not the one that the draft says; the
      message lists what was found.
  """
  spec = {**drafted}
  conventions.check(spec["prior"], spec["pixel_range"])
  shape = latent_shape(opened["decode"].shape, spec.pop("latent_size"))
  spec["latent_shape"] = shape
  draws = tf.random.stateless_normal([_PROBES, *shape], (0, 0))
  latents = conventions.from_normal(draws, spec["prior"]).numpy()
  pixels = _run(spec, opened, "decode", latents)["images"]
  few = _run(spec, opened, "decode", latents[:FEW])["images"]
  spec["layout"], spec["image_shape"] = layout(pixels.shape)
  notes = check_pixels(pixels, few, spec["pixel_range"])
  if spec["encode"] is not None:
    codes = _run(spec, opened, "encode", few)
    halve = codes["mean"].size == 2 * FEW * math.prod(shape)
    if halve and len(codes) == 1:
      mean, spread = np.split(codes["mean"], 2, axis=-1)
      spec["encode"][HALVES] = _spread(spread)
      codes = {"mean": mean, spec["encode"][HALVES]: spread}
    check_codes(codes, math.prod(shape))
  return spec, notes


def _run(spec, opened, direction, rows):
  """Runs a direction; notes in the spec what was found out about it."""
  part, known = opened[direction], spec[direction]
  try:
    found = part.run(rows)
  except Exception as error:
    raise ValueError(
      f"The model failed when it was asked to {direction} a batch of shape "
      f"[{parts.dims(rows.shape)}]: {type(error).__name__}: {error}"
    ) from error
  # Given an array, a function of numpy answers with one, and a function of
  # TensorFlow with a tensor.
  is_numpy = not any(map(tf.is_tensor, found.values()))
  arrays = {name: np.asarray(value) for name, value in found.items()}
  names = _chosen(arrays, direction, known.get("outputs", {}))
  chosen = {"outputs": names, "numpy": is_numpy}
  spec[direction] = {**known, **part.names, **chosen}
  return {
    ours: _numbers(arrays[theirs], direction, ours)
    for ours, theirs in names.items()
  }


def _chosen(found, direction, asked):
  """Returns which output is which, by our names."""
  listing = "".join(f"\n  {text}" for text in parts.described(found))
  needed = parts.OUTPUTS[direction][0]
  outputs = {}
  for ours in parts.OUTPUTS[direction]:
    theirs = asked.get(ours)
    if theirs is None:
      free = found.keys() - {*asked.values(), *outputs.values()}
      theirs = next((name for name in _NAMES[ours] if name in free), None)
    if theirs is None and ours == needed and len(found) == 1:
      (theirs,) = found
    if theirs in found:
      outputs[ours] = theirs
    elif theirs is None and ours == needed and direction == "encode":
      return _in_order(found, listing)
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


def _in_order(found, listing):
  """Returns which output is which where they come in order, without names.

  That is (mean, log-variance), (mean, scale), or one of these and a draw.
  """
  ordered = [str(number) for number in range(len(found))]
  shapes = {value.shape for value in found.values()}
  if list(found) != ordered or len(found) > 3 or len(shapes) > 1:
    raise ValueError(
      "Asked to encode, the model gives several outputs. Name the one that is "
      f"the mean with --encode_mean:{listing}"
    )
  mean, spread = ordered[:2]
  return {"mean": mean, _spread(found[spread]): spread}


def _spread(values):
  """Says whether numbers are scales or log-variances.

  A scale is above zero. Log-variances that all are would mean posteriors wider
  than the prior, which no encoder has.
  """
  return "scale" if np.min(values) > 0.0 else "log_variance"


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
    shape: See `part.Part`.
    latent_size: What was said of it.

  Raises:
    ValueError: The two do not say what it is, or contradict each other.
  """
  if shape in (None, (None,)):
    if latent_size is None:
      raise ValueError(
        "The model does not say how long its latent vectors are: give "
        "latent_size (--latent_size)."
      )
    return [latent_size]
  what = f"The model takes latents of shape [?, {parts.dims(shape)}]: "
  if None in shape:
    raise ValueError(what + "only the batch can be of any length.")
  if latent_size not in (None, math.prod(shape)):
    raise ValueError(what + f"leave --latent_size={latent_size} out.")
  return list(shape)


def layout(shape: Sequence[int]) -> tuple[str, list[int]]:
  """Returns one of `conventions.LAYOUTS`, and [height, width, channels].

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
    f"The model makes images of shape [{parts.dims(shape)}]: expected "
    "[batch, height, width, channels] or [batch, channels, height, width] with "
    "1 or 3 channels, or [batch, height, width]. Is this the right output?"
  )


def check_pixels(
  pixels: np.ndarray, few: np.ndarray, pixel_range: Sequence[float]
) -> list[str]:
  """Returns sentences about images.

  Args:
    pixels: The model's images of draws of the prior.
    few: Its images of the first FEW of them, alone.
    pixel_range: The values of black and white that were given.

  Raises:
    ValueError: They do not fit the range, or are all the same.
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
      "white, as pixel_range; if it gives logits, apply a sigmoid to them "
      "first."
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
  """Checks an encoder's outputs for FEW images.

  Args:
    codes: By our names.
    size: Of a latent vector.

  Raises:
    ValueError: They are no posteriors of this size.
  """
  for name, value in codes.items():
    if value.shape[:1] != (FEW,) or value.size != FEW * size:
      raise ValueError(
        f"The encoder gives the {name} of {FEW} images as an array of shape "
        f"[{parts.dims(value.shape)}]: the decoder takes {size} numbers an "
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


def check_traced(generator) -> None:
  """Runs a generator the way in which all jobs do: as a graph, any batch.

  Raises:
    ValueError: It cannot be run so.
  """
  try:
    decode = tf.function(lambda z: generator.decode(z).mean(), autograph=False)
    spec = tf.TensorSpec([None, generator.latent_size], tf.float32)
    images = decode.get_concrete_function(spec)(
      tf.zeros([FEW, generator.latent_size])
    )
    if hasattr(generator, "encode"):
      encode = tf.function(
        lambda x: generator.encode(x).mean(), autograph=False
      )
      spec = tf.TensorSpec([None, *generator.image_shape], tf.float32)
      encode.get_concrete_function(spec)(images)
  except Exception as error:
    raise ValueError(
      "The model runs, but not in a TensorFlow graph for batches of any "
      f"length: {type(error).__name__}: {error}\nA Python function that "
      "returns numpy arrays is called as it is."
    ) from error
