"""Rules about garments on a black ground, made for fashion_mnist: ink, shape.

Every rule takes images, float32 [n, height, width, channels] in [0, 1], and
returns float32 [n]. Ink is every pixel that is not black.
"""

import numpy as np

# A decoder's residue around a garment is darker than this.
_INK = 0.2


def ink_mass(images: np.ndarray) -> np.ndarray:
  """Returns how much ink there is: the mean brightness in [0, 1], float32 [n].

  It is 0 for an empty image, 1 for a white one, and 0.1 to 0.5 for 90% of
  fashion_mnist. A threshold or a range selects large, bright garments (coats)
  or small, dark ones (sandals).

  Args:
    images: float32 [n, height, width, channels] in [0, 1].
  """
  return images.mean(axis=(1, 2, 3))


def aspect_ratio(images: np.ndarray) -> np.ndarray:
  """Returns height over width of the box around the ink, float32 [n].

  It is a ratio without unit, from 1 / width (a line across) to height (a line
  down); 1 is a square. An image without ink has 0, as no garment has: a range
  that begins above 0 leaves it out. In fashion_mnist trousers have about 2.5,
  dresses 1.9, shirts 1.3, sneakers 0.5. Use a threshold or a range.

  Args:
    images: float32 [n, height, width, channels] in [0, 1]. A pixel counts as
      ink if one of its channels is above 0.2.
  """
  ink = (images > _INK).any(axis=-1)
  high = _extent(ink.any(axis=2))
  wide = _extent(ink.any(axis=1))
  return (high / np.maximum(wide, 1)).astype(np.float32)


def _extent(marked):
  """Returns the extent from first to last True of rows [n, size], int [n]."""
  first = marked.argmax(axis=1)
  after_last = marked.shape[1] - marked[:, ::-1].argmax(axis=1)
  return np.where(marked.any(axis=1), after_last - first, 0)
