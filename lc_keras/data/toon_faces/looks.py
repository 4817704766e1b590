"""From what a face is to how it looks: which drawings, colours and pose.

One function per part of the face. Each reads the labels that bear on it and its
own random draws, and nothing else.
"""

import dataclasses
import functools
import itertools

import numpy as np

from lc_keras.data.toon_faces import parts
from lc_keras.data.toon_faces import sprites

# What a face may stand in front of: one of four plain light colours, or
# anything, with light and pose.
STUDIO, WILD = "studio", "wild"
SCENES = (STUDIO, WILD)
NUM_FIELDS = 64  # smooth patterns that two background colours are mixed by

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

# Far enough apart, and jittered little enough, that none is taken for another.
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


@dataclasses.dataclass(frozen=True)
class Looks:
  """How n faces look.

  Attributes:
    layers: list of (layer name, int [n] sprite or -1, {colour: name in
      `colours`} where it differs), bottom first.
    colours: {name: float32 [n, 3] in [0, 255]}.
    shadow: float32 [n] in [0, 1], how dark a shaved chin is.
    background: int [n], the pattern that mixes the two background colours.
    pose: {name: float32 [n]} or None for a frontal face in flat light.
  """

  layers: list
  colours: dict
  shadow: np.ndarray
  background: np.ndarray
  pose: dict | None

  def __getitem__(self, rows):
    return Looks(
      [(name, ids[rows], swap) for name, ids, swap in self.layers],
      {name: colour[rows] for name, colour in self.colours.items()},
      self.shadow[rows],
      self.background[rows],
      self.pose and {name: value[rows] for name, value in self.pose.items()},
    )


def look(faces, scene):
  """How faces look in a scene.

  Args:
    faces: factors.Factors of n faces.
    scene: one of `SCENES`.

  Returns:
    Looks of n faces.
  """
  if scene not in SCENES:
    raise ValueError(f"Unknown scene {scene!r}: choose one of {SCENES}.")
  build = np.where(
    faces.shows("Chubby"),
    parts.CHUBBY,
    _pick(faces.draw("build"), parts.CHUBBY),
  )
  skin = _skin(faces)
  hair = _hair_colour(faces)
  colours = {
    "skinColor": skin,
    "hairColor": hair,
    "beard": hair * 0.85,
    "eyebrow": hair * 0.7,
    "lip": _lips(faces, skin),
    "frame": _FRAMES[_pick(faces.draw("frame_colour"), len(_FRAMES))],
    **_hat_colours(faces),
    **_team_colours(faces),
    **_backgrounds(faces, scene),
  }
  team = {c: f"team_{c}" for c in ("primary", "secondary", "accent")}
  hat = {c: f"hat_{c}" for c in ("primary", "secondary", "accent")}
  beard, brow = {"hairColor": "beard"}, {"hairColor": "eyebrow"}
  top, back, under_hat = _hair(faces, build)
  head, shadow_ids = _head(faces, build)
  body, jersey = _body(faces)
  layers = [
    ("hair_back", back, {}),
    ("body", body, {}),
    ("jersey", jersey, team),
    ("ear", _ears(faces, build), {}),
    ("head", head, {}),
    ("shadow", shadow_ids, {}),
    ("cheeks", _cheeks(faces, build), {}),
    ("double_chin", np.where(faces.shows("Chubby"), 0, -1), {}),
    ("bags", np.where(faces.shows("Bags_Under_Eyes"), 0, -1), {}),
    *_wrinkles(faces, build),
    *((name, ids, beard) for name, ids in _beard(faces, build)),
    ("eye", _eyes(faces), {}),
    ("eyebrow", _eyebrows(faces), brow),
    ("mouth", _mouth(faces), {}),
    ("mustache", _mustache(faces), beard),
    ("nose", _nose(faces), {}),
    ("hair", top, {}),
    ("fringe", _fringe(faces, build), {}),
    ("glasses", _glasses(faces, build), {"primary": "frame"}),
    ("under_hat", under_hat, {}),
    ("hat", _hat(faces, build), hat),
  ]
  return Looks(
    layers,
    {name: np.clip(c, 0, 255) for name, c in colours.items()},
    0.26 + 0.14 * faces.draw("shadow"),
    _pick(faces.draw("background_field"), NUM_FIELDS),
    _pose(faces) if scene == WILD else None,
  )


