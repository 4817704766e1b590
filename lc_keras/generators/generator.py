"""A frozen generative model, and loading one from a folder."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from lc_keras import batched
from lc_keras import files
from lc_keras import plotting
from lc_keras import priors
from lc_keras.generators import autoencoders
from lc_keras.generators import binding
from lc_keras.generators import checks
from lc_keras.generators import conventions
from lc_keras.generators import coordinates as coordinate_systems
from lc_keras.generators import decoding
from lc_keras.generators import encoders
from lc_keras.generators import kinds
from lc_keras.generators import mapping as mappings
from lc_keras.generators import part as parts
from lc_keras.generators import specs
from lc_keras.models import storage

tfd = tfp.distributions

# Stages of a run that may hold its generative model: one of ours, or an
# imported one. A refined VAE includes its VAE, and comes before it.
STAGES = ("refiner", "vae", "gan", "generator")
REFINED, IMPORTED = "refiner", "generator"
# A posterior of scale zero has an infinite rate.
_SMALLEST_SCALE = 1e-5
# Most draws at once.
_DRAWS = 8192


class Generator:
  """A decoder and its prior; and, if it has an encoder, a posterior.

  Our latents are draws of N(0, I) and our images are in [0, 1], whatever the
  model's are. A generator without an encoder has no attribute `encode`. One
  with a mapping, or with a prior given by samples, is controlled in whitened
  coordinates of the draws, see `mapping`: `draw` returns draws in them, and
  N(0, I) is the normal distribution of the same moments.

  >>> import keras
  >>> import lc_keras
  >>> decoder = keras.Sequential([
  ...   keras.Input([4]),
  ...   keras.layers.Dense(8 * 16, "tanh"),
  ...   keras.layers.Reshape([8, 16, 1]),
  ... ])
  >>> generator = lc_keras.Generator(decoder)
  >>> generator.image_shape, generator.latent_size
  ((8, 16, 1), 4)
  >>> generator.map(generator.prior.sample(3, seed=0)).shape
  (3, 8, 16, 1)

  Attributes:
    image_shape: (height, width, channels) of our images; with a plot, the
      shape of an output, whatever it is.
    latent_size: Size of z.
    batch_size: The model's fixed batch size, else None. `decode` takes any
      number of latents.
    exportable: Whether it can be part of a SavedModel: a model that runs
      outside of TensorFlow cannot, since a model server runs TensorFlow only.
    differentiable: Whether gradients get through `decode`.
    mapping: The `mapping.Draws` of a generator with a mapping, which has its
      `coordinates` and its `truncation`; else None.
    model: The wrapped model or models, kept alive with the generator.
    plot: How to draw an output that is not an image, see below; None for
      images. It may be set at any time.
    notes: Sentences about the model, from its first run.
    spec: See `specs.draft` and `checks.complete_decoder`; None for a model of
      our own.
  """

  def __init__(
    self,
    decoder,
    encoder=None,
    *,
    mapping=None,
    latent_size: int | Sequence[int] | None = None,
    image_shape: Sequence[int] | None = None,
    prior: str | np.ndarray = "normal",
    pixel_range: Sequence[float] | None = None,
    pixels: str = "values",
    posterior_scale: float = 0.1,
    fixed: Mapping | None = None,
    outputs: Mapping[str, str] | None = None,
    truncation: float = 1.0,
    plot=None,
  ):
    """Wraps a model, and runs it a few times to detect its conventions.

    docs/bring_your_own.md shows one of each kind.

    Args:
      decoder: Maps latents to images: a model of Keras 3 or 2, a SavedModel or
        a signature of one, a `tf.function`, a PyTorch module, an ONNX model, a
        Python function of tensors or arrays; or a file of one. Images may be
        [batch, height, width, channels], [batch, channels, height, width],
        [batch, height, width] or flat. A whole autoencoder provides both parts;
        a model of this library, a `VAE` or a `GAN`, is used as it is.
      encoder: Maps images to latents, a model of the same kinds. It returns the
        posterior's mean; (mean, log-variance) or (mean, scale), perhaps with a
        draw; a dictionary of these; one tensor of both halves, mean first; or a
        distribution. Values without a name that are all above zero are taken as
        scales, others as log-variances.
      mapping: Maps draws of the prior to the decoder's latents, w, a model of
        the same kinds, such as StyleGAN's mapping network. It returns [batch,
        latent], or a w for each layer, [batch, layers, latent]; a decoder that
        takes layers gets a single w in all of them.
      latent_size: Size of z, or its shape in the model, such as (4, 8, 8);
        needed if the decoder, or the mapping, does not specify it.
      image_shape: Shape of flat images: (height, width, channels), or as the
        model orders them.
      prior: Distribution of the model's latents: N(0, I), or uniform in [-1, 1]
        ("uniform") or [0, 1] ("unit_uniform"); or samples of it, an array
        [n, ...], preferably thousands.
      pixel_range: The model's values for black and white, such as (-1, 1);
        detected if they are those of a sigmoid, a tanh, or bytes.
      pixels: "values"; or "logits", which a sigmoid turns into images. An
        encoder then takes images in `pixel_range`, or [0, 1].
      posterior_scale: Standard deviation in our latent space, for an encoder
        that gives none, and for uniform priors.
      fixed: Values of other inputs, by name, such as {"class": 207,
        "truncation": 0.7}: a number, a class of a one-hot input, or an array of
        one row.
      outputs: The model's names of outputs, by ours: "images", "mean",
        "scale", "log_variance", "latents" of a mapping. Needed if there are
        several outputs with other names.
      truncation: Truncation of a mapping's draws, see `mapping.Draws`.
      plot: For outputs that are not images, but arrays of any one shape, whose
        values stay as they are: how to draw one. "lines", curves along the last
        axis; or a function of matplotlib's axes and of an output, or its
        "module:function".

    Raises:
      ValueError: The model cannot be used, or contradicts the arguments; the
        message says how.
      TypeError: The model is of no known kind.
      FileNotFoundError: There is no such file.
    """
    if not isinstance(prior, str):
      if mapping is not None:
        raise ValueError(
          "A prior of samples takes the place of a mapping: give `prior` or "
          "`mapping`, not both."
        )
      mapping, prior = np.asarray(prior), "normal"
    models = {"decode": decoder, "encode": encoder, "map": mapping}
    if encoder is None and mapping is None and _is_ours(decoder):
      self._take(decoder)
      return
    models = {
      direction: kinds.resolve(model)
      for direction, model in models.items()
      if model is not None or direction == "decode"
    }
    whole = models["decode"]
    is_whole = encoder is None and mapping is None
    names = autoencoders.split(whole) if is_whole else None
    if fixed is not None and not isinstance(fixed, Mapping):
      raise ValueError(
        "fixed is a dictionary of inputs, such as {'class': 7}; got "
        f"{fixed!r}."
      )
    if names:
      models = {
        direction: autoencoders.part(whole, name)
        for direction, name in zip(parts.OUTPUTS, names)
      }
    said = {"outputs": dict(outputs or {})}
    opened = {
      direction: kinds.wrap(model, direction, {})
      for direction, model in models.items()
    }
    if names and latent_size is None:
      latent_size = autoencoders.size(whole)
    drafted = specs.draft(
      said,
      said if "encode" in opened else None,
      said if "map" in opened else None,
      prior=prior,
      pixel_range=pixel_range,
      pixels=pixels,
      posterior_scale=posterior_scale,
      latent_size=latent_size,
      image_shape=image_shape,
      fixed=fixed,
      truncation=truncation,
      plot=specs.plot_of(plot),
    )
    self._inspect(drafted, opened, names)
    self.plot = plot

  @classmethod
  def of_files(
    cls,
    spec: Mapping,
    folder: str = "",
    coordinates: coordinate_systems.Coordinates | None = None,
  ) -> "Generator":
    """Opens a model in files; runs it first to complete a spec from `draft`.

    Args:
      spec: See `specs.draft` and `specs.read`.
      folder: Where relative paths start.
      coordinates: Coordinates of a mapping's latents; None estimates them.

    Raises:
      FileNotFoundError: There is no such file.
      ValueError: It is not a model of this kind, or contradicts the spec; the
        message lists what was found.
    """
    made = cls.__new__(cls)
    places = {name: spec[name] for name in parts.OUTPUTS if spec.get(name)}
    models = {name: kinds.load(one, folder) for name, one in places.items()}
    names = None
    if len(models) == 1 and "signature" not in places["decode"]:
      names = autoencoders.split(models["decode"])
    if names and "checksum" not in spec:
      whole = models["decode"]
      for direction, name in zip(parts.OUTPUTS, names):
        places[direction] = {**places["decode"], "part": name}
        models[direction] = autoencoders.part(whole, name)
      spec = {**spec, **places}
      if spec["latent_size"] is None:
        spec["latent_size"] = autoencoders.size(whole)
    opened = {
      name: kinds.wrap(model, name, places[name])
      for name, model in models.items()
    }
    if "checksum" in spec:
      coordinates = specs.read_coordinates(spec, folder)
      made._build(spec, opened, [], coordinates)
      return made
    made._inspect(spec, opened, names, coordinates)
    made.spec["checksum"] = specs.checksum(made.spec, folder)
    return made

  def _take(self, model):
    """Takes over a model that has our interface."""
    self.image_shape = tuple(model.image_shape)
    self.latent_size = model.latent_size
    self.batch_size = None
    self.exportable = self.differentiable = True
    self.mapping = self.plot = None
    self.model = model
    self.notes = []
    self.spec = None
    self.decode = model.decode
    if can_encode(model):
      self.encode = model.encode

  def _inspect(self, drafted, opened, names, coordinates=None):
    """Runs a model to complete its spec, and takes it over.

    Args:
      drafted: See `specs.draft`.
      opened: Its parts, by direction.
      names: Names of decoder and encoder within one model, or None.
      coordinates: See `of_files`.
    """
    plotting.plotter(drafted["plot"])  # Raises if there is no such function.
    spec, drawn = checks.prepare(drafted, opened), None
    if "map" in opened:
      own, drawn = mappings.complete_mapping(spec, opened)
      coordinates = coordinates or coordinate_systems.Coordinates.fit(own)
    spec, notes, images = checks.complete_decoder(spec, opened, drawn)
    if "encode" in opened:
      spec["encode"] = encoders.complete_encoder(spec, opened["encode"], images)
    if names:
      notes.append(
        f"It is a whole autoencoder: its decoder is its {names[0]!r}, its "
        f"encoder its {names[1]!r}."
      )
    self._build(spec, opened, notes, coordinates)
    try:
      facts = checks.trace(self)
    except Exception as error:
      for direction in opened:
        spec[direction]["numpy"] = True
      self.notes.append(
        "It does not run in a TensorFlow graph, and is called outside of it: "
        f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}"
      )
      self._build(spec, opened, self.notes, coordinates)
      facts = checks.trace(self)
    spec |= facts
    self.exportable, self.differentiable = facts.values()

  def _build(self, spec, opened, notes, coordinates=None):
    self.spec = spec
    self._low, self._high = map(float, spec["pixel_range"])
    self.image_shape = tuple(spec["image_shape"])
    self.latent_size = math.prod(spec["latent_shape"])
    if coordinates is not None:
      self.latent_size = coordinates.size
    self.batch_size = spec["decode"].get("batch_size")
    self.exportable = spec.get("exportable", True)
    self.differentiable = spec.get("differentiable", True)
    self.plot = spec.get("plot")
    self.model = [part.resource for part in opened.values()]
    self.notes = list(notes)
    run = {key: binding.bind(one, spec[key]) for key, one in opened.items()}
    self._run_decoder = run["decode"]
    self.mapping = None
    if "map" in run:
      self.mapping = mappings.Draws(run["map"], spec, coordinates)
    if "encode" in run:
      # A model that cannot encode has no such attribute.
      self._run_encoder = run["encode"]
      self.encode = self._encode

  def adopt(self, coordinates: coordinate_systems.Coordinates | None) -> None:
    """Replaces the coordinates of its mapping's latents; None keeps them."""
    if coordinates is not None:
      self.mapping.coordinates = coordinates
      self.latent_size = coordinates.size

  @property
  def prior(self) -> tfd.Distribution:
    """p(z) = N(0, I), event shape [latent_size], whatever the model's is."""
    return priors.standard_normal(self.latent_size)

  def draw(
    self, seeds: tf.Tensor, draw: tf.Tensor | int | None = None
  ) -> tf.Tensor:
    """Returns draws of latents, float32 [batch, latent_size].

    They are draws of the prior or, with a mapping, of its outputs.

    Args:
      seeds: int64 [batch]; a row depends on its own seed alone.
      draw: Tells apart several draws of a row, see `priors.sample_rows`.
    """
    if not tf.is_tensor(seeds):
      seeds = np.fromiter(seeds, np.int64)
    if self.mapping is not None:
      return self.mapping(seeds, draw)
    return priors.sample_rows(seeds, self.latent_size, draw)

  def map(self, latents) -> np.ndarray:
    """Returns the images of latents, float32 [n, *image_shape] in [0, 1].

    For a model with a plot, returns its outputs as they are.

    Args:
      latents: [n, latent_size].

    Raises:
      ValueError: The latents have a wrong shape, or are not finite.
    """
    expected = f"Latents are finite numbers [n, {self.latent_size}]; got "
    try:
      rows = np.asarray(latents, np.float32)
    except (TypeError, ValueError):
      raise ValueError(f"{expected}a {type(latents).__name__}.") from None
    if rows.shape[1:] != (self.latent_size,):
      raise ValueError(f"{expected}the shape {list(rows.shape)}.")
    if not np.isfinite(rows).all():
      raise ValueError(f"{expected}NaN or infinite ones.")
    return decoding.decoder(self)(rows)[decoding.IMAGES]

  def sample(self, seeds: Iterable[int]) -> np.ndarray:
    """Returns the images of seeds, float32 [n, *image_shape] in [0, 1].

    Each depends on its own seed only. Labels by `seed` are labels of these
    images, see `learning.labels`.

    Args:
      seeds: n whole numbers, such as range(100).
    """
    return self.map(draw_rows(self, np.fromiter(seeds, np.int64)))

  def decode(self, latents: tf.Tensor) -> tfd.Distribution:
    """Returns p(x|z), event shape `image_shape`; an image's mean is in [0, 1].

    A point mass: every draw is the mean.

    Args:
      latents: [batch, latent_size].
    """
    latents = tf.ensure_shape(latents, [None, self.latent_size])
    if self.mapping is not None:
      return self.decode_own(self.mapping.coordinates.to_own(latents))
    return self.decode_own(conventions.from_normal(latents, self.spec["prior"]))

  def decode_own(self, own: tf.Tensor) -> tfd.Distribution:
    """Returns p(x|z) as `decode` does, for latents as the model takes them.

    Args:
      own: [batch, ...], in the model's shape or flat.
    """
    own = mappings.shaped(own, self.spec["latent_shape"])
    pixels = self._run_decoder(own)["images"]
    if self.spec["pixels"] == "logits":
      images = tf.sigmoid(pixels)
    else:
      images = (pixels - self._low) / (self._high - self._low)
    images = conventions.to_channels_last(
      images, self.spec["decode"]["layout"], self.image_shape
    )
    if self.plot is None:
      images = tf.clip_by_value(images, 0.0, 1.0)
    return tfd.Independent(tfd.Deterministic(images), len(self.image_shape))

  def _encode(self, images: tf.Tensor) -> tfd.Distribution:
    """Returns q(z|x), event shape [latent_size].

    Args:
      images: [batch, *image_shape] in [0, 1].
    """
    known = self.spec["encode"]
    images = tf.ensure_shape(images, [None, *self.image_shape])
    pixels = images * (self._high - self._low) + self._low
    pixels = conventions.from_channels_last(
      pixels, known["layout"], known["flat"]
    )
    codes = self._run_encoder(pixels)
    if "halves" in known:
      axis, spread = known["halves"]
      codes["mean"], codes[spread] = tf.split(codes["mean"], 2, axis=axis)
    codes = {
      name: tf.reshape(
        tf.transpose(value, known["order"]) if known["order"] else value,
        [-1, math.prod(self.spec["latent_shape"])],
      )
      for name, value in codes.items()
    }
    mean = codes["mean"]
    own_units = self.mapping is None and self.spec["prior"] == "normal"
    if self.mapping is not None:
      mean = self.mapping.to_latents(mean)
    else:
      mean = conventions.to_normal(mean, self.spec["prior"])
    # An encoder's scale is in the model's own units. If ours differ, the scale
    # is the constant.
    scale = tf.fill(tf.shape(mean), float(self.spec["posterior_scale"]))
    if own_units and "scale" in codes:
      scale = codes["scale"]
    elif own_units and "log_variance" in codes:
      scale = tf.exp(0.5 * codes["log_variance"])
    return tfd.MultivariateNormalDiag(
      loc=mean, scale_diag=tf.maximum(scale, _SMALLEST_SCALE)
    )


