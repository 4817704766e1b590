"""Additional SVG drawings, in facesjs's 400 x 600 coordinates.

For attributes for which facesjs has no part, or only a faint one. `$[name]` is
a colour that is filled in when a face is drawn. Used only to build the sprites.
"""

INK = "#000"


def _shape(fill, path, width=5):
  return (
    f'<path fill="{fill}" stroke="{INK}" stroke-width="{width}"'
    f' stroke-linejoin="round" d="{path}"/>'
  )


def _line(path, width):
  return (
    f'<path fill="none" stroke="{INK}" stroke-width="{width}"'
    ' stroke-opacity="1.0" stroke-linecap="round" stroke-linejoin="round"'
    f' d="{path}"/>'
  )


def _flat(fill, path, opacity=1.0):
  return f'<path fill="{fill}" fill-opacity="{opacity}" d="{path}"/>'


def _both_sides(drawing):
  mirrored = f'<g transform="translate(400 0) scale(-1 1)">{drawing}</g>'
  return drawing + mirrored


_HAIR = "$[hairColor]"

HAIR = {
  "our-widows-peak": _shape(
    _HAIR,
    "M50 318v-18C50 160 110 96 200 96s150 64 150 204v18h-14c2-60-8-120-62-162"
    "-10 4-34 34-74 34s-64-30-74-34c-54 42-64 102-62 162z",
  ),
  "our-horseshoe": _both_sides(
    _shape(
      _HAIR,
      "M44 330c-10-60-6-130 34-176 14 8 16 20 12 34-20 44-22 96-18 142z",
    )
  ),
  "our-long-sides": _both_sides(
    _shape(
      _HAIR, "M72 176C20 220 26 330 8 440c14 22 44 26 66 14-8-90-14-170 14-250z"
    )
  ),
  "our-short-sides": _both_sides(
    _shape(
      _HAIR, "M66 176c-40 30-44 110-26 158 12 6 30 2 36-6-6-44-4-96 8-136z"
    )
  ),
}

# A fringe has an outline along its lower edge only: on top it meets the hair.
_FRINGE_EDGES = {
  "our-straight-fringe": "Q200 264 64 250",
  "our-jagged-fringe": "l-16 16-18-20-17 22-17-22-17 24-17-24-17 24-17-24-17 24"
  "-17-24-17 24-17-24-17 22-18-22-16 20-17-16",
  "our-round-fringe": "Q200 196 64 250",
}
FRINGES = {
  name: _flat(_HAIR, f"M64 250C92 120 308 120 336 250{edge}z")
  + _line(f"M336 250{edge}", 5)
  for name, edge in _FRINGE_EDGES.items()
}

HATS = {
  "our-beanie": _shape(
    "$[primary]",
    "M44 232C40 120 110 62 200 62s160 58 156 170c-60-26-252-26-312 0z",
  )
  + _shape(
    "$[secondary]",
    "M38 246c-4-34 0-46 12-50 70-26 230-26 300 0 12 4 16 16 12 50-70-28-254-28"
    "-324 0z",
  ),
  "our-fedora": _shape(
    "$[primary]",
    "M78 200c-4-60 14-120 50-134 24-8 48 8 72 8s48-16 72-8c36 14 54 74 50 134z",
  )
  + _shape(
    "$[secondary]",
    "M76 204c-2-16-1-26 1-36 70 18 176 18 246 0 2 10 3 20 1 36z",
  )
  + _shape(
    "$[primary]",
    "M-12 208c40-16 80-20 90-10 40 22 204 22 244 0 10-10 50-6 90 10-50 34-130 "
    "42-212 42S38 242-12 208z",
  ),
  "our-sun-hat": _shape(
    "$[primary]", "M88 196C86 110 140 76 200 76s114 34 112 120z"
  )
  + _shape(
    "$[secondary]",
    "M86 200c0-12 1-20 3-28 66 20 156 20 222 0 2 8 3 16 3 28-60 20-168 20-228"
    " 0z",
  )
  + _shape(
    "$[primary]",
    "M-26 246c40-44 90-50 114-50 60 24 164 24 224 0 24 0 74 6 114 50-80-24-150"
    "-26-226-26s-146 2-226 26z",
  ),
}

_LENS = "rgba(205,220,240,.45)"
GLASSES = {
  "our-round": f'<g fill="{_LENS}" stroke="$[primary]" stroke-width="13">'
  '<circle cx="138" cy="312" r="44"/><circle cx="262" cy="312" r="44"/>'
  '<path fill="none" d="M180 306q20-14 40 0M96 304l-44-8m252 8 44-8"/></g>',
  "our-square": f'<g fill="{_LENS}" stroke="$[primary]" stroke-width="14">'
  '<rect x="90" y="280" width="94" height="64" rx="10"/>'
  '<rect x="216" y="280" width="94" height="64" rx="10"/>'
  '<path fill="none" d="M184 302h32M90 302l-40-8m260 8 40-8"/></g>',
  "our-sunglasses": '<g stroke="#111" stroke-width="9">'
  '<path fill="rgba(20,20,28,.93)" d="M84 284h108c4 44-14 70-56 70s-54-30-52-70'
  'zm124 0h108c4 42-10 70-52 70s-60-26-56-70z"/>'
  '<path fill="none" d="M188 292h24M86 292l-36-4m264 4 36-4"/></g>',
}

