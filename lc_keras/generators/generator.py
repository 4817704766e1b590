"""A frozen generative model, and the one that a folder keeps."""

import math
import os
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from lc_keras import files
from lc_keras import priors
from lc_keras.generators import checks
from lc_keras.generators import conventions
from lc_keras.generators import decoding
from lc_keras.generators import kinds
from lc_keras.generators import specs
from lc_keras.models import storage

tfd = tfp.distributions

# Where a run keeps its generative model: one of ours, or an imported one.
STAGES = ("vae", "gan", "generator")
_IMPORTED = "generator"
_SAVED = "model"
# Latents whose images tell one Python function from another.
_TRIED = 2

# A posterior of scale zero has an infinite rate.
_SMALLEST_SCALE = 1e-5


class Generator:
  """A decoder and its prior; and, if it has an encoder, a posterior.

  Our latents are draws of N(0, I) and our images are in [0, 1], whatever the
  model's are. A generator without an encoder has no attribute `encode`.

  >>> import keras
  >>> import lc_keras
  >>> decoder = keras.Sequential([
  ...   keras.Input([4]),
  ...   keras.layers.Dense(8 * 16, "tanh"),
  ...   keras.layers.Reshape([8, 16, 1]),
  ... ])
  >>> generator = lc_keras.Generator(decoder, pixel_range=(-1, 1))
  >>> generator.image_shape, generator.latent_size
  ((8, 16, 1), 4)
  >>> generator.map(generator.prior.sample(3, seed=0)).shape
  (3, 8, 16, 1)

  Attributes:
    image_shape: (height, width, channels) of our images.
    latent_size: Size of z.
    exportable: Whether it can be part of a SavedModel: a Python function of
      arrays cannot, since a model server runs no Python.
    model: What it was made of; lives as long as the generator.
    notes: Sentences about the model, from when it was looked at.
    spec: See `checks.complete`; None for a model of our own.
  """

  def __init__(
    self,
    decoder,
    encoder=None,
    *,
    latent_size: int | None = None,
    prior: str = "normal",
    pixel_range: Sequence[float] = (0.0, 1.0),
    posterior_scale: float = 0.1,
    outputs: Mapping[str, str] | None = None,
  ):
    """Takes a model and runs it once, to see what it can be used for.

    Args:
      decoder: Makes images of latents: a Keras model or layer, a signature of a
        loaded SavedModel, a `tf.function`, or a Python function of tensors or
        arrays. Images are [batch, height, width, channels], [batch, channels,
        height, width] or [batch, height, width]. Or a model of our own, a `VAE`
        or a `GAN`, which brings its encoder.
      encoder: Makes latents of images, the same kinds. It gives the posterior's
        mean; (mean, log-variance) or (mean, scale), perhaps with a draw behind
        them; a dictionary of these; one tensor of both halves, mean first; or a
        distribution. Numbers without a name that are all above zero are scales,
        others log-variances.
      latent_size: Size of z, needed if the decoder does not say.
      prior: Distribution of the model's latents: N(0, I), or evenly from
        [-1, 1] ("uniform") or [0, 1] ("unit_uniform").
      pixel_range: The model's values for black and white, such as (-1, 1).
      posterior_scale: Standard deviation in our latent space, for an encoder
        that gives none, and for uniform priors.
      outputs: The model's names of outputs, by ours: "images", "mean",
        "scale", "log_variance". Needed if there are several of other names.

    Raises:
      ValueError: The model cannot be used, or differs from what is said of it;
        the message says how.
      TypeError: It is no such model.
    """
    if encoder is None and hasattr(decoder, "decode"):
      self._take(decoder)
      return
    models = {"decode": decoder, "encode": encoder}
    opened = {
      direction: kinds.wrap(model, direction)
      for direction, model in models.items()
      if model is not None
    }
    named = {"outputs": dict(outputs or {})}
    spec, notes = checks.complete(
      {
        "decode": named,
        "encode": None if encoder is None else named,
        "prior": prior,
        "pixel_range": list(pixel_range),
        "posterior_scale": posterior_scale,
        "latent_size": latent_size,
      },
      opened,
    )
    self._build(spec, opened, notes)
    checks.check_traced(self)

  @classmethod
  def of_files(cls, spec: Mapping, folder: str = "") -> "Generator":
    """Opens a model in files; one that is only drafted is looked at first.

    Args:
      spec: See `specs.draft` and `specs.read`.
      folder: Where relative paths start.

    Raises:
      FileNotFoundError: There is no such file.
      ValueError: It is no model of this kind, or not the one that the spec
        says; the message lists what was found.
    """
    made = cls.__new__(cls)
    opened = kinds.load(spec, folder)
    if "checksum" in spec:
      made._build(spec, opened, [])
      return made
    spec, notes = checks.complete(spec, opened)
    made._build(spec, opened, notes)
    checks.check_traced(made)
    made.spec["checksum"] = specs.checksum(made.spec, folder)
    return made

  def _take(self, model):
    """Becomes a model that has our interface."""
    self.image_shape = tuple(model.image_shape)
    self.latent_size = model.latent_size
    self.exportable = True
    self.model = model
    self.notes = []
    self.spec = None
    self.decode = model.decode
    if can_encode(model):
      self.encode = model.encode

  def _build(self, spec, opened, notes):
    self.spec = spec
    self._low, self._high = map(float, spec["pixel_range"])
    self.image_shape = tuple(spec["image_shape"])
    self.latent_size = math.prod(spec["latent_shape"])
    self.exportable = not any(spec[direction]["numpy"] for direction in opened)
    self.model = [part.resource for part in opened.values()]
    self.notes = list(notes)
    run = {key: _bind(part.run, spec[key]) for key, part in opened.items()}
    self._run_decoder = run["decode"]
    if "encode" in run:
      # A model that cannot encode has no such attribute.
      self._run_encoder = run["encode"]
      self.encode = self._encode

  @property
  def prior(self) -> tfd.Distribution:
    """p(z) = N(0, I), event shape [latent_size], whatever the model's is."""
    return priors.standard_normal(self.latent_size)

  def map(self, latents) -> np.ndarray:
    """Returns the images of latents, float32 [n, *image_shape] in [0, 1].

    Args:
      latents: [n, latent_size].
    """
    return decoding.decoder(self)(np.float32(latents))[decoding.IMAGES]

  def decode(self, latents: tf.Tensor) -> tfd.Distribution:
    """Returns p(x|z), event shape `image_shape`; its mean is in [0, 1].

    All of its mass is at one image: a draw is the mean, and no other image has
    a density.

    Args:
      latents: [batch, latent_size].
    """
    own = conventions.from_normal(latents, self.spec["prior"])
    own = tf.reshape(own, (-1, *self.spec["latent_shape"]))
    pixels = tf.cast(self._run_decoder(own)["images"], tf.float32)
    images = (pixels - self._low) / (self._high - self._low)
    images = conventions.to_channels_last(images, self.spec["layout"])
    images = tf.ensure_shape(images, [None, *self.image_shape])
    images = tf.clip_by_value(images, 0.0, 1.0)
    return tfd.Independent(tfd.Deterministic(images), 3)

  def _encode(self, images: tf.Tensor) -> tfd.Distribution:
    """Returns q(z|x), event shape [latent_size].

    Args:
      images: [batch, *image_shape] in [0, 1].
    """
    pixels = images * (self._high - self._low) + self._low
    pixels = conventions.from_channels_last(pixels, self.spec["layout"])
    codes = self._run_encoder(pixels)
    if half := self.spec["encode"].get(checks.HALVES):
      codes["mean"], codes[half] = tf.split(codes["mean"], 2, axis=-1)
    codes = {
      name: tf.cast(tf.reshape(value, [-1, self.latent_size]), tf.float32)
      for name, value in codes.items()
    }
    mean = codes["mean"]
    scale = tf.fill(tf.shape(mean), float(self.spec["posterior_scale"]))
    if self.spec["prior"] != "normal":
      # The scale is the constant: what the model may say of it is in units in
      # which the middle and the ends of its range count the same.
      mean = conventions.to_normal(mean, self.spec["prior"])
    elif "scale" in codes:
      scale = codes["scale"]
    elif "log_variance" in codes:
      scale = tf.exp(0.5 * codes["log_variance"])
    return tfd.MultivariateNormalDiag(
      loc=mean, scale_diag=tf.maximum(scale, _SMALLEST_SCALE)
    )


