"""Suggestions for unknown names."""

import difflib
import re
from collections.abc import Collection


def suggest(name: str, known: Collection[str]) -> str:
  """Returns the end of an error message: the known names nearest to a name.

  Without near ones, it lists all. Case is ignored; blanks equal underscores.

  >>> from lc_keras import spelling
  >>> spelling.suggest("smilin", ["Smiling", "Male"])
  'did you mean Smiling?'
  >>> spelling.suggest("imagenet", ["celeb_a", "fashion_mnist"])
  'choose one of celeb_a, fashion_mnist.'
  """
  return nearest(name, known) or f"choose one of {', '.join(known)}."


def nearest(name: str, known: Collection[str]) -> str:
  """Returns `suggest`'s question; "" without near names.

  >>> from lc_keras import spelling
  >>> spelling.nearest("imagenet", ["celeb_a", "fashion_mnist"])
  ''
  """
  spelled = {_plain(one): one for one in known}
  near = difflib.get_close_matches(_plain(name), spelled, n=3, cutoff=0.5)
  names = " or ".join(spelled[one] for one in near)
  return f"did you mean {names}?" if near else ""


def _plain(name):
  return re.sub(r"[\s_]+", "_", name.strip().lower())
