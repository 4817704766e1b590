"""The git commit of the code."""

import functools
import os
import pathlib
import subprocess

_ROOT = pathlib.Path(__file__).resolve().parents[1]


@functools.cache  # The process runs the code that it loaded.
def commit() -> dict | None:
  """Returns the git commit of the code.

  Returns:
    "commit", its hash, and "dirty", whether a tracked file has changed since;
    None outside of git.
  """
  found = _git("rev-parse", "--show-toplevel", "HEAD")
  if found is None:
    return None
  top, name = found.splitlines()
  # Installed inside another repository, the code is not of its commits.
  if not os.path.samefile(top, _ROOT):
    return None
  changed = _git("status", "--porcelain", "--untracked-files=no")
  return {"commit": name, "dirty": bool(changed)}


def _git(*arguments):
  """Returns the output of git; None if it fails or is not installed."""
  try:
    said = subprocess.run(
      ["git", "-C", _ROOT, *arguments],
      capture_output=True,
      text=True,
      check=True,
    )
  except (OSError, subprocess.CalledProcessError):
    return None
  return said.stdout.strip()
