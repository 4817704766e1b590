"""Rules that are a Python function, see `functions.Function`."""

from lc_keras.constraints import functions

SETTINGS = ("rule",)


def accepts(settings) -> bool:
  """Says whether settings are of this kind."""
  return settings.rule is not None


def make(settings, parts) -> functions.Function:
  """Loads the function.

  Args:
    settings: `recipes.Rule`.
    parts: Not used.
  """
  del parts
  return functions.Function(settings.rule)
