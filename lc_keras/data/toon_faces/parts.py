"""The drawings that show each attribute.

Names are those of facesjs's parts, or, with a leading "our-", those of
tools/sprite_drawings.py. Each list holds only drawings that show their
attribute clearly at 64 x 64 pixels: faint and ambiguous ones are left out.
"""

# Half-widths of the face relative to facesjs's middle, narrow to wide. The last
# one is Chubby.
BUILDS = (0.88, 0.92, 0.96, 1.10)
CHUBBY = len(BUILDS) - 1

# The sexes share no drawing of heads, eyes, brows and hair, so that Male shows
# beside any other attribute.
HEADS = {
  "woman": ("female1", "female2", "female3", "head2"),
  "man": ("head4", "head5", "head7", "head12", "head17", "head18"),
}
EARS = ("ear1", "ear2")
EAR_SIZES = (0.7, 1.0)
BODIES = {"woman": ("body", "body2"), "man": ("body3", "body5")}
JERSEYS = ("baseball", "football2", "hockey", "jersey", "jersey3", "jersey5")

# Hair is a top and a back, by sex and texture.
HAIR = {
  ("woman", "plain"): (
    ("longHair", "longHair"),
    ("longHair", "female4"),
    ("female11", "female4"),
    ("female2", "longHair"),
  ),
  ("woman", "straight"): (
    ("female5", "female3"),
    ("female5", "female2"),
    ("female9", "female2"),
    ("female9", "female3"),
  ),
  ("woman", "wavy"): (
    ("female10", "female5"),
    ("longHair", "female1"),
    ("female5", "female5"),
    ("afro2", "female1"),
  ),
  ("man", "plain"): (
    ("crop", ""),
    ("short", ""),
    ("short2", ""),
    ("messy", ""),
    ("spike", ""),
    ("spike2", ""),
    ("high", ""),
    ("faux-hawk", ""),
  ),
  ("man", "straight"): (("parted", ""), ("middle-part", ""), ("juice", "")),
  ("man", "wavy"): (
    ("curly", ""),
    ("curly2", ""),
    ("curly3", ""),
    ("afro", ""),
    ("hair", ""),
  ),
}
RECEDING = ("our-widows-peak", "our-horseshoe")
RECEDING_BACK = {"woman": "female4", "man": ""}
FRINGES = ("our-straight-fringe", "our-jagged-fringe", "our-round-fringe")
# Hair that shows under a hat, so that its colour can be read.
UNDER_HAT = {"woman": "our-long-sides", "man": "our-short-sides"}
UNDER_HAT_BACK = {"woman": "female4", "man": ""}

HATS = (
  "hat",
  "hat2",
  "hat3",
  "santa-hat",
  "our-beanie",
  "our-fedora",
  "our-sun-hat",
)
GLASSES = ("glasses1-primary", "our-round", "our-square", "our-sunglasses")

# Mustache, Goatee and Sideburns are drawn separately, but all three together
# are a full beard, and a beard with none of them runs along the jaw.
FULL_BEARDS = ("beard1", "beard2", "beard3", "honest-abe-stache")
JAW_BEARDS = ("honest-abe", "our-jaw")
MUSTACHES = ("our-chevron", "our-handlebar", "our-walrus")
GOATEES = ("our-chin", "our-patch")
SIDEBURNS = ("mutton", "our-wide-sideburns")

# By (Smiling, Mouth_Slightly_Open).
MOUTHS = {
  (True, True): ("smile", "smile3", "our-laugh"),
  (True, False): ("our-grin", "our-wide-smile"),
  (False, True): ("our-oh", "our-gape", "our-talk"),
  (False, False): ("our-flat", "our-frown"),
}

# By (sex, Narrow_Eyes).
EYES = {
  ("woman", False): ("female1", "female2", "female3", "female10"),
  ("woman", True): ("female4", "female13", "female16"),
  ("man", False): ("eye1", "eye3", "eye4", "eye8", "eye10"),
  ("man", True): ("eye7", "eye13", "eye16", "eye17", "eye19"),
}
EYE_ANGLES = (-6, 0, 6)
EYEBROWS = {
  "woman": ("female2", "female5", "female6", "female10"),
  "man": ("eyebrow2", "eyebrow3", "eyebrow5", "eyebrow9", "eyebrow18"),
}
BUSHY_EYEBROWS = ("eyebrow1", "eyebrow6", "eyebrow8", "eyebrow10")
EYEBROW_ANGLES = (-6, 0, 6)
NOSES = ("nose1", "nose2", "nose3", "nose7", "nose8", "nose9", "small")
NOSE_SIZES = (0.65, 0.8)
BIG_NOSES = ("honker", "nose6", "nose11", "nose12", "nose13")
BIG_NOSE_SIZE = 1.4

FOREHEAD_LINES = ("forehead2", "forehead5")
SMILE_LINES = ("line1", "line2", "line3")
CROWS_FEET = ("our-three-lines", "our-two-lines")
BAGS = "our-bags"
BLUSH = "our-blush"
FRECKLES = "our-freckles"
DOUBLE_CHIN = "our-double-chin"