def can_encode(generator) -> bool:
  """Says whether a generator has an encoder, so that images can be changed."""
  return hasattr(generator, "encode")


def find(run_dir: str) -> str:
  """Returns which stage of a run is its generative model, one of STAGES.

  Raises:
    FileNotFoundError: The run has none that is trained or imported.
    ValueError: It has several.
  """
  written = {
    stage: specs.SPEC if stage == _IMPORTED else storage.WEIGHTS
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
    run_dir: A run folder, or one that was saved.
    given: The model, if it could not be saved.

  Raises:
    FileNotFoundError: There is none, or an imported one is gone.
    ValueError: There are several, or it is damaged or has changed; or it was
      not saved, and another one is given or none.
  """
  stage = find(run_dir)
  folder = os.path.join(run_dir, stage)
  if stage != _IMPORTED:
    return storage.load(folder)
  spec = specs.read(folder)
  if spec["kind"] != specs.GIVEN:
    return Generator.of_files(spec, folder)
  if given is None:
    raise ValueError(
      f"The generator of {run_dir!r} is a Python function of arrays, which "
      "could not be saved: give it, lc_keras.load(path, generator=...)."
    )
  if _image_shape_and_pixels(given) != (spec["image_shape"], spec["pixels"]):
    raise ValueError(
      f"This is not the generator that {run_dir!r} was saved with: it makes "
      "other images of the same latents."
    )
  return given


def write(generator: Generator, folder: str) -> None:
  """Writes a generator where `load` finds it.

  A model of our own is written as its trainer does, any other as a SavedModel.
  Of a Python function of arrays is only noted which images it makes.

  Args:
    generator: The generator.
    folder: A run folder.
  """
  own = getattr(generator, "model", generator)
  for stage, name in (("vae", "VAE"), ("gan", "GAN")):
    if type(own).__name__ == name:
      storage.save(own, os.path.join(folder, stage))
      return
  place = os.path.join(folder, _IMPORTED)
  os.makedirs(place, exist_ok=True)
  if generator.exportable:
    spec = _save(generator, place)
  else:
    shape, pixels = _image_shape_and_pixels(generator)
    spec = {**specs.draft(specs.GIVEN, {}), "image_shape": shape}
    spec["encode"] = {} if can_encode(generator) else None
    spec["pixels"] = pixels
  files.write_json(os.path.join(place, specs.SPEC), spec)


def has_encoder(run_dir: str) -> bool:
  """Says whether the generative model of a run can encode; does not load it.

  Raises what `load` raises.
  """
  stage = find(run_dir)
  if stage == _IMPORTED:
    return specs.read(os.path.join(run_dir, stage))["encode"] is not None
  return stage == "vae"


def fingerprint(run_dir: str) -> str:
  """Returns a SHA-256 that says which generative model a run is about.

  Of ours it is that of the weights; of an imported one, of its spec and of all
  its files, see `specs.fingerprint`. What was trained for one generator is of
  no use for another, and this is how to tell.

  Raises what `load` raises.
  """
  stage = find(run_dir)
  folder = os.path.join(run_dir, stage)
  if stage == _IMPORTED:
    return specs.fingerprint(folder)
  return files.checksum(os.path.join(folder, storage.WEIGHTS))


def _save(generator, folder):
  """Writes a SavedModel that takes and gives what we do; returns its spec."""
  module = tf.Module()
  functions = {
    "decode": (
      lambda latents: {"images": generator.decode(latents).mean()},
      tf.TensorSpec([None, generator.latent_size], tf.float32, "latents"),
    )
  }
  if can_encode(generator):

    def encode(images):
      posterior = generator.encode(images)
      return {"mean": posterior.mean(), "scale": posterior.stddev()}

    shape = [None, *generator.image_shape]
    functions["encode"] = encode, tf.TensorSpec(shape, tf.float32, "images")
  signatures = {
    name: tf.function(function, autograph=False).get_concrete_function(
      signature
    )
    for name, (function, signature) in functions.items()
  }
  module.held = [one.variables for one in signatures.values()]
  module.model = [
    one
    for one in generator.model
    if isinstance(one, tf.__internal__.tracking.Trackable)
    and not isinstance(one, keras.Layer)
  ]
  with files.replacing(os.path.join(folder, _SAVED)) as aside:
    tf.saved_model.save(module, aside, signatures)
  drafted = specs.draft(
    "saved_model",
    *({"path": "", "signature": name} for name in signatures),
  )
  for name in signatures:
    drafted[name]["path"] = _SAVED
  return Generator.of_files(drafted, folder).spec


def _image_shape_and_pixels(generator):
  """Returns what tells one Python function from another, in JSON values."""
  latents = tf.random.stateless_normal([_TRIED, generator.latent_size], (0, 0))
  pixels = generator.map(latents).mean(axis=-1)
  return list(generator.image_shape), np.round(pixels, 3).tolist()


def _bind(run, known) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
  """Returns a function of tensors that gives the outputs by our names."""
  outputs = known["outputs"]

  def named(rows):
    found = run(rows)
    return {ours: found[theirs] for ours, theirs in outputs.items()}

  def arrays(rows):
    return [np.asarray(value, np.float32) for value in named(rows).values()]

  def called(rows):
    types = [tf.float32] * len(outputs)
    values = tf.numpy_function(arrays, [rows], types)
    # Outside of a graph, a single one comes bare.
    return dict(zip(outputs, tf.nest.flatten(values)))

  return called if known["numpy"] else named
