"""Builds the sprites of toon_faces from the drawings of facesjs 5.0.3.

  python -m lc_keras.datasets.toon_faces.build_sprites

fetches facesjs (npm, Apache-2.0), reads its SVG parts with node, draws them and
our own with resvg_py, and writes `sprites.npz` beside this file. Needed only to
change the art: the sprites are part of the package.
"""

import functools
import io
import json
import os
import pathlib
import re
import subprocess
import tarfile
import tempfile

from absl import app
from absl import flags
from absl import logging
import numpy as np
from PIL import Image
import resvg_py

from lc_keras.datasets.toon_faces import drawings
from lc_keras.datasets.toon_faces import parts
from lc_keras.datasets.toon_faces import sprites

FACESJS = "facesjs@5.0.3"

_OUTPUT = flags.DEFINE_string(
  "output", str(sprites.PATH), "File to write the sprites to."
)

_UNITS_PER_PIXEL = 452 / 64  # a face of 64 pixels shows 452 of facesjs's units
_SPAN = sprites.CANVAS * _UNITS_PER_PIXEL
_VIEW = f"{200 - _SPAN / 2} {291 - _SPAN / 2} {_SPAN} {_SPAN}"
_PRIMARIES = ("#f00", "#0f0", "#00f")

# Where facesjs places the parts it centres, in its units.
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
  layers = {}

  def add(layer, key, drawing):
    if key not in layers.setdefault(layer, {}):
      layers[layer][key] = _draw(drawing)

  for build, width in enumerate(parts.BUILDS):
    widened = functools.partial(_widen, width=width)

    def add_widened(layer, name, drawing):
      add(layer, (name, build), widened(drawing))

    for names in parts.HEADS.values():
      for name in names:
        add_widened("head", name, svg["head"][name])
        add_widened("shadow", name, _shaved(svg["head"][name]))
    for name in parts.EARS:
      for size, scale in enumerate(parts.EAR_SIZES):
        moved = 155 * (1 - width)
        ears = _place("ear", svg["ear"][name], scale, inward=moved)
        add("ear", (name, size, build), ears)
    for styles in parts.HAIR.values():
      for top, back in styles:
        # Thinner lines: thick ones make light hair look dark.
        for flipped in (0, 1):
          drawing = _flip(_thicken(svg["hair"][top], 0.7), flipped)
          add("hair", (top, flipped, build), widened(drawing))
        if back:
          add_widened("hair_back", back, _thicken(svg["hairBg"][back], 0.7))
    for name in parts.RECEDING:
      add("hair", (name, 0, build), widened(drawings.HAIR[name]))
      add("hair", (name, 1, build), widened(_flip(drawings.HAIR[name], 1)))
    for name in parts.UNDER_HAT.values():
      add_widened("under_hat", name, drawings.HAIR[name])
    for name in parts.FRINGES:
      add_widened("fringe", name, drawings.FRINGES[name])
    for name in parts.HATS:
      hat = drawings.HATS.get(name) or svg["accessories"][name]
      add_widened("hat", name, hat)
    for name in parts.GLASSES:
      glasses = drawings.GLASSES.get(name) or svg["glasses"][name]
      add_widened("glasses", name, glasses)
    for name in parts.FULL_BEARDS + parts.JAW_BEARDS:
      beard = drawings.BEARDS.get(name) or svg["facialHair"][name]
      add_widened("beard", name, _thicken(beard, 1.3))
    for name in parts.SIDEBURNS:
      burns = drawings.SIDEBURNS.get(name) or svg["facialHair"][name]
      add_widened("sideburns", name, _thicken(burns, 1.3))
    for name in parts.CROWS_FEET:
      add_widened("crows_feet", name, drawings.CROWS_FEET[name])
    add_widened("cheeks", parts.BLUSH, drawings.LINES[parts.BLUSH])
    add_widened("cheeks", parts.FRECKLES, drawings.LINES[parts.FRECKLES])

  for name in parts.GOATEES:
    add("goatee", (name,), drawings.GOATEES[name])
  for name in parts.MUSTACHES:
    add("mustache", (name,), drawings.MUSTACHES[name])
  for sex, width in (("woman", 0.87), ("man", 1.0)):
    for name in parts.BODIES[sex]:
      add("body", (name,), _widen(svg["body"][name], width))
    for name in parts.JERSEYS:
      add("jersey", (name, sex), _widen(svg["jersey"][name], width))
  for (_, narrow), names in parts.EYES.items():
    for name in names:
      for angle, degrees in enumerate(parts.EYE_ANGLES):
        scale = 1.12 if narrow else 1.25
        add("eye", (name, angle), _place("eye", svg["eye"][name], scale, degrees))
  for names, scale, weight in (
    (parts.EYEBROWS["woman"], 0.95, 1.0),
    (parts.EYEBROWS["man"], 1.1, 1.0),
    (parts.BUSHY_EYEBROWS, 1.35, 3.0),
  ):
    for name in names:
      for angle, degrees in enumerate(parts.EYEBROW_ANGLES):
        brow = _thicken(svg["eyebrow"][name], weight)
        add("eyebrow", (name, angle), _place("eyebrow", brow, scale, degrees))
  for names in parts.MOUTHS.values():
    for name in names:
      mouth = drawings.MOUTHS.get(name)
      if mouth is None:
        mouth = _with_lips(svg["mouth"][name])
        mouth = _place("mouth", mouth, 1.5)
      else:
        mouth = _move(mouth, *_PLACES["mouth"][0])
      add("mouth", (name,), mouth)
  for names, sizes in (
    (parts.NOSES, parts.NOSE_SIZES),
    (parts.BIG_NOSES, (parts.BIG_NOSE_SIZE,)),
  ):
    for name in names:
      for flipped in (0, 1):
        for size, scale in enumerate(sizes):
          nose = _thicken(svg["nose"][name], 1.25)
          nose = _place("nose", nose, scale, flipped=flipped)
          add("nose", (name, flipped, size), nose)
  for name in parts.FOREHEAD_LINES:
    add("forehead", (name,), _thicken(svg["miscLine"][name], 3.6))
  for name in parts.SMILE_LINES:
    lines = _thicken(svg["smileLine"][name], 2.8)
    add("smile_lines", (name,), _place("smileLine", lines, 1.8))
  add("bags", (parts.BAGS,), drawings.LINES[parts.BAGS])
  add("double_chin", (parts.DOUBLE_CHIN,), drawings.LINES[parts.DOUBLE_CHIN])
  return layers


