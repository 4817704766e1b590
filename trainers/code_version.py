"""Which code this is, as git knows it."""

import functools
import os
import pathlib
import subprocess

_ROOT = pathlib.Path(__file__).resolve().parents[1]


@functools.cache  # Of the code as it was loaded.
def commit(root: str | os.PathLike = _ROOT) -> dict | None:
  """Returns which code this is, as git knows it.

  Args:
    root: Folder of the code.

  Returns:
    "commit", its name, and "dirty", whether a file that git knows has been
    changed since; None outside of git.
  """
  top = _git(root, "rev-parse", "--show-toplevel")
  # Installed into a folder of somebody else's repository, it is not theirs.
  if top is None or not os.path.samefile(top, root):
    return None
  name = _git(root, "rev-parse", "HEAD")
  if name is None:
    return None
  changed = _git(root, "status", "--porcelain", "--untracked-files=no")
  return {"commit": name, "dirty": bool(changed)}


def _git(root, *arguments):
  """Returns the output of git; None if it fails, or is not there."""
  try:
    said = subprocess.run(
      ["git", "-C", root, *arguments],
      capture_output=True,
      text=True,
      check=True,
    )
  except (OSError, subprocess.CalledProcessError):
    return None
  return said.stdout.strip()
