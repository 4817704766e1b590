"""What an edit costs: the asked value against what was to stay the same."""

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
  """Edits images with several weights of what is to be kept.

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
    control: `LatentConstraints` that has learned to `keep` something.
    images: See `LatentConstraints.transform`; images or latents.
    request: What is asked for.
    embed: Images to vectors [n, d]: what says that it is still the same.
    read: Images to bool [n]: whether what was asked for is there. The best
      judge is one that no critic learned from.
    near: How near two vectors are that are of the same.
    weights: The weights, see `LatentConstraints.transform`.
    seed: Of the edits.

  Returns:
    For each weight "weight", "asked" (share of images that read as asked),
    "same" (share that is still the same) and "distance" (mean of the vectors).
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
