"""Builds the sprites of toon_faces from the drawings of facesjs 5.0.3.

  python -m tools.build_sprites

fetches facesjs (npm, Apache-2.0), reads its SVG parts with node, draws them and
those of `sprite_drawings` with resvg_py, and writes sprites.npz in
lc_keras/data/toon_faces. Needed only to change the art: the sprites are part of
the package.
"""

import collections
import functools
import io
import itertools
import json
import os
import pathlib
import re
import subprocess
import tarfile
import tempfile

import numpy as np
import resvg_py
from absl import app
from absl import flags
from absl import logging
from PIL import Image

from lc_keras.data.toon_faces import parts
from lc_keras.data.toon_faces import sprites
from tools import sprite_drawings

FACESJS = "facesjs@5.0.3"

_OUTPUT = flags.DEFINE_string(
  "output", str(sprites.PATH), "File to write the sprites to."
)

_UNITS_PER_PIXEL = 452 / 64  # a face of 64 pixels shows 452 of facesjs's units
_SPAN = sprites.CANVAS * _UNITS_PER_PIXEL
_VIEW = f"{200 - _SPAN / 2} {291 - _SPAN / 2} {_SPAN} {_SPAN}"
_PRIMARIES = ("#f00", "#0f0", "#00f")

_EAR_DISTANCE = 155  # from the middle of the face, in facesjs's units
# Positions at which facesjs centres parts, in its units.
_PLACES = {
  "ear": ((55, 325), (345, 325)),
  "eye": ((140, 310), (260, 310)),
  "eyebrow": ((140, 268), (260, 268)),
  "mouth": ((200, 440),),
  "nose": ((200, 372),),
  "smileLine": ((146, 432), (254, 432)),
}

_READ_PARTS = """
import * as module from "./package/build/svgs.js";
process.stdout.write(JSON.stringify(module.default));
"""


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f"Unexpected arguments: {argv[1:]}.")
  layers = draw_layers(fetch_parts())
  sprites.save(_OUTPUT.value, layers)
  size = os.path.getsize(_OUTPUT.value)
  count = sum(len(drawn) for drawn in layers.values())
  logging.info("Wrote %d sprites, %d bytes: %s", count, size, _OUTPUT.value)


def fetch_parts():
  """Returns facesjs's drawings: {kind: {name: svg}}."""
  with tempfile.TemporaryDirectory() as folder:
    subprocess.run(["npm", "pack", FACESJS], cwd=folder, check=True)
    (archive,) = pathlib.Path(folder).glob("*.tgz")
    with tarfile.open(archive) as packed:
      packed.extractall(folder, filter="data")
    script = pathlib.Path(folder) / "read_parts.mjs"
    script.write_text(_READ_PARTS)
    read = subprocess.run(
      ["node", script.name], cwd=folder, check=True, capture_output=True
    )
  return json.loads(read.stdout)


def draw_layers(svg):
  """Draws every part that `parts` names.

  Args:
    svg: {kind: {name: svg}}, facesjs's drawings.

  Returns:
    {layer: {(name, variant...): float32 [channels, CANVAS, CANVAS]}}.
  """
  layers = collections.defaultdict(dict)
  for build, width in enumerate(parts.BUILDS):
    for layer, key, drawing in _parts_by_build(svg, width):
      layers[layer][*key, build] = _draw(drawing)
  for layer, key, drawing in _other_parts(svg):
    layers[layer][key] = _draw(drawing)
  return layers


