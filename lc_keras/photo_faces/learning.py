"""Learns to control the generator of faces from the table of labels."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from lc_keras import control
from lc_keras import recipes as settings
from lc_keras.photo_faces import face_api
from lc_keras.photo_faces import networks
from lc_keras.photo_faces import tables

# Small images are enough to see who it is.
_SIZE, _AT_ONCE = 128, 8
_IDENTITIES = 1024


def learn(
  generator,
  *,
  recipes: Sequence[settings.Training] = (),
  identities: int = _IDENTITIES,
  data_dir: str = "data",
  **options,
) -> control.LatentConstraints:
  """Returns the generator with all that is learned for it.

  Critics of the attributes of `tables.labels`, realism, a flow, an actor; and
  who is shown, so that an edit can keep it.

  Args:
    generator: Of `networks.generator`, not truncated.
    recipes: See `LatentConstraints.fit`.
    identities: How many seeds' faces are decoded, to learn who is shown.
    data_dir: See `packages.folder`.
    **options: Of `LatentConstraints.fit`.
  """
  table = tables.labels()
  latents = tables.latents(generator, table.index)
  learned = control.LatentConstraints(generator, list(table.columns))
  learned.fit(latents=latents, labels=table, recipes=recipes, **options)
  some = latents[:identities]
  learned.keep(identities_of(generator, some, data_dir), some)
  return learned


def identities_of(
  generator, latents: np.ndarray, data_dir: str = "data"
) -> np.ndarray:
  """Returns who latents show, [n, 128]; see `face_api.identity`.

  Args:
    generator: Of `networks.generator`.
    latents: [n, latent_size].
    data_dir: See `packages.folder`.
  """
  decode = networks.decoder(_SIZE, data_dir)
  who = face_api.identity(data_dir)
  coordinates = generator.mapping.coordinates

  @tf.function(autograph=False)
  def read(rows):
    return who(decode(coordinates.to_own(rows)))

  starts = range(0, len(latents), _AT_ONCE)
  parts = [read(latents[start : start + _AT_ONCE]) for start in starts]
  return np.concatenate(parts)