def _is_ours(model):
  return all(
    hasattr(model, name) for name in ("decode", "image_shape", "latent_size")
  )


def can_encode(generator) -> bool:
  """Says whether a generator has an encoder, so that images can be changed."""
  return hasattr(generator, "encode")


def are_images(generator) -> bool:
  """Says whether a generator makes images, and not other arrays.

  Args:
    generator: A `Generator`, or a model of ours, which makes images.
  """
  return getattr(generator, "plot", None) is None


def draw(generator, seeds: tf.Tensor) -> tf.Tensor:
  """Returns a generator's draws of latents, one per seed.

  Args:
    generator: A `Generator`, or a model of ours, which draws from the prior.
    seeds: int64 [batch].
  """
  if hasattr(generator, "draw"):
    return generator.draw(seeds)
  return priors.sample_rows(seeds, generator.latent_size)


def draw_rows(generator, seeds: np.ndarray) -> np.ndarray:
  """Returns `draw` of many seeds, an array: not all noise is held at once."""
  mapping = getattr(generator, "mapping", None)
  size = generator.latent_size if mapping is None else mapping.noise_size
  drawn = batched.Batched(
    lambda seeds: {"latents": draw(generator, seeds)},
    batched.rows_at_once([size], _DRAWS),
  )
  return drawn(seeds)["latents"]


