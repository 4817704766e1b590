"""What is needed of a generative model that is frozen and then controlled.

Ours are one kind: a VAE, or a GAN, which cannot encode. Any other can take
their place, see `importing`.
"""

import os
from typing import Protocol

import tensorflow as tf
import tensorflow_probability as tfp

from lc_keras import files
from lc_keras.generators import importing
from lc_keras.models import storage

tfd = tfp.distributions

# Where a run keeps its generative model: one of ours, or an imported one.
STAGES = ("vae", "gan", "generator")
_IMPORTED = "generator"


class Generator(Protocol):
  """A decoder and its prior.

  A model that can encode has besides

    encode(images: tf.Tensor) -> tfd.Distribution

  which takes images [batch, *image_shape] in [0, 1] and returns q(z|x), a
  diagonal normal of event shape [latent_size] with `mean()` and `stddev()`. One
  that cannot has no such attribute: see `can_encode`.

  Attributes:
    image_shape: (height, width, channels).
    latent_size: Size of z.
  """

  image_shape: tuple[int, ...]
  latent_size: int

  @property
  def prior(self) -> tfd.Distribution:
    """p(z) = N(0, I), event shape [latent_size]."""

  def decode(self, latents: tf.Tensor) -> tfd.Distribution:
    """Returns p(x|z), event shape `image_shape`; its mean is in [0, 1].

    Args:
      latents: [batch, latent_size].
    """


def can_encode(generator: Generator) -> bool:
  """Says whether a generator has an encoder, so that images can be changed."""
  return hasattr(generator, "encode")


def find(run_dir: str) -> str:
  """Returns which stage of a run is its generative model, one of STAGES.

  Raises:
    FileNotFoundError: The run has none that is trained or imported.
    ValueError: It has several.
  """
  written = {
    stage: importing.SPEC if stage == _IMPORTED else storage.WEIGHTS
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


def load(run_dir: str) -> Generator:
  """Returns the generative model of a run.

  Raises:
    FileNotFoundError: There is none, or an imported one is gone.
    ValueError: There are several, or it is damaged or has changed.
  """
  stage = find(run_dir)
  folder = os.path.join(run_dir, stage)
  return importing.load(folder) if stage == _IMPORTED else storage.load(folder)


def has_encoder(run_dir: str) -> bool:
  """Says whether the generative model of a run can encode; does not load it.

  Raises what `load` raises.
  """
  stage = find(run_dir)
  if stage == _IMPORTED:
    return bool(importing.read_spec(os.path.join(run_dir, stage))["encode"])
  return stage == "vae"


def fingerprint(run_dir: str) -> str:
  """Returns a SHA-256 that says which generative model a run is about.

  Of ours it is that of the weights; of an imported one, of its spec and of all
  its files, see `importing.fingerprint`. What was trained for one generator is
  of no use for another, and this is how to tell.

  Raises what `load` raises.
  """
  stage = find(run_dir)
  folder = os.path.join(run_dir, stage)
  if stage == _IMPORTED:
    return importing.fingerprint(folder)
  return files.checksum(os.path.join(folder, storage.WEIGHTS))
