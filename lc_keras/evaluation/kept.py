"""The trade-off of an edit: requested value against preserved embedding."""

from collections.abc import Callable, Sequence

import numpy as np

_WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0)


def curve(
  control,
  images: np.ndarray,
  request,
  *,
  embed: Callable[[np.ndarray], np.ndarray],
  read: Callable[[np.ndarray], np.ndarray],
  near: float,
  weights: Sequence[float] = _WEIGHTS,
  seed: int = 0,
) -> list[dict]:
  """Edits images with several weights of the embedding to preserve.

  >>> import types
  >>> import numpy as np
  >>> from lc_keras.evaluation import kept
  >>> class Shifted:  # Stands for `LatentConstraints`.
  ...   def encode(self, images, seed):
  ...     return images
  ...
  ...   def decode(self, latents):
  ...     return latents
  ...
  ...   def transform(self, images, request, seed, sampler, same):
  ...     return types.SimpleNamespace(images=images + 1.0 / (1.0 + same))
  >>> points = kept.curve(
  ...   Shifted(),
  ...   np.zeros([3, 2]),
  ...   "Large",
  ...   embed=lambda images: images,
  ...   read=lambda images: images[:, 0] > 0.4,
  ...   near=1.0,
  ...   weights=(0.0, 3.0),
  ... )
  >>> [(point["asked"], point["same"]) for point in points]
  [(1.0, 0.0), (0.0, 1.0)]

  Args:
    control: `LatentConstraints` with an embedding learned by `keep`.
    images: See `LatentConstraints.transform`; images or latents.
    request: The request.
    embed: Maps images to vectors [n, d], which decide what counts as the same.
    read: Maps images to bool [n], whether the request is met; best by a judge
      that no critic learned from.
    near: Vectors nearer to each other than this count as the same.
    weights: Values of `same`, see `LatentConstraints.transform`.
    seed: Seed of the edits.

  Returns:
    For each weight, "weight", "asked" (share of images that read as requested),
    "same" (share that counts as the same) and "distance" (mean, of the
    vectors).
  """
  starts = control.encode(images, seed)
  before = np.asarray(embed(control.decode(starts)))
  points = []
  for weight in weights:
    edited = control.transform(
      starts, request, seed=seed, sampler="search", same=weight
    )
    apart = np.asarray(embed(edited.images)) - before
    apart = np.linalg.norm(apart, axis=1)
    points.append(
      {
        "weight": float(weight),
        "asked": float(np.mean(read(edited.images))),
        "same": float(np.mean(apart < near)),
        "distance": float(apart.mean()),
      }
    )
  return points