def background_fields():
  """uint16 [NUM_FIELDS, CANVAS * CANVAS], 0 to 256: from a ramp to clouds."""
  generator = np.random.default_rng(0)
  size = sprites.CANVAS
  knots = generator.random((NUM_FIELDS, 5, 5)).astype(np.float32)
  at = np.linspace(0, 3.999, size, dtype=np.float32)
  cell = at.astype(int)
  mix = at - cell
  mix = mix * mix * (3 - 2 * mix)
  clouds = (
    knots[:, cell] * (1 - mix)[None, :, None]
    + knots[:, cell + 1] * mix[None, :, None]
  )
  clouds = clouds[:, :, cell] * (1 - mix) + clouds[:, :, cell + 1] * mix
  ramp = np.linspace(-0.5, 0.5, size, dtype=np.float32)
  angle = generator.random((NUM_FIELDS, 1, 1)) * 2 * np.pi
  slope = np.cos(angle) * ramp[None, None] + np.sin(angle) * ramp[None, :, None]
  cloudiness = np.repeat([0.0, 0.35, 0.7, 1.0], NUM_FIELDS // 4)[:, None, None]
  field = clouds * cloudiness + (slope + 0.5) * (1 - cloudiness)
  fixed = np.rint(np.clip(field, 0, 1) * 256).astype(np.uint16)
  return fixed.reshape(NUM_FIELDS, -1)


def _pick(uniform, count):
  """[n] int in [0, count): which of `count`, from draws in [0, 1)."""
  return (uniform * count).astype(np.int64)


@functools.cache
def _table(layer, names, *variants):
  """Sprite indices [names, *variants], variants being a count or values."""
  drawn = sprites.load()[layer]
  variants = [
    range(values) if isinstance(values, int) else values for values in variants
  ]
  indices = [drawn.index(*key) for key in itertools.product(names, *variants)]
  return np.array(indices).reshape([len(names), *map(len, variants)])


def _sex(faces, of_woman, of_man):
  return np.where(faces.shows("Male"), of_man, of_woman)


def _head(faces, build):
  draw = faces.draw("head")
  heads, shadows = [], []
  for sex in ("woman", "man"):
    names = parts.HEADS[sex]
    chosen = _pick(draw, len(names))
    heads.append(_table("head", names, len(parts.BUILDS))[chosen, build])
    shadows.append(_table("shadow", names, len(parts.BUILDS))[chosen, build])
  shadow = _sex(faces, *shadows)
  return (
    _sex(faces, *heads),
    np.where(faces.shows("5_o_Clock_Shadow"), shadow, -1),
  )


def _ears(faces, build):
  table = _table("ear", parts.EARS, len(parts.EAR_SIZES), len(parts.BUILDS))
  return table[
    _pick(faces.draw("ear"), len(parts.EARS)),
    _pick(faces.draw("ear_size"), len(parts.EAR_SIZES)),
    build,
  ]


def _body(faces):
  bodies, jerseys = [], []
  for sex in ("woman", "man"):
    names = parts.BODIES[sex]
    bodies.append(_table("body", names)[_pick(faces.draw("body"), len(names))])
    jerseys.append(
      _table("jersey", parts.JERSEYS, (sex,))[
        _pick(faces.draw("jersey"), len(parts.JERSEYS)), 0
      ]
    )
  return _sex(faces, *bodies), _sex(faces, *jerseys)


def _hair(faces, build):
  """Sprites [n] of the hair: on top, behind the head, and under a hat."""
  draw = faces.draw("hair")
  flip = _pick(faces.draw("hair_flip"), 2)
  receding = _pick(faces.draw("receding"), len(parts.RECEDING))
  texture = np.select(
    [faces.shows("Straight_Hair"), faces.shows("Wavy_Hair")], [1, 2], 0
  )
  bald, hat = faces.shows("Bald"), faces.shows("Wearing_Hat")
  recedes = faces.shows("Receding_Hairline")
  builds = len(parts.BUILDS)
  tops, backs, unders = [], [], []
  for sex in ("woman", "man"):
    top = np.full(len(faces), -1)
    back = np.full(len(faces), -1)
    for i, kind in enumerate(("plain", "straight", "wavy")):
      styles = parts.HAIR[sex, kind]
      chosen = _pick(draw, len(styles))
      table = _table("hair", tuple(style[0] for style in styles), 2, builds)
      behind = _table("hair_back", tuple(style[1] for style in styles), builds)
      top = np.where(texture == i, table[chosen, flip, build], top)
      back = np.where(texture == i, behind[chosen, build], back)
    table = _table("hair", parts.RECEDING, 2, builds)
    top = np.where(recedes, table[receding, flip, build], top)
    behind = _table("hair_back", (parts.RECEDING_BACK[sex],), builds)[0, build]
    back = np.where(recedes, behind, back)
    behind = _table("hair_back", (parts.UNDER_HAT_BACK[sex],), builds)[0, build]
    back = np.where(hat, behind, back)
    under = _table("under_hat", (parts.UNDER_HAT[sex],), builds)[0, build]
    tops.append(np.where(bald | hat, -1, top))
    backs.append(np.where(bald, -1, back))
    unders.append(np.where(hat, under, -1))
  return _sex(faces, *tops), _sex(faces, *backs), _sex(faces, *unders)


def _fringe(faces, build):
  table = _table("fringe", parts.FRINGES, len(parts.BUILDS))
  fringe = table[_pick(faces.draw("fringe"), len(parts.FRINGES)), build]
  return np.where(faces.shows("Bangs"), fringe, -1)


def _hat(faces, build):
  table = _table("hat", parts.HATS, len(parts.BUILDS))
  hat = table[_pick(faces.draw("hat"), len(parts.HATS)), build]
  return np.where(faces.shows("Wearing_Hat"), hat, -1)


def _glasses(faces, build):
  table = _table("glasses", parts.GLASSES, len(parts.BUILDS))
  glasses = table[_pick(faces.draw("glasses"), len(parts.GLASSES)), build]
  return np.where(faces.shows("Eyeglasses"), glasses, -1)


def _cheeks(faces, build):
  table = _table("cheeks", (parts.BLUSH, parts.FRECKLES), len(parts.BUILDS))
  freckles = np.where(faces.draw("freckles") < 0.06, table[1, build], -1)
  return np.where(faces.shows("Rosy_Cheeks"), table[0, build], freckles)


def _wrinkles(faces, build):
  """The three kinds of lines of those who are not young."""
  old = ~faces.shows("Young")
  forehead = _pick(faces.draw("forehead"), len(parts.FOREHEAD_LINES))
  smile = _pick(faces.draw("smile_lines"), len(parts.SMILE_LINES))
  crow = _table("crows_feet", parts.CROWS_FEET, len(parts.BUILDS))
  crow = crow[_pick(faces.draw("crows_feet"), len(parts.CROWS_FEET)), build]
  return (
    (
      "forehead",
      np.where(old, _table("forehead", parts.FOREHEAD_LINES)[forehead], -1),
      {},
    ),
    (
      "smile_lines",
      np.where(old, _table("smile_lines", parts.SMILE_LINES)[smile], -1),
      {},
    ),
    ("crows_feet", np.where(old, crow, -1), {}),
  )


def _beard(faces, build):
  bearded = ~faces.shows("No_Beard")
  mustache, goatee, sideburns = (
    faces.shows(name) for name in ("Mustache", "Goatee", "Sideburns")
  )
  full = mustache & goatee & sideburns
  jaw = bearded & ~(mustache | goatee | sideburns)
  draw = faces.draw("beard")
  builds = len(parts.BUILDS)
  whole = np.full(len(faces), -1)
  for shown, names in ((full, parts.FULL_BEARDS), (jaw, parts.JAW_BEARDS)):
    chosen = _table("beard", names, builds)[_pick(draw, len(names)), build]
    whole = np.where(shown, chosen, whole)
  burns = _table("sideburns", parts.SIDEBURNS, builds)
  burns = burns[_pick(faces.draw("sideburns"), len(parts.SIDEBURNS)), build]
  chin = _table("goatee", parts.GOATEES)
  chin = chin[_pick(faces.draw("goatee"), len(parts.GOATEES))]
  return (
    ("beard", whole),
    ("sideburns", np.where(sideburns & ~full, burns, -1)),
    ("goatee", np.where(goatee & ~full, chin, -1)),
  )


def _mustache(faces):
  full = faces.shows("Goatee") & faces.shows("Sideburns")
  table = _table("mustache", parts.MUSTACHES)
  chosen = table[_pick(faces.draw("mustache"), len(parts.MUSTACHES))]
  return np.where(faces.shows("Mustache") & ~full, chosen, -1)


def _eyes(faces):
  angle = _pick(faces.draw("eye_angle"), len(parts.EYE_ANGLES))
  by_sex = []
  for sex in ("woman", "man"):
    wide, narrow = (
      _table("eye", names, len(parts.EYE_ANGLES))[
        _pick(faces.draw("eye"), len(names)), angle
      ]
      for names in (parts.EYES[sex, False], parts.EYES[sex, True])
    )
    by_sex.append(np.where(faces.shows("Narrow_Eyes"), narrow, wide))
  return _sex(faces, *by_sex)


def _eyebrows(faces):
  angle = _pick(faces.draw("eyebrow_angle"), len(parts.EYEBROW_ANGLES))
  woman, man, bushy = (
    _table("eyebrow", names, len(parts.EYEBROW_ANGLES))[
      _pick(faces.draw("eyebrow"), len(names)), angle
    ]
    for names in (
      parts.EYEBROWS["woman"],
      parts.EYEBROWS["man"],
      parts.BUSHY_EYEBROWS,
    )
  )
  return np.where(faces.shows("Bushy_Eyebrows"), bushy, _sex(faces, woman, man))


def _mouth(faces):
  smiles, opens = faces.shows("Smiling"), faces.shows("Mouth_Slightly_Open")
  mouth = np.full(len(faces), -1)
  for (smiling, opened), names in parts.MOUTHS.items():
    chosen = _table("mouth", names)[_pick(faces.draw("mouth"), len(names))]
    mouth = np.where((smiles == smiling) & (opens == opened), chosen, mouth)
  return mouth


def _nose(faces):
  flip = _pick(faces.draw("nose_flip"), 2)
  size = _pick(faces.draw("nose_size"), len(parts.NOSE_SIZES))
  draw = faces.draw("nose")
  usual = _table("nose", parts.NOSES, 2, len(parts.NOSE_SIZES))
  usual = usual[_pick(draw, len(parts.NOSES)), flip, size]
  big = _table("nose", parts.BIG_NOSES, 2, 1)
  big = big[_pick(draw, len(parts.BIG_NOSES)), flip, 0]
  return np.where(faces.shows("Big_Nose"), big, usual)


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


def _hair_colour(faces):
  """[n, 3]. A bald head has brows and perhaps a beard in the hidden colour."""
  dyed = _from_hue(
    _DYED_HUES[_pick(faces.draw("dyed_hue"), len(_DYED_HUES))],
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
  """[n, 3] in [0, 255] from hue, saturation and value in [0, 1]."""
  sector = (np.array([5, 3, 1]) + hue[:, None] * 6) % 6
  fade = np.clip(np.minimum(sector, 4 - sector), 0, 1)
  return 255 * value * (1 - saturation[:, None] * fade)


def _lips(faces, skin):
  male = faces.shows("Male")[:, None]
  bare = skin * np.where(male, _BARE_LIPS["man"], _BARE_LIPS["woman"])
  jitter = _stack(faces, "lip_red", "lip_green", "lip_blue")
  painted = np.array([204, 18, 56], np.float32) + 9 * np.clip(jitter, -2, 2)
  return np.where(faces.shows("Wearing_Lipstick")[:, None], painted, bare)


def _hat_colours(faces):
  count = len(_HAT_COLOURS)
  first = _pick(faces.draw("hat_colour"), count)
  band = (first + 1 + _pick(faces.draw("hat_band"), count - 1)) % count
  return {
    "hat_primary": _HAT_COLOURS[first],
    "hat_secondary": _HAT_COLOURS[band],
    "hat_accent": _HAT_COLOURS[band],
  }


def _team_colours(faces):
  hues = [faces.draw(f"team_{i}") for i in range(3)]
  strong = np.full(len(faces), 0.65, np.float32)
  return {
    "team_primary": _from_hue(hues[0], strong, 0.75),
    "team_secondary": _from_hue(hues[1], strong, 0.9),
    "team_accent": _from_hue(hues[2], strong, 0.6),
  }


def _backgrounds(faces, scene):
  """The two colours [n, 3] that the background is mixed from."""
  if scene == STUDIO:
    count = len(_STUDIO_BACKGROUNDS)
    plain = _STUDIO_BACKGROUNDS[_pick(faces.draw("background"), count)]
    return {"background": plain, "background_other": plain}
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


def _pose(faces):
  """Pose and light: turn in radians, shifts in pixels, light as gains."""
  degree = np.float32(np.pi / 180)
  return {
    "turn": np.clip(4.5 * faces.draw("turn"), -12, 12) * degree,
    "scale": np.exp(np.clip(0.045 * faces.draw("scale"), -0.1, 0.1)),
    "shift_x": np.clip(1.1 * faces.draw("shift_x"), -3, 3),
    "shift_y": np.clip(1.1 * faces.draw("shift_y"), -3, 3),
    "yaw": np.clip(1.5 * faces.draw("yaw"), -3.2, 3.2),
    "pitch": 0.55 * np.clip(1.5 * faces.draw("pitch"), -3.2, 3.2),
    "light_x": 0.10 * faces.draw("light_x"),
    "light_y": 0.10 * faces.draw("light_y"),
    "gain": 1 + 0.05 * faces.draw("light_gain"),
  }
