"""Names of the constraints in a run folder; does not load TensorFlow."""

import os
import re

FOLDER, MANIFEST = "constraints", "manifest.json"
_NAME = re.compile(r"[A-Za-z][\w-]*")


def check_name(name: str) -> None:
  """Raises ValueError for a name that requests cannot spell."""
  if not isinstance(name, str) or not _NAME.fullmatch(name):
    raise ValueError(
      f"{name!r} cannot be a constraint's name: it must begin with a letter, "
      "and have letters, digits, _ and - only."
    )


def names(run_dir: str) -> list[str]:
  """Returns the names of the constraints of a run."""
  folder = os.path.join(run_dir, FOLDER)
  if not os.path.isdir(folder):
    return []
  return sorted(
    name
    for name in os.listdir(folder)
    if _NAME.fullmatch(name)
    and os.path.exists(os.path.join(folder, name, MANIFEST))
  )
