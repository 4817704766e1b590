"""Latents for tests that identify rows."""

import numpy as np

from lc_keras.data import latents


def make(rows=7, size=4, attributes=5, frequency=0.3, seed=0):
  """Returns random latents whose mean identifies the row: mean[i, 0] is i."""
  random = np.random.default_rng(seed)
  mean = random.normal(size=[rows, size]).astype(np.float32)
  mean[:, 0] = np.arange(rows)
  return latents.Latents(
    mean,
    random.uniform(0.1, 1, [rows, size]).astype(np.float32),
    (random.random([rows, attributes]) < frequency).astype(np.float32),
  )
