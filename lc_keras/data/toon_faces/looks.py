"""How faces look: the sprites of their parts, their colours and their pose.

One function a part of the face. Each reads the labels that bear on it and its
own random draws, and nothing else.
"""

import dataclasses
import functools
import itertools

import numpy as np

from lc_keras.data.toon_faces import colours
from lc_keras.data.toon_faces import parts
from lc_keras.data.toon_faces import sprites

# Frontal faces in flat light on one of four plain colours; or posed and lit
# faces on any background.
STUDIO, WILD = "studio", "wild"
SCENES = (STUDIO, WILD)
NUM_FIELDS = 64  # smooth patterns that two background colours are mixed by


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
  """Returns the Looks of faces in a scene.

  Args:
    faces: factors.Factors of n faces.
    scene: one of `SCENES`.
  """
  width = np.where(
    faces.shows("Chubby"),
    parts.CHUBBY,
    colours.pick(faces.draw("build"), parts.CHUBBY),
  )
  build = (width, len(parts.BUILDS))
  team = {c: f"team_{c}" for c in ("primary", "secondary", "accent")}
  hat = {c: f"hat_{c}" for c in ("primary", "secondary", "accent")}
  beard, brow = {"hairColor": "beard"}, {"hairColor": "eyebrow"}
  top, back, under_hat = _hair(faces, build)

  def on(label, ids):
    return np.where(faces.shows(label), ids, -1)

  def choose(layer, names):
    return _choose(faces, layer, names, layer, build)

  layers = [
    ("hair_back", back, {}),
    ("body", _body(faces), {}),
    ("jersey", _jersey(faces), team),
    ("ear", _ears(faces, build), {}),
    ("head", _head(faces, build), {}),
    ("shadow", _shadow(faces, build), {}),
    ("cheeks", _cheeks(faces, build), {}),
    ("double_chin", on("Chubby", 0), {}),
    ("bags", on("Bags_Under_Eyes", 0), {}),
    *((name, ids, {}) for name, ids in _wrinkles(faces, build)),
    *((name, ids, beard) for name, ids in _beard(faces, build)),
    ("eye", _eyes(faces), {}),
    ("eyebrow", _eyebrows(faces), brow),
    ("mouth", _mouth(faces), {}),
    ("mustache", _mustache(faces), beard),
    ("nose", _nose(faces), {}),
    ("hair", top, {}),
    ("fringe", on("Bangs", choose("fringe", parts.FRINGES)), {}),
    (
      "glasses",
      on("Eyeglasses", choose("glasses", parts.GLASSES)),
      {"primary": "frame"},
    ),
    ("under_hat", under_hat, {}),
    ("hat", on("Wearing_Hat", choose("hat", parts.HATS)), hat),
  ]
  return Looks(
    layers,
    colours.colours(faces, studio=scene == STUDIO),
    0.26 + 0.14 * faces.draw("shadow"),
    colours.pick(faces.draw("background_field"), NUM_FIELDS),
    _pose(faces) if scene == WILD else None,
  )


def background_fields():
  """Returns patterns from ramps to clouds.

  Returns:
    uint16 [NUM_FIELDS, CANVAS * CANVAS], 0 to 256.
  """
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


@functools.cache
def _table(layer, names, *variants):
  """Returns sprites [names, *variants]; a variant is a count or its values."""
  drawn = sprites.load()[layer]
  variants = [range(v) if isinstance(v, int) else v for v in variants]
  indices = [drawn.index(*key) for key in itertools.product(names, *variants)]
  return np.array(indices).reshape([len(names), *map(len, variants)])


def _choose(faces, layer, names, draw, *variants):
  """Returns sprites [n], one of some names for each face.

  Args:
    faces: factors.Factors of n faces.
    layer: name of the sprites' layer.
    names: names to choose from.
    draw: name of the random draw that chooses.
    *variants: (index, int [n] or int; number of variants, or a tuple of them)
      for each further part of a sprite's key.
  """
  table = _table(layer, tuple(names), *(count for _, count in variants))
  chosen = colours.pick(faces.draw(draw), len(names))
  return table[chosen, *(index for index, _ in variants)]


def _drawn(faces, draw, count):
  """Returns a variant that a random draw chooses, see `_choose`."""
  return colours.pick(faces.draw(draw), count), count


def _by_sex(faces, of_sex):
  return np.where(faces.shows("Male"), of_sex("man"), of_sex("woman"))


def _head(faces, build):
  return _by_sex(
    faces, lambda sex: _choose(faces, "head", parts.HEADS[sex], "head", build)
  )


def _shadow(faces, build):
  shadow = _by_sex(
    faces, lambda sex: _choose(faces, "shadow", parts.HEADS[sex], "head", build)
  )
  return np.where(faces.shows("5_o_Clock_Shadow"), shadow, -1)


def _ears(faces, build):
  size = _drawn(faces, "ear_size", len(parts.EAR_SIZES))
  return _choose(faces, "ear", parts.EARS, "ear", size, build)


def _body(faces):
  return _by_sex(
    faces, lambda sex: _choose(faces, "body", parts.BODIES[sex], "body")
  )


def _jersey(faces):
  return _by_sex(
    faces,
    lambda sex: _choose(faces, "jersey", parts.JERSEYS, "jersey", (0, (sex,))),
  )


