"""Cuts a face out of a photograph, aligned as in FFHQ, the generator's data."""

import numpy as np
from PIL import Image

from lc_keras.photo_faces import face_api

# Least score of a detected face.
_LEAST_SCORE = 0.3
# The landmarks' network takes a square around the face, slightly larger than
# the detector's box.
_MARGIN = 1.1
# Indices into the 68 landmarks.
_LEFT_EYE, _RIGHT_EYE = slice(36, 42), slice(42, 48)
_MOUTH_CORNERS = [48, 54]


class Aligner:
  """Finds the likeliest face of a photograph, and turns it upright."""

  def __init__(self, data_dir: str = "data"):
    """Loads the networks.

    Args:
      data_dir: See `packages.folder`.
    """
    self._detect = face_api.detector(data_dir)
    self._find_landmarks = face_api.landmarks(data_dir)

  def __call__(self, photograph: Image.Image, size: int = 256) -> np.ndarray:
    """Returns the face, float32 [size, size, 3] in [0, 1].

    The photograph is mirrored beyond its edges.

    Args:
      photograph: A photograph of a face.
      size: Height and width of the result, in pixels.

    Raises:
      ValueError: No face was found.
    """
    photograph = photograph.convert("RGB")
    corners = _corners(self.landmarks(photograph))
    # A margin, in which the photograph is mirrored.
    margin = max(photograph.size) // 2
    pixels = np.pad(
      np.asarray(photograph),
      [(margin, margin), (margin, margin), (0, 0)],
      mode="symmetric",
    )
    side = np.linalg.norm(corners[0] - corners[1])
    large = max(size, min(4 * size, int(side)))
    face = Image.fromarray(pixels).transform(
      (large, large),
      Image.Transform.QUAD,
      tuple((corners + margin + 0.5).ravel()),
      Image.Resampling.BILINEAR,
    )
    face = face.resize((size, size), Image.Resampling.LANCZOS)
    return np.float32(face) / 255.0

  def landmarks(self, photograph: Image.Image) -> np.ndarray:
    """Returns the 68 landmarks of the face, [68, 2] as (x, y) in pixels.

    Raises:
      ValueError: No face was found.
    """
    score, left, top, width, height = self._box(photograph)
    if score < _LEAST_SCORE:
      raise ValueError(
        "No face was found in the photograph: give one in which a face is seen "
        f"from the front (the likeliest place has a score of {score:.2f}, and "
        f"{_LEAST_SCORE} is needed)."
      )
    side = _MARGIN * max(width, height)
    left, top = left + (width - side) / 2.0, top + (height - side) / 2.0
    face = photograph.crop(
      tuple(round(edge) for edge in (left, top, left + side, top + side))
    )
    found = self._find_landmarks(np.float32([np.asarray(face)]) / 255.0)[0]
    return np.asarray(found) * side + [left, top]

  def _box(self, photograph):
    """Returns (score, left, top, width, height) of a face, in pixels.

    It is the likelier result of two runs, the second with a wide margin,
    without which a face that fills the photograph is missed.
    """
    longest = max(photograph.size)
    found = []
    for margin in (0, longest):
      side = longest + 2 * margin
      square = Image.new("RGB", (side, side))
      square.paste(photograph, (margin, margin))
      box = self._detect(np.float32([np.asarray(square)]) / 255.0)[0].numpy()
      box = box * [1.0, side, side, side, side]
      found.append(box - [0.0, margin, margin, 0.0, 0.0])
    return max(found, key=lambda box: box[0])


def _corners(landmarks):
  """Returns the corners of the face as FFHQ cuts it, [4, 2].

  Upper left, lower left, lower right, upper right. Karras et al. 2019,
  https://arxiv.org/abs/1812.04948, appendix A: the square is oriented by eyes
  and mouth, and sized by the larger of their distances.
  """
  left = landmarks[_LEFT_EYE].mean(axis=0)
  right = landmarks[_RIGHT_EYE].mean(axis=0)
  eyes, between = (left + right) / 2.0, right - left
  down = landmarks[_MOUTH_CORNERS].mean(axis=0) - eyes
  across = between + [down[1], -down[0]]
  across /= np.linalg.norm(across)
  across *= max(2.0 * np.linalg.norm(between), 1.8 * np.linalg.norm(down))
  below = np.array([-across[1], across[0]])
  center = eyes + 0.1 * down
  return np.stack(
    [
      center - across - below,
      center - across + below,
      center + across + below,
      center + across - below,
    ]
  )