def find(run_dir: str) -> str:
  """Returns the stage of a run that holds its generative model, see STAGES.

  Raises:
    FileNotFoundError: The run has none that is trained or imported.
    ValueError: It has several, or a refiner of another VAE.
  """
  written = {
    stage: specs.SPEC if stage == IMPORTED else storage.WEIGHTS
    for stage in STAGES
  }
  found = [
    stage
    for stage, name in written.items()
    if os.path.exists(os.path.join(run_dir, stage, name))
  ]
  if not found:
    raise FileNotFoundError(
      f"The run in {run_dir!r} has no generative model yet. Train one with "
      "`python -m trainers.vae` or `python -m trainers.gan`, or bring one with "
      "`python -m trainers.import_generator`, and the same --run_dir."
    )
  if found[:2] == [REFINED, "vae"]:
    refiner, refined = (
      storage.describe(os.path.join(run_dir, stage)) for stage in found[:2]
    )
    if refiner.get("made_for") != refined["sha256"]:
      raise ValueError(
        f"The refiner in {run_dir!r} was trained behind another VAE than the "
        f"one that is there. Delete the folder {REFINED!r}; then train it "
        "again (`python -m trainers.refiner`), or go on without a refiner."
      )
    del found[1]
  if len(found) > 1:
    raise ValueError(
      f"The run in {run_dir!r} has several generative models: "
      f"{', '.join(found)}. A run is about one: delete the folders of the "
      "others, or use another --run_dir."
    )
  return found[0]


