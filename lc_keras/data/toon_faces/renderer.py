"""Draws faces: stacks sprites, then poses and lights them. NumPy only."""

import functools

import numpy as np

from lc_keras.data.toon_faces import looks
from lc_keras.data.toon_faces import sprites

_SIZE, _CANVAS = sprites.SIZE, sprites.CANVAS
_CHUNK = 24  # faces at a time: as many as fit into the processor's cache


def render(faces, scene):
  """Draws faces.

  Args:
    faces: factors.Factors of n faces.
    scene: looks.STUDIO or looks.WILD.

  Returns:
    uint8 [n, 64, 64, 3].
  """
  images = np.empty((len(faces), _SIZE, _SIZE, 3), np.uint8)
  looked = looks.look(faces, scene)
  for start in range(0, len(faces), _CHUNK):
    rows = slice(start, start + _CHUNK)
    chunk = looked[rows]
    canvas = _compose(chunk)
    if chunk.pose is None:
      images[rows] = _crop(canvas)
    else:
      images[rows] = _pose(canvas, chunk.pose)
  return images


@functools.cache
def _fields():
  return looks.background_fields()


def _compose(looked):
  """Stacks sprites on the background.

  Returns:
    uint16 [n, 3, CANVAS * CANVAS] in [0, 255].
  """
  colours = {
    name: np.rint(colour).astype(np.uint16)
    for name, colour in looked.colours.items()
  }
  field = _fields()[looked.background][:, None]
  canvas = colours["background"][:, :, None] * field
  canvas += colours["background_other"][:, :, None] * (256 - field)
  canvas >>= 8
  for name, ids, renamed in looked.layers:
    rows = np.flatnonzero(ids >= 0)
    if not len(rows):
      continue
    everyone = len(rows) == len(ids)
    layer = sprites.load()[name]
    planes = layer.planes[ids if everyone else ids[rows]]
    if name == "shadow":
      strength = np.rint(looked.shadow[rows] * 256).astype(np.uint16)
      planes = 256 - (((256 - planes[:, :1]) * strength[:, None, None]) >> 8)
    start = layer.first_row * _CANVAS
    band = slice(start, start + planes.shape[2])
    below = canvas[:, :, band] if everyone else canvas[rows, :, band]
    below *= planes[:, :1]
    for i, channel in enumerate(layer.channels[1:], 1):
      if channel < 4:
        below[:, channel - 1] += planes[:, i] * np.uint16(255)
      else:
        colour = sprites.COLOURS[channel - 4]
        colour = colours[renamed.get(colour, colour)]
        colour = colour if everyone else colour[rows]
        below += planes[:, i][:, None] * colour[:, :, None]
    below >>= 8
    if not everyone:
      canvas[rows, :, band] = below
  return canvas


def _crop(canvas):
  """Cuts out the middle of the canvas: a frontal face in flat light."""
  edge = (_CANVAS - _SIZE) // 2
  canvas = canvas.reshape(-1, 3, _CANVAS, _CANVAS)
  middle = canvas[:, :, edge : edge + _SIZE, edge : edge + _SIZE]
  return middle.astype(np.uint8).transpose(0, 2, 3, 1)


_OFFSETS = np.arange(_SIZE, dtype=np.float32) - (_SIZE - 1) / 2
_Y, _X = (
  axis.reshape(1, -1) for axis in np.meshgrid(_OFFSETS, _OFFSETS, indexing="ij")
)
# How far each pixel moves when the head turns: most in the middle of the face.
_BULGE = np.exp(-((_X / 17) ** 2 + ((_Y - 3) / 21) ** 2))


def _pose(canvas, pose):
  """Turns, scales, shifts and lights faces; returns uint8 [n, 64, 64, 3].

  Samples bilinearly in 8-bit fixed point; red and blue share a 32-bit word.
  """
  at = {name: value[:, None] for name, value in pose.items()}
  cosine = np.cos(at["turn"]) / at["scale"]
  sine = np.sin(at["turn"]) / at["scale"]
  middle = (_CANVAS - 1) / 2
  x = cosine * _X + sine * _Y + middle - at["shift_x"] - at["yaw"] * _BULGE
  y = cosine * _Y - sine * _X + middle - at["shift_y"] - at["pitch"] * _BULGE
  limit = np.float32(_CANVAS - 1.01)
  x = (np.clip(x, 0, limit) * 256).astype(np.uint32)
  y = (np.clip(y, 0, limit) * 256).astype(np.uint32)
  right, low = x & 255, y & 255
  corner = ((y >> 8) * np.uint32(_CANVAS) + (x >> 8)).astype(np.intp)
  corner += np.arange(len(canvas), dtype=np.intp)[:, None] * _CANVAS**2

  planes = canvas.astype(np.uint32)
  packed = planes[:, 0] | planes[:, 1] << 8 | planes[:, 2] << 16
  packed = packed.reshape(-1)
  corners = [
    packed[shift:].take(corner, mode="clip")
    for shift in (0, 1, _CANVAS, _CANVAS + 1)
  ]

  def mix(values, mask):
    top = (values[0] * (256 - right) + values[1] * right) >> 8 & mask
    bottom = (values[2] * (256 - right) + values[3] * right) >> 8 & mask
    return (top * (256 - low) + bottom * low) >> 8 & mask

  red_blue = mix([c & 0xFF00FF for c in corners], 0xFF00FF)
  green = mix([c >> 8 & 255 for c in corners], 255)
  light = at["gain"] + at["light_x"] * (_X / 32) + at["light_y"] * (_Y / 32)
  light = (np.clip(light, 0.5, 1.5) * 256).astype(np.uint32)
  images = np.empty((len(canvas), _SIZE**2, 3), np.uint8)
  for channel, plane in enumerate((red_blue & 255, green, red_blue >> 16)):
    images[:, :, channel] = np.minimum(plane * light >> 8, 255)
  return images.reshape(-1, _SIZE, _SIZE, 3)
