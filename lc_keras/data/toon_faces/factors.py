"""Traits, labels and random draws of cartoon faces, before rendering.

A face has 28 binary traits with the names and the frequencies of CelebA's
attributes, and a fixed set of random draws (which nose, which shade, how far
the head is turned, ...). Every trait picks from its own draws, and all draws
are made for every face: another value of one trait leaves the rest alone.

Some traits cannot be seen while another one is on: a bald head has no hair
colour. `Factors.traits` holds all traits, `Factors.labels` the visible ones.

Faces are drawn in blocks of `BLOCK`; face i of a seed depends only on the seed
and on i, not on how many faces are drawn at once.
"""

import dataclasses

import numpy as np

BLOCK = 1024

# How often each attribute is on in CelebA's 202,599 images. The paper's ten
# attributes come first.
MARGINALS = {
  "Bald": 0.0224,
  "Black_Hair": 0.2393,
  "Blond_Hair": 0.1480,
  "Brown_Hair": 0.2052,
  "Eyeglasses": 0.0651,
  "Male": 0.4168,
  "No_Beard": 0.8349,
  "Smiling": 0.4821,
  "Wearing_Hat": 0.0485,
  "Young": 0.7736,
  "Gray_Hair": 0.0420,
  "Mustache": 0.0415,
  "Goatee": 0.0628,
  "Sideburns": 0.0565,
  "5_o_Clock_Shadow": 0.1111,
  "Bangs": 0.1516,
  "Receding_Hairline": 0.0798,
  "Straight_Hair": 0.2084,
  "Wavy_Hair": 0.3196,
  "Mouth_Slightly_Open": 0.4834,
  "Wearing_Lipstick": 0.4724,
  "Bushy_Eyebrows": 0.1422,
  "Narrow_Eyes": 0.1151,
  "Bags_Under_Eyes": 0.2046,
  "Big_Nose": 0.2345,
  "Chubby": 0.0576,
  "Pale_Skin": 0.0429,
  "Rosy_Cheeks": 0.0657,
}
NAMES = tuple(MARGINALS)
_INDEX = {name: i for i, name in enumerate(NAMES)}

HAIR_COLOURS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")

# Any two names of a group rule each other out.
EXCLUSIVE = (
  ("Bald", *HAIR_COLOURS),
  ("Bald", "Wearing_Hat", "Receding_Hairline", "Bangs"),
  ("Bald", "Wearing_Hat", "Receding_Hairline", "Straight_Hair", "Wavy_Hair"),
  ("No_Beard", "Mustache"),
  ("No_Beard", "Goatee"),
  ("No_Beard", "Sideburns"),
  ("5_o_Clock_Shadow", "Mustache"),
  ("5_o_Clock_Shadow", "Goatee"),
  ("5_o_Clock_Shadow", "Sideburns"),
)

# (trait, value, traits that cannot be seen while it has that value), in the
# order in which they apply.
_STYLES = ("Bangs", "Straight_Hair", "Wavy_Hair")
_HIDES = (
  ("Bald", True, (*HAIR_COLOURS, "Wearing_Hat", "Receding_Hairline", *_STYLES)),
  ("Wearing_Hat", True, ("Receding_Hairline", *_STYLES)),
  ("Receding_Hairline", True, _STYLES),
  ("No_Beard", True, ("Mustache", "Goatee", "Sideburns")),
  ("No_Beard", False, ("5_o_Clock_Shadow",)),
)

# Sex sways four traits, weakly enough that every combination occurs, so that
# each attribute can be requested alone. (P(on | man), overall rate): the rate
# among women follows from the two.
_AMONG_MEN = {
  "Bald": 0.040,
  "No_Beard": 0.720,
  "5_o_Clock_Shadow": 0.200,  # among men without a beard
  "Wearing_Lipstick": 0.200,
}

# Kinds of beard as (Mustache, Goatee, Sideburns) and how often each occurs. All
# three together are a full beard; none of them is a beard along the jaw.
_KINDS = "111 110 010 011 100 001 000"
_BEARDS = np.array([list(kind) for kind in _KINDS.split()]) == "1"
_BEARD_RATES = np.array([0.15, 0.06, 0.14, 0.03, 0.04, 0.16, 0.42])

# Random draws besides those of the traits: uniform in [0, 1), and standard
# normal.
UNIFORM = tuple(
  "head ear ear_size build body jersey hair hair_flip fringe other_hair"
  " dyed_hue dyed_strength receding hat hat_colour hat_band glasses"
  " frame_colour beard mustache goatee sideburns shadow eye eye_angle"
  " eyebrow eyebrow_angle nose nose_flip nose_size mouth forehead"
  " smile_lines crows_feet freckles skin skin_mix team_0 team_1 team_2"
  " background background_field background_red background_green"
  " background_blue background_colourfulness".split()
)
NORMAL = tuple(
  "hair_light hair_red hair_green hair_blue skin_red skin_green skin_blue"
  " lip_red lip_green lip_blue background_spread_red"
  " background_spread_green background_spread_blue turn scale shift_x"
  " shift_y yaw pitch light_x light_y light_gain".split()
)
_COLUMN = {name: i for i, name in enumerate(UNIFORM + NORMAL)}


