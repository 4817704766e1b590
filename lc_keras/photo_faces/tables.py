"""Seeds and labels of generated faces, whose images are not kept.

A seed stands for a draw of NumPy's, see `draws`, so that a table can be used
without this library; it is not a seed of `Generator.sample`. Its image is not
truncated. labels/by_judge.csv has the readings of face-api's networks in images
of 256 pixels: probabilities of Smiling and Male, and the age. labels/by_eye.csv
has labels by eye, from contact sheets, see `tools.photo_labels`: 1, 0, or empty
where unclear or not labelled. labels/identities.npz has the embeddings of
face-api's network for identities for the same images, along the 32 axes in
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
# Age in years at which Young is 0.5, and the scale of its decline.
OLD, _OLD_SCALE = 37.0, 2.0


def labels() -> pd.DataFrame:
  """Returns the labels of all labelled seeds.

  Returns:
    A frame indexed by seed, with a column per attribute, in [0, 1]; NaN where
    unknown.

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
  """Returns the identities of the faces of seeds.

  Returns:
    A frame indexed by seed, of 32 numbers, which are close together for images
    of one person.

  >>> from lc_keras.photo_faces import tables
  >>> tables.identities().shape
  (9600, 32)
  """
  with np.load(_FOLDER / "identities.npz", allow_pickle=False) as found:
    axes = found["identities"].astype(np.float32)
    return pd.DataFrame(axes, pd.Index(found["seeds"], name=_SEED))


def draws(seeds: Iterable[int]) -> np.ndarray:
  """Returns the z of seeds, draws of N(0, I), float32 [n, 512].

  >>> from lc_keras.photo_faces import tables
  >>> tables.draws([7, 7, 8]).shape
  (3, 512)
  """
  rows = [np.random.default_rng(int(seed)).normal(size=_SIZE) for seed in seeds]
  return np.float32(rows)


def latents(generator, seeds: Iterable[int]) -> np.ndarray:
  """Returns the latents of seeds, float32 [n, latent_size].

  Args:
    generator: Result of `networks.generator`.
    seeds: Seeds of a table.
  """
  own = generator.mapping.own(tf.constant(draws(seeds)))
  return generator.mapping.to_latents(own).numpy()


def young(age: np.ndarray) -> np.ndarray:
  """Returns the value of Young for an age, in [0, 1].

  Args:
    age: Age in years, as face-api's network reads it.
  """
  return 1.0 / (1.0 + np.exp((age - OLD) / _OLD_SCALE))
