"""Suggestions for names that nobody knows."""

import difflib
from collections.abc import Collection


def suggest(name: str, known: Collection[str]) -> str:
  """Returns the end of a message: known names that a name resembles, or all.

  >>> from lc_keras import spelling
  >>> spelling.suggest("Smilin", ["Smiling", "Male"])
  'did you mean Smiling?'
  >>> spelling.suggest("imagenet", ["celeb_a", "fashion_mnist"])
  'choose one of celeb_a, fashion_mnist.'
  """
  near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
  if near:
    return f"did you mean {' or '.join(near)}?"
  return f"choose one of {', '.join(known)}."
