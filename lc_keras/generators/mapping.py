"""Generators with a mapping, z -> w, that are controlled in w.

StyleGAN and similar models draw z ~ N(0, I), map it to w and decode w. An edit
in w keeps the rest of an image better than one in z, but the density of w is
unknown. So draws of w take the place of encoded images. The latents of such a
generator are w in whitened coordinates, where the normal distribution of the
same mean and covariance is N(0, I); this takes the place of the prior.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from lc_keras import batched
from lc_keras import priors
from lc_keras.generators import binding
from lc_keras.generators import checks
from lc_keras.generators import conventions
from lc_keras.generators import coordinates as coordinate_systems
from lc_keras.generators import part as parts

# Numbers of draws: to estimate coordinates from, fewer for latents longer than
# _LONG (layers of w), whose fit takes a square matrix of draws; and per batch.
_DRAWS, _LONG_DRAWS = 10_000, 2_000
_LONG = 2_000
_AT_ONCE = 1_000


class Draws:
  """Draws w, as our latents, each by its own seed.

  Attributes:
    coordinates: Maps w to our latents and back.
    truncation: Draws are mean + truncation * (w - mean). Below 1, images are
      nearer to the mean image: finer, and less varied. It may be set at any
      time; labels by seed refer to draws at its value of that time.
  """

  def __init__(
    self,
    run: Callable[[tf.Tensor], Mapping[str, tf.Tensor]],
    spec: Mapping,
    coordinates: coordinate_systems.Coordinates,
  ):
    """Creates the object.

    Args:
      run: Maps z to {"latents": w}.
      spec: Spec of the generator, see `specs.draft`.
      coordinates: See above.
    """
    self._run = run
    self._prior = spec["prior"]
    self._shape = tuple(spec["map"]["latent_shape"])
    self.truncation = float(spec["truncation"])
    self.coordinates = coordinates
    # Draws row by row, which takes long outside of a graph.
    self._noise = tf.function(
      lambda seeds, draw: priors.sample_rows(seeds, self.noise_size, draw),
      autograph=False,
      reduce_retracing=True,
    )

  def __call__(
    self, seeds: tf.Tensor, draw: tf.Tensor | int | None = None
  ) -> tf.Tensor:
    """Returns our latents, [batch, latent_size]; see `priors.sample_rows`."""
    own = self.own(self._noise(tf.cast(seeds, tf.int64), draw))
    mean = self.coordinates.mean
    own = mean + self.truncation * (own - mean)
    return self.coordinates.to_latents(own)

  @property
  def known(self) -> np.ndarray:
    """bool [latent_size], the axes that are controlled.

    Along the others nothing is learned: the posterior that stands for a draw
    has mean 0 there and is as wide as the prior.
    """
    return np.arange(self.coordinates.size) < self.coordinates.axes

  @property
  def scales(self) -> list[float]:
    """Factors by which critics scale the controlled axes; about 1.

    The root of an axis's deviation: axes along which draws differ more change
    images more, and critics with equal factors learn less from few labels.
    """
    known = self.coordinates.deviations[: self.coordinates.axes]
    return np.sqrt(known / np.sqrt(np.mean(known**2))).tolist()

  @property
  def noise_size(self) -> int:
    """Number of draws of N(0, 1) that make a w."""
    return math.prod(self._shape)

  def own(self, noise: tf.Tensor) -> tf.Tensor:
    """Returns w [batch, own_size] of draws of N(0, I), not truncated."""
    noise = conventions.from_normal(noise, self._prior)
    own = self._run(tf.reshape(noise, [-1, *self._shape]))["latents"]
    return tf.reshape(own, [-1, len(self.coordinates.mean)])

  def to_latents(self, own: tf.Tensor) -> tf.Tensor:
    """Returns our latents of w, or of the mean of w over layers.

    Args:
      own: [batch, ...], as the decoder takes them.
    """
    size = len(self.coordinates.mean)
    own = tf.reshape(own, [tf.shape(own)[0], -1, size])
    return self.coordinates.to_latents(tf.reduce_mean(own, axis=1))


def complete_mapping(
  spec: dict, opened: Mapping[str, parts.Part]
) -> tuple[np.ndarray, np.ndarray]:
  """Runs a mapping, and completes its entry in the spec.

  Args:
    spec: See `checks.prepare`; its "latent_size" is that of z.
    opened: The mapping and the decoder.

  Returns:
    Draws of w, [n, own_size], and some of them as the decoder takes them.

  Raises:
    ValueError: It is not a mapping, or does not fit the decoder.
  """
  known, part = spec["map"], opened["map"]
  shape = checks.latent_shape(
    checks.shape_taken(part, known), spec.pop("latent_size")
  )
  known["latent_shape"] = shape
  few = _mapped(spec, part, checks.PROBES, 0)
  taken = checks.shape_taken(opened["decode"], spec["decode"])
  probes = shaped(few, _decoder_shape(taken, few.shape[1:])).numpy()
  count = _DRAWS if few[0].size <= _LONG else _LONG_DRAWS
  at_once = batched.rows_at_once(shape, _AT_ONCE)
  drawn = [
    _mapped(spec, part, at_once, number)
    for number in range(-(-count // at_once))
  ]
  return np.concatenate(drawn)[:count].reshape([count, -1]), probes


def _mapped(spec, part, count, number):
  """Returns some draws of w, as the mapping returns them."""
  known = spec["map"]
  shape = known["latent_shape"]
  noise = tf.random.stateless_normal([count, *shape], (number, 0))
  noise = conventions.from_normal(noise, spec["prior"]).numpy()
  found = checks.run(part, known, "map", noise)
  asked = known.get("outputs", {}).get("latents")
  theirs = asked or (next(iter(found)) if len(found) == 1 else "w")
  if theirs not in found:
    raise ValueError(
      "Asked to map, the model gives several outputs. Name the one that is the "
      "latents that the decoder takes, outputs={'latents': NAME}:"
      + parts.listing(found)
    )
  own = np.float32(checks.numbers(found[theirs], "map", "latents"))
  if own.ndim < 2 or len(own) != len(noise):
    raise ValueError(
      f"The mapping gives [{parts.dims(own.shape)}] of {len(noise)} draws: "
      "expected a latent vector of each."
    )
  known["outputs"] = {"latents": theirs}
  known["shapes"] = {"latents": list(own.shape[1:])}
  if "numpy" not in known:
    known["numpy"] = binding.gives_arrays(part, known, noise[: checks.FEW])
  return own


def _decoder_shape(taken, mapped):
  """Returns the shape in which a decoder takes the output of a mapping.

  Args:
    taken: Shape of a row of the decoder's input; None if unknown.
    mapped: Shape of a row of the mapping's output.
  """
  mapped = list(mapped)
  if taken is None or None in taken:
    return mapped
  # The mapping returns one w for all layers, or a w for each.
  layers = list(taken) if len(taken) == 2 and len(mapped) == 1 else None
  if layers and layers[1] == mapped[0]:
    return layers
  if math.prod(taken) != math.prod(mapped):
    raise ValueError(
      f"The mapping gives latents of shape [?, {parts.dims(mapped)}], and the "
      f"decoder takes [?, {parts.dims(taken)}]. Do they belong together?"
    )
  return list(taken)


def shaped(own, shape: Sequence[int]):
  """Returns latents [batch, own_size] as a decoder takes them.

  Args:
    own: w, an array or a tensor.
    shape: Shape of a latent vector there; all its layers may get one w.
  """
  own = tf.reshape(own, [-1, math.prod(own.shape[1:])])
  if own.shape[1] != math.prod(shape):
    own = tf.repeat(own[:, tf.newaxis], shape[0], axis=1)
  return tf.reshape(own, [-1, *shape])
