"""Pictures for a page: PNG files, data URLs, and the difference of two."""

import base64
import io

import numpy as np
from PIL import Image

# Vermillion of the Okabe-Ito palette, which the colour-blind can distinguish.
_HIGHLIGHT = np.array([213, 94, 0], np.float32)
# Share of white in the unchanged picture behind the changes.
_PALE = 0.75
# Changes from this value up, in [0, 1], are shown in full colour.
_PLAIN = 0.35


def image(pixels: np.ndarray) -> Image.Image:
  """Returns [height, width, channels] in [0, 1] as an image of Pillow."""
  values = np.rint(np.clip(pixels, 0.0, 1.0) * 255.0).astype(np.uint8)
  return Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values)


def png(pixels: np.ndarray) -> bytes:
  """Returns [height, width, channels] in [0, 1] as a PNG file."""
  file = io.BytesIO()
  image(pixels).save(file, "PNG")
  return file.getvalue()


def source(data: bytes) -> str:
  """Returns a PNG file as a data URL for an `img`."""
  return "data:image/png;base64," + base64.b64encode(data).decode()


def difference(before: bytes, after: bytes) -> bytes:
  """Returns the difference of two PNG files, in colour on a grey `before`."""
  one, other = (
    np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.float32)
    for data in (before, after)
  )
  changed = np.abs(one - other).max(-1, keepdims=True) / 255.0
  much = np.clip(changed / _PLAIN, 0.0, 1.0)
  grey = one.mean(-1, keepdims=True)
  behind = 255.0 * _PALE + (1.0 - _PALE) * grey
  return png(((1.0 - much) * behind + much * _HIGHLIGHT) / 255.0)