BEARDS = {
  "our-jaw": _shape(
    _HAIR,
    "M52 340c4 110 70 176 148 176s144-66 148-176c-14 50-34 106-74 124-24 10-50 "
    "14-74 14s-50-4-74-14c-40-18-60-74-74-124z",
  )
}
# Clipped to the outline of the head.
STUBBLE = _flat(
  INK,
  "M0 330h66c6 40 30 66 70 66 20-8 44-12 64-12s44 4 64 12c40 0 64-26 70-66h66"
  "v250H0z",
)
MUSTACHES = {
  "our-chevron": _shape(
    _HAIR,
    "M200 394c-30-10-64 4-78 36 24-8 54-4 78-12 24 8 54 4 78 12-14-32-48-46"
    "-78-36z",
  ),
  "our-handlebar": _shape(
    _HAIR,
    "M200 396c-28-12-54 10-92 0 6 36 66 40 92 20 26 20 86 16 92-20-38 10-64-12"
    "-92 0z",
  ),
  "our-walrus": _shape(
    _HAIR,
    "M200 390c-42-6-78 20-82 58 26-18 56-20 82-26 26 6 56 8 82 26-4-38-40-64-82"
    "-58z",
  ),
}
GOATEES = {
  "our-chin": _shape(
    _HAIR, "M150 470c16 14 84 14 100 0 6 34-10 64-50 66-40-2-56-32-50-66z"
  ),
  "our-patch": _shape(_HAIR, "M164 468h72c8 36-10 76-36 86-26-10-44-50-36-86z"),
}
SIDEBURNS = {
  "our-wide-sideburns": _both_sides(
    _shape(_HAIR, "M50 280v50c4 70 28 116 66 130 8-30-16-60-18-110l-8-70z")
  )
}

# Mouths are drawn around (0, 0); lips lie under the line of the mouth.
_LIP = "$[lip]"
_TEETH = "#fff"
_INSIDE = "#6e1a20"


def _lips(path, width=18):
  return (
    f'<path fill="{_LIP}" stroke="{_LIP}" stroke-width="{width}"'
    f' stroke-linejoin="round" d="{path}"/>'
  )


_LAUGH = "M-58-20Q0-6 58-20 50 44 0 46-50 44-58-20z"
_OH = "M-30 0C-30-34 30-34 30 0S-30 34-30 0z"
_GAPE = "M-46 20C-36-30 36-30 46 20 20 10-20 10-46 20z"
_TALK = "M-48-14h96v26h-96z"
MOUTHS = {
  "our-laugh": _lips(_LAUGH)
  + _shape(_INSIDE, _LAUGH)
  + _flat(_TEETH, "M-52-15Q0-2 52-15 48 4 0 8-48 4-52-15z"),
  "our-grin": _lips("M-56-18Q0 10 56-18 40 30 0 32-40 30-56-18z", 8)
  + _line("M-60-22Q0 44 60-22M-70-24q12-6 16-10M70-24q-12-6-16-10", 8),
  "our-wide-smile": _lips("M-64-12Q0 18 64-12 40 34 0 34-40 34-64-12z", 8)
  + _line("M-64-14Q-40 20 0 20T64-14M-64-28v24M64-28v24", 8),
  "our-oh": _lips(_OH, 22) + _shape(_INSIDE, _OH, 6),
  "our-gape": _lips(_GAPE) + _shape(_INSIDE, _GAPE, 6),
  "our-talk": _lips(_TALK) + _shape(_TEETH, _TALK, 6) + _line("M-44 0h88", 3),
  "our-flat": _lips("M-44 0Q-20-16 0-10 20-16 44 0 20 18 0 18-20 18-44 0z", 6)
  + _line("M-48 0h96", 7),
  "our-frown": _lips("M-40 6Q0-26 40 6 20 16 0 16-20 16-40 6z", 8)
  + _line("M-50 18Q0-26 50 18", 8),
}

_CREASE = 8
CROWS_FEET = {
  "our-three-lines": _both_sides(
    _line("M94 292l-26-14M90 312H60M94 332l-26 14M112 352q26 16 52 4", _CREASE)
  ),
  "our-two-lines": _both_sides(
    _line("M92 300l-30-12M92 324l-30 12M108 356q30 12 60-4", _CREASE)
  ),
}
_BAG = "M98 334q42 26 84 0c-4 34-80 34-84 0z"
LINES = {
  "our-bags": _both_sides(_flat("#4a2b58", _BAG, 0.75)),
  "our-blush": _both_sides(
    '<ellipse cx="112" cy="384" rx="38" ry="28" fill="#ff4a5e"'
    ' fill-opacity=".62"/>'
  ),
  "our-freckles": _both_sides(
    "".join(
      f'<circle cx="{x}" cy="{y}" r="5" fill="#8a4a20" fill-opacity=".55"/>'
      for x, y in ((96, 368), (118, 376), (106, 392), (132, 390), (86, 386))
    )
  ),
  "our-double-chin": _line("M130 478q70 44 140 0", 6),
}