@dataclasses.dataclass(frozen=True)
class Factors:
  """Everything that makes up n faces.

  Attributes:
    traits: bool [n, 28], in the order of `NAMES`.
    draws: float32 [n, len(UNIFORM) + len(NORMAL)].
  """

  traits: np.ndarray
  draws: np.ndarray

  def __len__(self):
    return len(self.traits)

  def __getitem__(self, rows):
    """Returns some of the faces, by a slice, indices or a mask."""
    return Factors(self.traits[rows], self.draws[rows])

  def draw(self, name):
    """Returns the random draw of this name, float32 [n]."""
    return self.draws[:, _COLUMN[name]]

  @property
  def labels(self):
    """The traits that can be seen, uint8 [n, 28]."""
    return _visible(self.traits).astype(np.uint8)

  def trait(self, name):
    """Says which faces have a trait, seen or not: bool [n]."""
    return self.traits[:, _INDEX[name]]

  def shows(self, name):
    """Says on which faces an attribute can be seen: bool [n]."""
    return _visible(self.traits)[:, _INDEX[name]]


def concatenate(faces):
  """Returns the faces of several Factors, one after the other."""
  columns = zip(*((some.traits, some.draws) for some in faces))
  return Factors(*map(np.concatenate, columns))


def sample(seed, start, stop, focus=None):
  """Draws faces start, ..., stop - 1 of a seed.

  Args:
    seed: int or sequence of ints; each seed is a stream of faces of its own.
    start: int, first face.
    stop: int, one past the last face.
    focus: int, an attribute whose faces come from a stream of their own, or
      None.

  Returns:
    Factors of stop - start faces.
  """
  first, last = start // BLOCK, (stop - 1) // BLOCK
  blocks = [_block(seed, focus, block) for block in range(first, last + 1)]
  joined = concatenate(blocks)
  return joined[start - first * BLOCK : stop - first * BLOCK]


def sample_balanced(seed, name, count):
  """Draws faces, half of which show an attribute; other rates are natural.

  Args:
    seed: int.
    name: one of `NAMES`.
    count: even int, number of faces.

  Returns:
    Factors of `count` faces, on and off in turn.
  """
  index = _INDEX[name]
  found = {True: [], False: []}
  block = 0
  while min(sum(map(len, faces)) for faces in found.values()) < count // 2:
    faces = _block(seed, index, block)
    shown = faces.shows(name)
    for value in found:
      found[value].append(faces[shown == value])
    block += 1
  on, off = (concatenate(found[value])[: count // 2] for value in (True, False))
  return Factors(
    np.stack([on.traits, off.traits], 1).reshape(count, -1),
    np.stack([on.draws, off.draws], 1).reshape(count, -1),
  )


def _visible(traits):
  shown = traits.copy()
  for hider, value, hidden in _HIDES:
    hides = shown[:, _INDEX[hider]] == value
    shown[:, [_INDEX[name] for name in hidden]] &= ~hides[:, None]
  return shown


def _block(seed, focus, block):
  stream = 0 if focus is None else focus + 1
  generator = np.random.default_rng([seed, stream, block])
  traits = _draw_traits(generator)
  draws = np.concatenate(
    [
      generator.random((BLOCK, len(UNIFORM)), np.float32),
      generator.standard_normal((BLOCK, len(NORMAL)), np.float32),
    ],
    axis=1,
  )
  return Factors(traits, draws)


def _draw_traits(generator):
  """Returns bool [BLOCK, 28]: traits whose visible rates are CelebA's."""
  rate = MARGINALS
  uniform = dict(zip(NAMES, generator.random((len(NAMES), BLOCK))))
  on = {name: uniform[name] < rate[name] for name in NAMES}

  male = on["Male"]
  for name, among_men in _AMONG_MEN.items():
    men, women = rate["Male"], 1 - rate["Male"]
    if name == "5_o_Clock_Shadow":  # shows only where there is no beard
      men *= _AMONG_MEN["No_Beard"]
      women = rate["No_Beard"] - men
    among_women = (rate[name] - men * among_men) / women
    on[name] = uniform[name] < np.where(male, among_men, among_women)

  # Rates of traits that can be hidden are those among faces that show them.
  haired = 1 - rate["Bald"]
  on["Wearing_Hat"] = uniform["Wearing_Hat"] < rate["Wearing_Hat"] / haired
  hatless = haired - rate["Wearing_Hat"]
  on["Receding_Hairline"] = (
    uniform["Receding_Hairline"] < rate["Receding_Hairline"] / hatless
  )
  covered = hatless - rate["Receding_Hairline"]
  on["Bangs"] = uniform["Bangs"] < rate["Bangs"] / covered
  on.update(_draw_one(uniform, ("Straight_Hair", "Wavy_Hair"), covered))
  on.update(_draw_one(uniform, HAIR_COLOURS, haired))

  kinds = np.searchsorted(np.cumsum(_BEARD_RATES), uniform["Mustache"])
  parts = _BEARDS[np.minimum(kinds, len(_BEARDS) - 1)].T
  on.update(zip(("Mustache", "Goatee", "Sideburns"), parts))
  return np.stack([on[name] for name in NAMES], axis=1)


def _draw_one(uniform, names, share):
  """Draws at most one of the names, each at its rate in a share of faces."""
  edges = np.cumsum([MARGINALS[name] / share for name in names])
  chosen = np.searchsorted(edges, uniform[names[0]], side="right")
  return {name: chosen == i for i, name in enumerate(names)}