def load(run_dir: str, given: Generator | None = None) -> Generator:
  """Returns the generative model of a folder.

  Args:
    run_dir: A run folder, or a saved one.
    given: The model, if it could not be saved.

  Raises:
    FileNotFoundError: There is none, or an imported one is gone.
    ValueError: There are several, or it is damaged or has changed; or it could
      not be saved, and the given one is another one or None.
  """
  stage = find(run_dir)
  folder = os.path.join(run_dir, stage)
  if stage != IMPORTED:
    return storage.load(folder)
  spec = specs.read(folder)
  if specs.has_model(spec):
    return Generator.of_files(spec, folder)
  if given is None:
    raise ValueError(
      f"The generator of {run_dir!r} runs outside of TensorFlow, and could not "
      "be saved: pass it, lc_keras.load(path, generator=...)."
    )
  if given.mapping is not None:
    # Coordinates that are estimated again may have other axes.
    given.adopt(specs.read_coordinates(spec, folder))
  if not specs.is_the_same(spec, given):
    raise ValueError(
      f"This is not the generator that {run_dir!r} was saved with: it makes "
      "other images of the same latents. Pass the one that was saved."
    )
  return given


def has_encoder(run_dir: str) -> bool:
  """Says whether the generative model of a run can encode; does not load it.

  Raises what `load` raises.
  """
  stage = find(run_dir)
  if stage == IMPORTED:
    return specs.read(os.path.join(run_dir, stage))["encode"] is not None
  return stage != "gan"


def fingerprint(run_dir: str) -> str:
  """Returns a SHA-256 that identifies the generative model of a run.

  For one of ours it is that of the weights; for an imported one, of its spec
  and of all its files, see `specs.fingerprint`. By it, models that were trained
  for another generator are refused.

  Raises what `load` raises.
  """
  stage = find(run_dir)
  folder = os.path.join(run_dir, stage)
  if stage == IMPORTED:
    return specs.fingerprint(folder)
  return files.checksum(os.path.join(folder, storage.WEIGHTS))