def _hair(faces, build):
  """Returns sprites of the hair, [3, n]: on top, behind, and under a hat."""
  flip = _drawn(faces, "hair_flip", 2)
  texture = np.select(
    [faces.shows("Straight_Hair"), faces.shows("Wavy_Hair")], [1, 2], 0
  )
  bald, hat = faces.shows("Bald"), faces.shows("Wearing_Hat")
  recedes = faces.shows("Receding_Hairline")

  def of_sex(sex):
    top = back = np.full(len(faces), -1)
    for i, kind in enumerate(("plain", "straight", "wavy")):
      tops, backs = zip(*parts.HAIR[sex, kind])
      chosen = _choose(faces, "hair", tops, "hair", flip, build)
      behind = _choose(faces, "hair_back", backs, "hair", build)
      top = np.where(texture == i, chosen, top)
      back = np.where(texture == i, behind, back)
    chosen = _choose(faces, "hair", parts.RECEDING, "receding", flip, build)
    top = np.where(recedes, chosen, top)
    for shown, name in (
      (recedes, parts.RECEDING_BACK[sex]),
      (hat, parts.UNDER_HAT_BACK[sex]),
    ):
      behind = _choose(faces, "hair_back", (name,), "hair", build)
      back = np.where(shown, behind, back)
    under = _choose(faces, "under_hat", (parts.UNDER_HAT[sex],), "hair", build)
    return np.stack(
      [
        np.where(bald | hat, -1, top),
        np.where(bald, -1, back),
        np.where(hat, under, -1),
      ]
    )

  return _by_sex(faces, of_sex)


def _cheeks(faces, build):
  blush, freckles = (
    _choose(faces, "cheeks", (name,), "freckles", build)
    for name in (parts.BLUSH, parts.FRECKLES)
  )
  freckles = np.where(faces.draw("freckles") < 0.06, freckles, -1)
  return np.where(faces.shows("Rosy_Cheeks"), blush, freckles)


def _wrinkles(faces, build):
  """Yields the three kinds of lines of faces that are not young."""
  old = ~faces.shows("Young")
  for layer, names, *variants in (
    ("forehead", parts.FOREHEAD_LINES),
    ("smile_lines", parts.SMILE_LINES),
    ("crows_feet", parts.CROWS_FEET, build),
  ):
    lines = _choose(faces, layer, names, layer, *variants)
    yield layer, np.where(old, lines, -1)


def _beard(faces, build):
  """Yields the layers of a beard, except the mustache."""
  mustache, goatee, sideburns = (
    faces.shows(name) for name in ("Mustache", "Goatee", "Sideburns")
  )
  full = mustache & goatee & sideburns
  jaw = ~(faces.shows("No_Beard") | mustache | goatee | sideburns)
  whole = np.full(len(faces), -1)
  for shown, names in ((full, parts.FULL_BEARDS), (jaw, parts.JAW_BEARDS)):
    chosen = _choose(faces, "beard", names, "beard", build)
    whole = np.where(shown, chosen, whole)
  yield "beard", whole
  for layer, shown, names, *variants in (
    ("sideburns", sideburns, parts.SIDEBURNS, build),
    ("goatee", goatee, parts.GOATEES),
  ):
    chosen = _choose(faces, layer, names, layer, *variants)
    yield layer, np.where(shown & ~full, chosen, -1)


def _mustache(faces):
  full = faces.shows("Goatee") & faces.shows("Sideburns")
  chosen = _choose(faces, "mustache", parts.MUSTACHES, "mustache")
  return np.where(faces.shows("Mustache") & ~full, chosen, -1)


def _eyes(faces):
  angle = _drawn(faces, "eye_angle", len(parts.EYE_ANGLES))

  def of_sex(sex):
    wide, narrow = (
      _choose(faces, "eye", parts.EYES[sex, narrow], "eye", angle)
      for narrow in (False, True)
    )
    return np.where(faces.shows("Narrow_Eyes"), narrow, wide)

  return _by_sex(faces, of_sex)


def _eyebrows(faces):
  angle = _drawn(faces, "eyebrow_angle", len(parts.EYEBROW_ANGLES))

  def of(names):
    return _choose(faces, "eyebrow", names, "eyebrow", angle)

  usual = _by_sex(faces, lambda sex: of(parts.EYEBROWS[sex]))
  bushy = of(parts.BUSHY_EYEBROWS)
  return np.where(faces.shows("Bushy_Eyebrows"), bushy, usual)


def _mouth(faces):
  smiles, opens = faces.shows("Smiling"), faces.shows("Mouth_Slightly_Open")
  mouth = np.full(len(faces), -1)
  for (smiling, opened), names in parts.MOUTHS.items():
    chosen = _choose(faces, "mouth", names, "mouth")
    mouth = np.where((smiles == smiling) & (opens == opened), chosen, mouth)
  return mouth


def _nose(faces):
  flip = _drawn(faces, "nose_flip", 2)
  size = _drawn(faces, "nose_size", len(parts.NOSE_SIZES))
  usual = _choose(faces, "nose", parts.NOSES, "nose", flip, size)
  big = _choose(faces, "nose", parts.BIG_NOSES, "nose", flip, (0, 1))
  return np.where(faces.shows("Big_Nose"), big, usual)


def _pose(faces):
  """Returns pose and light: radians, pixels, and gains."""
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
