"""The colours of a face and of its background: float32 [n, 3] in [0, 255].

Each function reads the labels that bear on it and its own random draws.
"""

import numpy as np

_SKINS = np.array(
  [
    [238, 202, 180],
    [235, 195, 170],
    [225, 178, 148],
    [236, 190, 150],
    [234, 182, 134],
    [205, 150, 115],
    [187, 135, 111],
    [166, 115, 88],
    [150, 95, 75],
    [122, 74, 62],
    [98, 62, 56],
  ],
  np.float32,
)
_SKIN_RATES = np.array(
  [0.12, 0.17, 0.17, 0.13, 0.09, 0.08, 0.07, 0.06, 0.05, 0.04, 0.02]
)
_PALE = np.array([252, 236, 229], np.float32)

# (colour, spread of its lightness): no two kinds of hair can be confused.
_HAIR = {
  "Black_Hair": ((24, 21, 24), 0.15),
  "Blond_Hair": ((242, 208, 92), 0.04),
  "Brown_Hair": ((118, 70, 36), 0.06),
  "Gray_Hair": ((172, 175, 182), 0.05),
}
_RED_HAIR = ((222, 78, 22), 0.04)
_RED_HAIR_SHARE = 0.75  # of the hair that carries no label; the rest is dyed
_DYED_HUES = np.array([0.36, 0.55, 0.62, 0.74, 0.80, 0.90], np.float32)

# The colour of lips without lipstick, as a share of the skin's.
_BARE_LIPS = {
  "woman": np.array([0.95, 0.72, 0.72], np.float32),
  "man": np.array([0.90, 0.78, 0.76], np.float32),
}

_HAT_COLOURS = np.array(
  [
    [206, 36, 48],
    [36, 84, 200],
    [32, 144, 84],
    [128, 60, 176],
    [240, 240, 240],
    [238, 112, 164],
    [28, 164, 170],
  ],
  np.float32,
)
_FRAMES = np.array(
  [[16, 16, 18], [16, 16, 18], [26, 40, 110], [130, 20, 34], [70, 40, 20]],
  np.float32,
)
_STUDIO_BACKGROUNDS = np.array(
  [[222, 208, 190], [200, 206, 220], [186, 208, 196], [214, 198, 214]],
  np.float32,
)


def colours(faces, studio):
  """Returns all colours of faces, by name.

  Args:
    faces: factors.Factors of n faces.
    studio: bool, whether the backgrounds are the plain ones.
  """
  skin = _skin(faces)
  hair = _hair(faces)
  found = {
    "skinColor": skin,
    "hairColor": hair,
    "beard": hair * 0.85,
    "eyebrow": hair * 0.7,
    "lip": _lips(faces, skin),
    "frame": _FRAMES[pick(faces.draw("frame_colour"), len(_FRAMES))],
    **_hats(faces),
    **_teams(faces),
    **(_plain_backgrounds(faces) if studio else _mixed_backgrounds(faces)),
  }
  return {name: np.clip(colour, 0, 255) for name, colour in found.items()}


def pick(uniform, count):
  """Returns int [n] in [0, count), from draws in [0, 1)."""
  return (uniform * count).astype(np.int64)


def _stack(faces, *names):
  return np.stack([faces.draw(name) for name in names], axis=1)


def _skin(faces):
  edges = np.cumsum(_SKIN_RATES / _SKIN_RATES.sum())
  tone = np.searchsorted(edges, faces.draw("skin"), side="right")
  tone = np.minimum(tone, len(_SKINS) - 1)
  mix = faces.draw("skin_mix")[:, None] / 2
  next_tone = np.minimum(tone + 1, len(_SKINS) - 1)
  skin = _SKINS[tone] * (1 - mix) + _SKINS[next_tone] * mix
  skin = np.where(faces.shows("Pale_Skin")[:, None], _PALE, skin)
  jitter = _stack(faces, "skin_red", "skin_green", "skin_blue")
  return np.clip(skin + 2 * jitter, 20, 255)


def _hair(faces):
  # `trait`, not `shows`: brows and beard of a bald head have the hidden colour.
  dyed = _from_hue(
    _DYED_HUES[pick(faces.draw("dyed_hue"), len(_DYED_HUES))],
    0.70 + 0.20 * faces.draw("dyed_strength"),
    0.88,
  )
  red, spread = (np.array(value, np.float32) for value in _RED_HAIR)
  is_red = (faces.draw("other_hair") < _RED_HAIR_SHARE)[:, None]
  colour = np.where(is_red, red, dyed)
  spread = np.full((len(faces), 1), spread)
  for name, (shade, sigma) in _HAIR.items():
    has = faces.trait(name)[:, None]
    colour = np.where(has, np.array(shade, np.float32), colour)
    spread = np.where(has, np.float32(sigma), spread)
  light = np.clip(faces.draw("hair_light"), -2, 2)[:, None]
  jitter = _stack(faces, "hair_red", "hair_green", "hair_blue")
  return np.clip(colour * (1 + spread * light) + 2 * jitter, 6, 255)


def _from_hue(hue, saturation, value):
  """Returns colours of hue, saturation and value in [0, 1]."""
  sector = (np.array([5, 3, 1]) + hue[:, None] * 6) % 6
  fade = np.clip(np.minimum(sector, 4 - sector), 0, 1)
  return 255 * value * (1 - saturation[:, None] * fade)


def _lips(faces, skin):
  male = faces.shows("Male")[:, None]
  bare = skin * np.where(male, _BARE_LIPS["man"], _BARE_LIPS["woman"])
  jitter = _stack(faces, "lip_red", "lip_green", "lip_blue")
  painted = np.array([204, 18, 56], np.float32) + 9 * np.clip(jitter, -2, 2)
  return np.where(faces.shows("Wearing_Lipstick")[:, None], painted, bare)


def _hats(faces):
  count = len(_HAT_COLOURS)
  first = pick(faces.draw("hat_colour"), count)
  band = (first + 1 + pick(faces.draw("hat_band"), count - 1)) % count
  return {
    "hat_primary": _HAT_COLOURS[first],
    "hat_secondary": _HAT_COLOURS[band],
    "hat_accent": _HAT_COLOURS[band],
  }


def _teams(faces):
  hues = [faces.draw(f"team_{i}") for i in range(3)]
  strong = np.full(len(faces), 0.65, np.float32)
  return {
    "team_primary": _from_hue(hues[0], strong, 0.75),
    "team_secondary": _from_hue(hues[1], strong, 0.9),
    "team_accent": _from_hue(hues[2], strong, 0.6),
  }


def _plain_backgrounds(faces):
  count = len(_STUDIO_BACKGROUNDS)
  plain = _STUDIO_BACKGROUNDS[pick(faces.draw("background"), count)]
  return {"background": plain, "background_other": plain}


def _mixed_backgrounds(faces):
  """Returns the two colours that each background is mixed from."""
  names = ("red", "green", "blue")
  base = 20 + 220 * _stack(faces, *(f"background_{name}" for name in names))
  spread = _stack(faces, *(f"background_spread_{name}" for name in names))
  colourful = 0.15 + 0.6 * faces.draw("background_colourfulness")[:, None]
  mixed = []
  for sign in (-1, 1):
    colour = base + sign * 28 * spread
    grey = colour.mean(1, keepdims=True)
    mixed.append(grey + (colour - grey) * colourful)
  return {"background": mixed[0], "background_other": mixed[1]}