def _parts_by_build(svg, width):
  """Yields (layer, key, drawing) of parts that are as wide as the face."""

  def pick(kind, own, name):
    return own[name] if name in own else svg[kind][name]

  for name in itertools.chain(*parts.HEADS.values()):
    yield "head", (name,), _widen(svg["head"][name], width)
    yield "shadow", (name,), _widen(_shaved(svg["head"][name]), width)
  for name in parts.EARS:
    for size, scale in enumerate(parts.EAR_SIZES):
      inward = _EAR_DISTANCE * (1 - width)
      ears = _place("ear", svg["ear"][name], scale, inward=inward)
      yield "ear", (name, size), ears
  for top, back in itertools.chain(*parts.HAIR.values()):
    # Thinner lines: facesjs's make light hair look dark.
    top_drawing = _thicken(svg["hair"][top], 0.7)
    for flipped in (0, 1):
      hair = _widen(_flip(top_drawing, flipped), width)
      yield "hair", (top, flipped), hair
    if back:
      hair = _thicken(svg["hairBg"][back], 0.7)
      yield "hair_back", (back,), _widen(hair, width)
  for name in parts.RECEDING:
    for flipped in (0, 1):
      hair = _widen(_flip(sprite_drawings.HAIR[name], flipped), width)
      yield "hair", (name, flipped), hair
  for name in parts.UNDER_HAT.values():
    yield "under_hat", (name,), _widen(sprite_drawings.HAIR[name], width)
  for name in parts.FRINGES:
    yield "fringe", (name,), _widen(sprite_drawings.FRINGES[name], width)
  for name in parts.HATS:
    hat = pick("accessories", sprite_drawings.HATS, name)
    yield "hat", (name,), _widen(hat, width)
  for name in parts.GLASSES:
    glasses = pick("glasses", sprite_drawings.GLASSES, name)
    yield "glasses", (name,), _widen(glasses, width)
  for name in parts.FULL_BEARDS + parts.JAW_BEARDS:
    beard = _thicken(pick("facialHair", sprite_drawings.BEARDS, name), 1.3)
    yield "beard", (name,), _widen(beard, width)
  for name in parts.SIDEBURNS:
    sideburns = _thicken(
      pick("facialHair", sprite_drawings.SIDEBURNS, name), 1.3
    )
    yield "sideburns", (name,), _widen(sideburns, width)
  for name in parts.CROWS_FEET:
    yield "crows_feet", (name,), _widen(sprite_drawings.CROWS_FEET[name], width)
  for name in (parts.BLUSH, parts.FRECKLES):
    yield "cheeks", (name,), _widen(sprite_drawings.LINES[name], width)


def _other_parts(svg):
  """Yields (layer, key, drawing) of parts that are the same on every face."""
  for sex, width in (("woman", 0.87), ("man", 1.0)):
    for name in parts.BODIES[sex]:
      yield "body", (name,), _widen(svg["body"][name], width)
    for name in parts.JERSEYS:
      yield "jersey", (name, sex), _widen(svg["jersey"][name], width)
  for (_, narrow), names in parts.EYES.items():
    scale = 1.12 if narrow else 1.25
    for name, (angle, degrees) in _with_index(names, parts.EYE_ANGLES):
      eyes = _place("eye", svg["eye"][name], scale, degrees)
      yield "eye", (name, angle), eyes
  for names, scale, weight in (
    (parts.EYEBROWS["woman"], 0.95, 1.0),
    (parts.EYEBROWS["man"], 1.1, 1.0),
    (parts.BUSHY_EYEBROWS, 1.35, 3.0),
  ):
    for name, (angle, degrees) in _with_index(names, parts.EYEBROW_ANGLES):
      brow = _thicken(svg["eyebrow"][name], weight)
      yield "eyebrow", (name, angle), _place("eyebrow", brow, scale, degrees)
  for names, sizes in (
    (parts.NOSES, parts.NOSE_SIZES),
    (parts.BIG_NOSES, (parts.BIG_NOSE_SIZE,)),
  ):
    for name, (size, scale) in _with_index(names, sizes):
      drawing = _thicken(svg["nose"][name], 1.25)
      for flipped in (0, 1):
        nose = _place("nose", drawing, scale, flipped=flipped)
        yield "nose", (name, flipped, size), nose
  for name in itertools.chain(*parts.MOUTHS.values()):
    if name in sprite_drawings.MOUTHS:
      mouth = _move(sprite_drawings.MOUTHS[name], *_PLACES["mouth"][0])
    else:
      mouth = _place("mouth", _with_lips(svg["mouth"][name]), 1.5)
    yield "mouth", (name,), mouth
  for name in parts.GOATEES:
    yield "goatee", (name,), sprite_drawings.GOATEES[name]
  for name in parts.MUSTACHES:
    yield "mustache", (name,), sprite_drawings.MUSTACHES[name]
  for name in parts.FOREHEAD_LINES:
    yield "forehead", (name,), _thicken(svg["miscLine"][name], 3.6)
  for name in parts.SMILE_LINES:
    lines = _thicken(svg["smileLine"][name], 2.8)
    yield "smile_lines", (name,), _place("smileLine", lines, 1.8)
  yield "bags", (parts.BAGS,), sprite_drawings.LINES[parts.BAGS]
  yield (
    "double_chin",
    (parts.DOUBLE_CHIN,),
    sprite_drawings.LINES[parts.DOUBLE_CHIN],
  )


