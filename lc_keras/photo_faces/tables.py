"""Seeds and labels: all that is kept of faces that were made and labelled.

A seed stands for a draw of NumPy's, see `draws`, so that a table can be used
without this library; it is not a seed of `Generator.sample`. What it makes is
not truncated. labels/by_judge.csv has what face-api's networks read in images
of 256 pixels: probabilities of Smiling and Male, and the age. labels/by_eye.csv
has what a look at contact sheets told, see `tools.photo_labels`: 1, 0, or
nothing where it was unclear or nobody looked. labels/identities.npz has who
face-api's network for identities sees in the same images, along the 32 axes in
which people differ most.
"""

import pathlib
from collections.abc import Iterable

import numpy as np
import pandas as pd
import tensorflow as tf

_FOLDER = pathlib.Path(__file__).parent / "labels"
_SIZE = 512
_SEED, _AGE, _YOUNG = "seed", "age", "Young"
# Years: the age from which on a face is not Young, and how gradually.
OLD, _OLD_SCALE = 37.0, 2.0


def labels() -> pd.DataFrame:
  """Returns what is known of labelled seeds.

  Returns:
    A frame with a row a seed, its index, and a column an attribute, in [0, 1];
    NaN where it is not known.

  >>> from lc_keras.photo_faces import tables
  >>> found = tables.labels()
  >>> bool(found["Smiling"].between(0.0, 1.0).all())
  True
  """
  judged = pd.read_csv(_FOLDER / "by_judge.csv", index_col=_SEED)
  judged[_YOUNG] = young(judged.pop(_AGE))
  seen = pd.read_csv(_FOLDER / "by_eye.csv", index_col=_SEED)
  return judged.join(seen, how="outer").astype(np.float32)


def identities() -> pd.DataFrame:
  """Returns who is seen in the images of seeds.

  Returns:
    A frame with a row a seed, its index, and 32 numbers: those of one person
    are near to each other.

  >>> from lc_keras.photo_faces import tables
  >>> tables.identities().shape
  (9600, 32)
  """
  with np.load(_FOLDER / "identities.npz", allow_pickle=False) as found:
    axes = found["identities"].astype(np.float32)
    return pd.DataFrame(axes, pd.Index(found["seeds"], name=_SEED))


def draws(seeds: Iterable[int]) -> np.ndarray:
  """Returns draws of N(0, I), float32 [n, 512]: the z of seeds.

  >>> from lc_keras.photo_faces import tables
  >>> tables.draws([7, 7, 8]).shape
  (3, 512)
  """
  rows = [np.random.default_rng(int(seed)).normal(size=_SIZE) for seed in seeds]
  return np.float32(rows)


def latents(generator, seeds: Iterable[int]) -> np.ndarray:
  """Returns the latents that seeds stand for, float32 [n, latent_size].

  Args:
    generator: Of `networks.generator`.
    seeds: Of a table.
  """
  own = generator.mapping.own(tf.constant(draws(seeds)))
  return generator.mapping.to_latents(own).numpy()


def young(age: np.ndarray) -> np.ndarray:
  """Returns how much an age is Young, in [0, 1].

  Args:
    age: In years, as face-api's network reads it.
  """
  return 1.0 / (1.0 + np.exp((age - OLD) / _OLD_SCALE))