def _draw(drawing):
  """[channels, CANVAS, CANVAS]: 1 - alpha, ink, and one mask per colour."""
  used = [name for name in sprites.COLOURS if f"$[{name}]" in drawing]
  base = _rasterise(_colour(drawing, {}))
  canvas = np.zeros(
    (4 + len(sprites.COLOURS), sprites.CANVAS, sprites.CANVAS), np.float32
  )
  canvas[0] = 1 - base[..., 3]
  canvas[1:4] = base[..., :3].transpose(2, 0, 1)
  # Three colours at a time, as red, green and blue: what a channel gains over
  # the drawing in black is that colour's share of the pixel.
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
  """[size, size, 4] float32 in [0, 1], colours multiplied by alpha."""
  svg = (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view}" width="{size}"'
    f' height="{size}">{drawing}</svg>'
  )
  png = resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True)
  image = Image.open(io.BytesIO(png)).convert("RGBA")
  pixels = np.asarray(image, np.float32) / 255
  return np.concatenate([pixels[..., :3] * pixels[..., 3:], pixels[..., 3:]], -1)


@functools.lru_cache(maxsize=None)
def _centre(drawing):
  """(x, y), the middle of what a drawing covers, to half a unit."""
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
  """A part centred where facesjs puts it; the second of a pair is mirrored."""
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
  """What a beard would cover of a head: women's heads come without it."""
  outline = re.search(r' d="([^"]*)"', head)[1]
  return (
    f'<clipPath id="head"><path d="{outline}"/></clipPath>'
    f'<g clip-path="url(#head)">{drawings.STUBBLE}</g>'
  )


def _with_lips(mouth):
  """A mouth on top of its own outline, wide and in the colour of the lips."""
  outlines = re.findall(r' d="([^"]*)"', mouth)
  lips = "".join(
    f'<path d="{outline}" fill="$[lip]" stroke="$[lip]" stroke-width="15"'
    ' stroke-linejoin="round"/>'
    for outline in outlines
  )
  return lips + mouth


if __name__ == "__main__":
  app.run(main)
