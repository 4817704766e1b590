"""The sprites: small drawings of parts of a face that are stacked into one.

A sprite is a stack of planes on a canvas a little larger than a face:
transparency (1 - alpha), its own red, green and blue, and one mask for each of
the `COLOURS` it is drawn in. All are in fixed point, 256 for one, so that a
face takes a few integer multiplications.
"""

import functools
import json
import pathlib

import numpy as np

from lc_keras import files

PATH = pathlib.Path(__file__).with_name("sprites.npz")

SIZE = 64  # pixels of a face
CANVAS = 80  # pixels of a sprite: leaves room to turn and shift a face
COLOURS = ("skinColor", "hairColor", "primary", "secondary", "accent", "lip")


class Layer:
  """The sprites of one kind of part.

  Attributes:
    first_row: int, the canvas row where the planes start.
    channels: tuple of ints; 0: transparency, 1 to 3: red, green, blue, from 4:
      the masks in the order of `COLOURS`.
    planes: uint16 [sprites, channels, rows * CANVAS], 256 for one.
  """

  def __init__(self, keys, first_row, channels, planes):
    self._indices = {tuple(key): i for i, key in enumerate(keys)}
    self.first_row = first_row
    self.channels = tuple(channels)
    self.planes = planes

  def index(self, *key):
    """Returns the index of a sprite; -1 for the empty name."""
    return -1 if key[0] == "" else self._indices[key]


@functools.cache
def load(path=PATH):
  """Returns {layer name: Layer}, read from a file."""
  with np.load(path, allow_pickle=False) as stored:
    layers = json.loads(bytes(stored["layers"]))
    return {
      name: Layer(
        layer["keys"],
        layer["first_row"],
        layer["channels"],
        _to_fixed_point(stored[name], layer["channels"]),
      )
      for name, layer in layers.items()
    }


def save(path, layers):
  """Writes sprites; the same sprites give the same bytes.

  Args:
    path: file to write.
    layers: {layer: {key: float32 [channels, CANVAS, CANVAS] in [0, 1]}}.
  """
  described, arrays = {}, {}
  for name, drawn in layers.items():
    planes = np.stack(list(drawn.values()))
    rows = np.flatnonzero((planes[:, 0] < 0.998).any((0, 2)))
    first, last = int(rows[0]), int(rows[-1])
    used = planes.max((0, 2, 3)) > 0.004
    used[0] = True
    planes = planes[:, used, first : last + 1]
    arrays[name] = np.rint(planes * 255).astype(np.uint8)
    described[name] = {
      "keys": list(drawn),
      "first_row": first,
      "channels": np.flatnonzero(used).tolist(),
    }
  text = json.dumps(described).encode()
  with files.replacing(str(path)) as aside, open(aside, "wb") as file:
    np.savez_compressed(file, layers=np.frombuffer(text, np.uint8), **arrays)


def _to_fixed_point(stored, channels):
  planes = stored.astype(np.uint16)
  planes += planes >> 7  # 0..255 to 0..256
  planes = planes.reshape(*planes.shape[:2], -1)
  ink = [i for i, channel in enumerate(channels) if 1 <= channel <= 3]
  masks = [i for i, channel in enumerate(channels) if channel > 3]
  # Transparency, colours and masks of a pixel must add up to at most 256, so
  # that 16-bit sums do not overflow. Masks and transparency absorb rounding.
  gained = planes[:, ink].max(1) if ink else np.zeros_like(planes[:, 0])
  for mask in masks:
    planes[:, mask] = np.minimum(planes[:, mask], 256 - gained)
    gained += planes[:, mask]
  planes[:, 0] = np.minimum(planes[:, 0], 256 - gained)
  return np.ascontiguousarray(planes)
