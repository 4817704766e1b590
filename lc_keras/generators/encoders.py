"""Detects the image layout and the outputs of an encoder."""

import itertools
import math

import numpy as np

from lc_keras.generators import binding
from lc_keras.generators import checks
from lc_keras.generators import conventions
from lc_keras.generators import part as parts

# How far two calls with the same images may differ by rounding.
_ROUNDING = 1e-3
# Usual names of the outputs of encoders, by ours.
_NAMES = {
  "mean": ("mean", "mu", "z_mean", "loc"),
  "scale": ("scale", "stddev", "std", "sigma"),
  "log_variance": (
    "log_variance",
    "log_var",
    "logvar",
    "z_log_var",
    "z_logvar",
    "z_log_variance",
  ),
}


def complete_encoder(spec, part: parts.Part, images: np.ndarray) -> dict:
  """Returns the complete entry of an encoder in a spec.

  Args:
    spec: Spec of the generator, complete except for its encoder.
    part: The encoder.
    images: A few of the decoder's images, as it returns them.

  Raises:
    ValueError: It is not an encoder for this decoder; the message describes its
      outputs.
  """
  known = dict(spec["encode"])
  images = _as_values(spec, images)
  refused = None
  for layout, flat in _layouts(spec, known, part):
    pixels = conventions.from_channels_last(images, layout, flat).numpy()
    tried = {**known, "layout": layout, "flat": flat}
    try:
      return _outputs(spec, part, tried, pixels)
    except ValueError as error:
      refused = refused or error
  raise refused


def _as_values(spec, images):
  """Returns images of the decoder as the encoder takes them, channels last."""
  if spec["pixels"] == "logits":
    low, high = spec["pixel_range"]
    images = low + (high - low) / (1.0 + np.exp(-images))
  return conventions.to_channels_last(
    np.float32(images), spec["decode"]["layout"], spec["image_shape"]
  )


def _layouts(spec, known, part):
  """Returns the possible forms of the encoder's images: (layout, is flat)."""
  image_shape, first = spec["image_shape"], spec["decode"]["layout"]
  others = [one for one in conventions.LAYOUTS if one != first]
  if first == conventions.AS_IS:
    others = []
  elif image_shape[-1] != 1 and "no_channels" in others:
    others.remove("no_channels")
  flat = len(spec["decode"]["shapes"]["images"]) == 1
  options = [
    *itertools.product([first], [flat, not flat]),
    *itertools.product(others, [False]),
  ]
  taken = (part.inputs or {}).get(known.get("input"))
  if taken is None or taken.shape.rank is None:
    return options
  sizes = list(taken.shape[1:])

  def fits(option):
    layout, flat = option
    shape = conventions.shape_in(layout, image_shape)
    return checks.agree([math.prod(shape)] if flat else shape, sizes)

  options = [option for option in options if fits(option)]
  if not options:
    latents = sizes == spec["latent_shape"]
    raise ValueError(
      f"To encode, the model takes [?, {parts.dims(sizes)}], which is no image "
      f"of [{parts.dims(image_shape)}]"
      + (", but a latent vector: it is a decoder." if latents else ".")
      + " Is it the right encoder (--encoder, --encode_signature)?"
    )
  return options


def _outputs(spec, part, known, pixels):
  """Returns the entry of an encoder in a spec, with its outputs."""
  found, again = (checks.run(part, known, "encode", pixels) for _ in range(2))
  drawn = {
    name
    for name, value in found.items()
    if not np.allclose(value, again[name], rtol=0.0, atol=_ROUNDING)
  }
  is_ordered = list(found) == list(part.outputs) or _are_ordered(found)
  names = _chosen(found, drawn, is_ordered, known.get("outputs", {}))
  codes = {
    ours: np.float32(checks.numbers(found[theirs], "encode", ours))
    for ours, theirs in names.items()
  }
  known |= {
    "outputs": names,
    "shapes": {ours: list(value.shape[1:]) for ours, value in codes.items()},
  }
  shape = spec["latent_shape"]
  axis = conventions.halves_axis(codes["mean"].shape, shape)
  if axis and len(codes) == 1:
    mean, spread = np.split(codes["mean"], 2, axis=axis)
    known["halves"] = [axis, _spread(spread)]
    codes = {"mean": mean, known["halves"][1]: spread}
  _check_codes(codes, shape)
  known["order"] = _order(codes["mean"].shape[1:], shape)
  known["numpy"] = binding.gives_arrays(part, known, pixels)
  return known


