"""Rules about faces, made for toon_faces: background, mouth, symmetry, dark.

Every rule takes images, float32 [n, height, width, channels] in [0, 1], and
returns float32 [n]. Regions are shares of height and width, so that other sizes
of the same faces work, too. Usual values are those between the 5% and the 95%
quantile of studio faces.
"""

import numpy as np

# The hues of the four plain backgrounds of studio faces, in degrees.
_HUES = {"beige": 34.0, "green": 147.0, "blue": 222.0, "lilac": 300.0}
# A pixel whose channels lie nearer together than this is grey: its hue would
# be noise. The palest of the four backgrounds has 0.063.
_GREY = 0.02
# Share of the width at either side where the background shows, however wide
# the hair.
_EDGE = 1 / 16
# Where a frontal face has its mouth, as (top, bottom) and (left, right).
_MOUTH = (0.72, 0.91), (0.34, 0.66)
_DARK = 0.25
# The shares of red, green and blue in brightness (ITU-R BT.601).
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def beige_background(images: np.ndarray) -> np.ndarray:
  """Returns how beige the background is: a share in [0, 1], float32 [n].

  It is the share of the pixels at the left and right edge whose hue is nearer
  to beige than to green, blue and lilac; grey pixels count for none of the
  four. Values are near 1 for this background and near 0 for others: use them as
  probabilities, or with a threshold of 0.5.

  Args:
    images: float32 [n, height, width, 3] in [0, 1].
  """
  return _background(images, "beige")


def green_background(images: np.ndarray) -> np.ndarray:
  """Returns how green the background is, in [0, 1]; as `beige_background`."""
  return _background(images, "green")


def blue_background(images: np.ndarray) -> np.ndarray:
  """Returns how blue the background is, in [0, 1]; as `beige_background`."""
  return _background(images, "blue")


def lilac_background(images: np.ndarray) -> np.ndarray:
  """Returns how lilac the background is, in [0, 1]; as `beige_background`."""
  return _background(images, "lilac")


def mouth_brightness(images: np.ndarray) -> np.ndarray:
  """Returns the mean brightness of the mouth region, in [0, 1], float32 [n].

  0 is black, 1 is white, colours are weighted as the eye sees them; usual is
  0.30 to 0.68. Skin and beard matter most, then lips, teeth and how far a mouth
  is open. Use a threshold or a range.

  Args:
    images: float32 [n, height, width, 1 or 3] in [0, 1], frontal faces.
  """
  height, width = images.shape[1:3]
  (top, bottom), (left, right) = _MOUTH
  mouth = images[
    :,
    round(top * height) : round(bottom * height),
    round(left * width) : round(right * width),
  ]
  return _brightness(mouth).mean(axis=(1, 2))


def left_right_symmetry(images: np.ndarray) -> np.ndarray:
  """Returns how much an image is its own mirror image, in [0, 1], float32 [n].

  It is 1 minus the mean absolute difference of the left half and the mirrored
  right half: 1 for a symmetrical image; usual is 0.936 to 0.999. The column in
  the middle of an odd width is left out. A threshold or a range separates even
  haircuts from a parting or a turned nose.

  Args:
    images: float32 [n, height, width, channels] in [0, 1], width at least 2.
  """
  half = images.shape[2] // 2
  left, right = images[:, :, :half], images[:, :, -half:]
  return 1 - np.abs(left - right[:, :, ::-1]).mean(axis=(1, 2, 3))


def dark_share(images: np.ndarray) -> np.ndarray:
  """Returns the share of dark pixels, in [0, 1], float32 [n].

  Dark is a brightness below 0.25, with colours weighted as the eye sees them:
  black hair, beards, dark skin, lines; usual is 0.02 to 0.37. Use a threshold
  or a range.

  Args:
    images: float32 [n, height, width, 1 or 3] in [0, 1].
  """
  dark = _brightness(images) < _DARK
  return dark.mean(axis=(1, 2), dtype=np.float32)


def _background(images, colour):
  """Returns the share of edge pixels whose hue is nearest to a colour's."""
  edge = max(1, round(_EDGE * images.shape[2]))
  pixels = np.concatenate([images[:, :, :edge], images[:, :, -edge:]], axis=2)
  coloured = np.ptp(pixels, axis=-1) > _GREY
  nearest = coloured & (_nearest(_hue(pixels)) == list(_HUES).index(colour))
  return nearest.mean(axis=(1, 2), dtype=np.float32)


def _nearest(hue):
  """Returns which of `_HUES` is nearest, the shorter way around the circle."""
  away = np.abs(hue[..., np.newaxis] - np.array(list(_HUES.values())))
  return np.minimum(away, 360 - away).argmin(axis=-1)


def _hue(pixels):
  """Returns the angle of [..., 3] pixels around the grey axis, [0, 360]."""
  red, green, blue = np.moveaxis(pixels, -1, 0)
  across = np.sqrt(3.0) * (green - blue)
  return np.degrees(np.arctan2(across, 2 * red - green - blue)) % 360


def _brightness(images):
  """Returns the brightness of [..., 1 or 3] images, [...] in [0, 1]."""
  return images[..., 0] if images.shape[-1] == 1 else images @ _LUMA