def _with_index(names, values):
  return itertools.product(names, enumerate(values))


def _draw(drawing):
  """Returns [channels, CANVAS, CANVAS]: 1 - alpha, ink, a mask per colour."""
  used = [name for name in sprites.COLOURS if f"$[{name}]" in drawing]
  base = _rasterise(_colour(drawing, {}))
  canvas = np.zeros(
    (4 + len(sprites.COLOURS), sprites.CANVAS, sprites.CANVAS), np.float32
  )
  canvas[0] = 1 - base[..., 3]
  canvas[1:4] = base[..., :3].transpose(2, 0, 1)
  # Three colours at a time, as red, green and blue: the increase of a channel
  # over the drawing in black is that colour's share of the pixel.
  for start in range(0, len(used), 3):
    group = used[start : start + 3]
    tinted = _rasterise(_colour(drawing, dict(zip(group, _PRIMARIES))))
    for channel, name in enumerate(group):
      gain = np.clip(tinted[..., channel] - base[..., channel], 0, 1)
      canvas[4 + sprites.COLOURS.index(name)] = gain
  return canvas


def _colour(drawing, colours):
  drawing = re.sub(r"\$\[(face|head)Shave\]", "rgba(0,0,0,0)", drawing)
  return re.sub(
    r"\$\[(\w+)\]", lambda found: colours.get(found[1], "#000"), drawing
  )


def _rasterise(drawing, view=_VIEW, size=sprites.CANVAS):
  """Returns float32 [size, size, 4] in [0, 1], colours multiplied by alpha."""
  svg = (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view}" width="{size}"'
    f' height="{size}">{drawing}</svg>'
  )
  png = resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True)
  image = Image.open(io.BytesIO(png)).convert("RGBA")
  pixels = np.asarray(image, np.float32) / 255
  return np.concatenate(
    [pixels[..., :3] * pixels[..., 3:], pixels[..., 3:]], -1
  )


@functools.cache
def _centre(drawing):
  """Returns (x, y), the middle of a drawing's bounding box, to half a unit."""
  size, low = 1600, -200
  alpha = _rasterise(
    _colour(drawing, {}), f"{low} {low} {size // 2} {size // 2}", size
  )[..., 3]
  middles = []
  for axis in (0, 1):
    inked = np.flatnonzero(alpha.max(axis) > 0.5)
    middles.append((inked[0] + inked[-1] + 1) / 4 + low)
  return tuple(middles)


def _place(kind, drawing, scale, angle=0, flipped=0, inward=0.0):
  """Centres a part where facesjs does; mirrors the second part of a pair."""
  x, y = _centre(drawing)
  placed = ""
  for i, (to_x, to_y) in enumerate(_PLACES[kind]):
    mirror = -1 if (i == 1) != bool(flipped) else 1
    side = -1 if i == 1 else 1
    placed += (
      f'<g transform="translate({to_x + side * inward} {to_y})'
      f" rotate({side * angle}) scale({mirror * scale} {scale})"
      f' translate({-x} {-y})">{drawing}</g>'
    )
  return placed


def _move(drawing, x, y):
  return f'<g transform="translate({x} {y})">{drawing}</g>'


def _widen(drawing, width):
  middle = 200 * (1 - width)
  return f'<g transform="translate({middle} 0) scale({width} 1)">{drawing}</g>'


def _flip(drawing, flipped):
  if not flipped:
    return drawing
  return f'<g transform="translate(400 0) scale(-1 1)">{drawing}</g>'


def _thicken(drawing, factor):
  return re.sub(
    r'(stroke-width[=:]"?)([\d.]+)',
    lambda found: f"{found[1]}{float(found[2]) * factor}",
    drawing,
  )


def _shaved(head):
  """Returns the beard area of a head, which facesjs's heads of women lack."""
  outline = re.search(r' d="([^"]*)"', head)[1]
  return (
    f'<clipPath id="head"><path d="{outline}"/></clipPath>'
    f'<g clip-path="url(#head)">{sprite_drawings.STUBBLE}</g>'
  )


def _with_lips(mouth):
  """Draws a mouth over its own outline, wide and in the colour of the lips."""
  outlines = re.findall(r' d="([^"]*)"', mouth)
  lips = "".join(
    f'<path d="{outline}" fill="$[lip]" stroke="$[lip]" stroke-width="15"'
    ' stroke-linejoin="round"/>'
    for outline in outlines
  )
  return lips + mouth


if __name__ == "__main__":
  app.run(main)
