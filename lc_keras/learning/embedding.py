"""Learns to read an embedding of images in latents, so that edits can keep it.

An example is a face's identity: a face recognition network gives vectors that
are close together for images of one person. Any embedding will do that an edit
should not change.
"""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from lc_keras import progress as progresses
from lc_keras.generators import decoding
from lc_keras.learning import acquire
from lc_keras.models import embedding_model

MODEL = "embedding"
# Most principal axes of the vectors; the others are mostly noise.
_AXES = 32
_BATCH_SIZE, _STEPS, _FOLDS = 128, 1500, 5
# With fewer rows, folds are too small.
_FEWEST = 50
_SEED = 1 << 21


def learn(
  parts,
  embed: Callable[[np.ndarray], np.ndarray] | np.ndarray,
  latents: np.ndarray | None = None,
  *,
  count: int = 2048,
  steps: int = _STEPS,
  seed: int = 0,
  progress: progresses.Progress = progresses.SILENT,
) -> tuple[embedding_model.EmbeddingModel, dict]:
  """Learns an embedding.

  The model predicts its principal components, 32 at most, scaled so that the
  first has deviation 1: a weight then means the same for every embedding.

  Args:
    parts: `parts.Parts`.
    embed: Maps images [n, height, width, channels] in [0, 1] to vectors [n, d];
      or the vectors of `latents`.
    latents: [n, latent_size]; None draws some.
    count: Number of draws.
    steps: Training steps.
    seed: Seed of draws, weights and batches.
    progress: Shows the progress.

  Returns:
    The model; and JSON values: "rows", "axes", and "explained", the share of
    the variance along these that it predicts from held-out latents.

  Raises:
    ValueError: There is not one finite vector for each of enough latents.
  """
  if latents is None:
    latents = acquire.drawer(parts)(count, _SEED + seed)
  latents = np.asarray(latents, np.float32)
  vectors = embed
  if callable(embed):
    vectors = _embedded(parts.generator, embed, latents, progress)
  vectors = np.asarray(vectors, np.float64)
  if vectors.ndim != 2 or len(vectors) != len(latents):
    raise ValueError(
      f"An embedding must have a vector of each of {len(latents)} images, [n, "
      f"size]; got the shape {list(vectors.shape)}."
    )
  if len(vectors) < _FEWEST or not np.isfinite(vectors).all():
    raise ValueError(
      f"An embedding needs vectors of at least {_FEWEST} images, all of finite "
      f"numbers; got {len(vectors)} vectors."
    )
  targets = _principal(vectors)
  rows = {
    "mean": latents,
    "scale": np.broadcast_to(parts.posterior_scale, latents.shape),
    "embedding": targets,
    "fold": np.arange(len(targets)) % _FOLDS,
  }
  keras.utils.set_random_seed(seed)
  model = embedding_model.EmbeddingModel(
    latents.shape[1], targets.shape[1], folds=_FOLDS, scales=parts.scales
  )
  model.made_for = parts.fingerprint
  model.compile(
    keras.optimizers.AdamW(
      keras.optimizers.schedules.CosineDecay(1e-3, steps), weight_decay=0.1
    )
  )
  progress.say(f"Learning an embedding from {len(targets)} images")
  model.fit(
    tf.data.Dataset.from_tensor_slices(rows)
    .shuffle(len(targets), seed=seed)
    .repeat()
    .batch(_BATCH_SIZE),
    steps_per_epoch=steps,
    verbose=0,
  )
  read = np.concatenate(
    [
      model.by_member(part).numpy()
      for part in np.array_split(rows["mean"], -(-len(targets) // 4096))
    ]
  )
  left = read[np.arange(len(targets)), rows["fold"]] - targets
  explained = 1.0 - np.square(left).sum() / np.square(targets).sum()
  return model, {
    "rows": len(targets),
    "axes": targets.shape[1],
    "explained": float(explained),
  }


def _embedded(generator, embed, latents, progress):
  """Returns embeddings of the images of latents, a few images at a time."""
  found, bar = [], progress.bar(len(latents), " images")
  for batch in decoding.decoder(generator).iter_batches(latents):
    found.append(np.asarray(embed(batch[decoding.IMAGES])))
    bar.update(len(found[-1]))
  bar.close()
  return np.concatenate(found)


def _principal(vectors):
  """Returns principal components of vectors, the first of deviation 1."""
  around = vectors - vectors.mean(axis=0)
  _, sizes, axes = np.linalg.svd(around, full_matrices=False)
  if not sizes[0]:
    raise ValueError("All vectors of the embedding are the same.")
  axes = axes[: min(_AXES, int((sizes > 1e-6 * sizes[0]).sum()))]
  return np.float32(around @ axes.T * len(vectors) ** 0.5 / sizes[0])