def _chosen(found, drawn, is_ordered, asked):
  """Returns the model's names of its outputs, by ours.

  Args:
    found: All outputs by the model's names.
    drawn: Names of outputs that differ from call to call: draws, not means.
    is_ordered: Whether the order of the outputs is known to be the model's.
    asked: The model's names by ours, as far as the user gave them.
  """
  listing = parts.listing(found)
  outputs = {}
  for ours in parts.OUTPUTS["encode"]:
    theirs = asked.get(ours)
    if theirs is None:
      free = found.keys() - {*asked.values(), *outputs.values()}
      theirs = next((name for name in _NAMES[ours] if name in free), None)
    if theirs is None and ours == "mean":
      if len(found) > 1:
        return _in_order(found, drawn, is_ordered, listing)
      (theirs,) = found
    if theirs in found:
      outputs[ours] = theirs
    elif theirs:
      raise ValueError(
        f"Asked to encode, the model gives no output {theirs!r}. Name the one "
        f"that is the {ours} with --encode_{ours}:{listing}"
      )
  if {"scale", "log_variance"} <= outputs.keys():
    raise ValueError(
      "An encoder gives a scale or a log-variance, not both: name one of them "
      f"only. It has:{listing}"
    )
  return outputs


def _in_order(found, drawn, is_ordered, listing):
  """Returns the model's names of its outputs, by ours, from their order.

  The order is (mean, log-variance) or (mean, scale), with or without a draw.
  """
  names = [name for name in found if name not in drawn]
  shapes = {value.shape for value in found.values()}
  if not 2 <= len(names) <= 3 or len(shapes) > 1 or not is_ordered:
    raise ValueError(
      "Asked to encode, the model gives several outputs. Name the one that is "
      f"the mean with --encode_mean:{listing}"
    )
  mean, spread = names[:2]
  return {"mean": mean, _spread(found[spread]): spread}


def _are_ordered(names):
  """Says whether names only number the outputs in order."""
  return [name.removeprefix("output_") for name in names] == [
    str(number) for number in range(len(names))
  ]


def _spread(values):
  """Says whether numbers are scales or log-variances.

  Scales are above zero. Log-variances all above zero would mean posteriors
  wider than the prior, which no encoder has.
  """
  return "scale" if np.min(values) > 0.0 else "log_variance"


def _check_codes(codes, latent_shape):
  """Checks an encoder's outputs for FEW images, by our names.

  Raises:
    ValueError: They do not describe posteriors of latents of this shape.
  """
  size, few = math.prod(latent_shape), checks.FEW
  for name, value in codes.items():
    if value.shape[:1] != (few,) or value.size != few * size:
      raise ValueError(
        f"The encoder gives the {name} of {few} images as an array of shape "
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


def _order(shape, latent_shape):
  """Returns the axes of a code in the order of a latent's; None keeps them.

  Raises:
    ValueError: The shapes do not match.
  """
  sizes = [size for size in shape if size != 1]
  wanted = [size for size in latent_shape if size != 1]
  if sizes == wanted or len(shape) == 1:
    return None
  for order in ([0, 2, 3, 1], [0, 3, 1, 2]):
    if len(shape) == 3 and [shape[axis - 1] for axis in order[1:]] == list(
      latent_shape
    ):
      return order
  raise ValueError(
    f"The encoder gives latents of shape [?, {parts.dims(shape)}], and the "
    f"decoder takes [?, {parts.dims(latent_shape)}]. Is this the right output?"
  )
