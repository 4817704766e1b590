"""The folder that servers watch: versions put there, withdrawn, thrown away.

A version appears and goes by a rename, so that a server sees it whole or not at
all, whenever a publisher is killed. Publishers wait for each other. What is
under way, and what is known of each version, is in folders whose names begin
with a dot, which servers pass over:

  .publishing/          under way; what a killed publisher left is thrown away
  .published/<version>/ model_blessing/BLESSED, infra_blessing/INFRA_BLESSED (as
                        TFX's Evaluator and InfraValidator mark what they have
                        blessed) and results.json
  .withdrawn/<version>/ what was rolled back
"""

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping

from lc_keras import files
from serving.server import versions

_UNDER_WAY = ".publishing"
_KNOWN = ".published"
_WITHDRAWN = ".withdrawn"
_LOCK = "lock"


class Shelf:
  """The versions of one model.

  Attributes:
    base_path: The folder that servers watch.
  """

  def __init__(self, base_path: str):
    """Opens a folder, which is made when something is put there."""
    self.base_path = base_path

  def versions(self) -> list[int]:
    """Returns the versions that servers find, oldest first."""
    return sorted(versions.find(self.base_path) or ())

  def path(self, version: int) -> str:
    """Returns the folder of a version, however its number is written.

    Raises:
      ValueError: There is no such version.
    """
    found = versions.find(self.base_path) or {}
    if version not in found:
      raise ValueError(f"{self.base_path!r} has no version {version}.")
    return found[version]

  def put(self, source: str, known: Mapping) -> int:
    """Copies a SavedModel there as the newest version; returns its number.

    Versions are unix times, as TFX's Pusher has them, but for two in a second.

    Args:
      source: Folder of the SavedModel.
      known: JSON values about it; "blessed" and "infra_blessed" say so.

    Raises:
      ValueError: It has links that lead out of it.
    """
    _check_links(source)
    with self._alone():
      version = max([int(time.time()), *(n + 1 for n in self.versions())])
      aside = self._under_way(str(version))
      shutil.copytree(source, aside)
      files.sync_tree(aside)
      self._note(str(version), known)
      self._move(aside, os.path.join(self.base_path, str(version)))
    return version

  def note(self, version: int) -> str:
    """Returns the folder with what is known of a version."""
    return os.path.join(self.base_path, _KNOWN, str(version))

  def refuse(self, known: Mapping) -> str:
    """Notes that something was not blessed; returns the folder of the note."""
    with self._alone():
      return self._note(f"refused-{time.time_ns()}", known)

  def withdraw(self) -> tuple[int, int]:
    """Takes the newest version away, so that servers go back to the one before.

    Returns:
      The version that is gone, and the one that is the newest now.

    Raises:
      ValueError: There is none to go back to.
    """
    with self._alone():
      found = self.versions()
      if len(found) < 2:
        raise ValueError(
          f"{self.base_path!r} has {len(found)} versions: there is none to go "
          "back to."
        )
      newest = found[-1]
      folder = os.path.join(self.base_path, _WITHDRAWN)
      os.makedirs(folder, exist_ok=True)
      to = os.path.join(folder, str(newest))
      with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(to)
      self._move(self.path(newest), to)
    return newest, found[-2]

  def prune(self, keep: int) -> list[int]:
    """Throws all but the newest versions away; returns which.

    Args:
      keep: How many stay, at least 1.

    Raises:
      ValueError: Nothing would stay.
    """
    if keep < 1:
      raise ValueError(f"At least one version has to stay, got keep={keep}.")
    with self._alone():
      gone = self.versions()[:-keep]
      for version in gone:
        aside = self._under_way(f"pruned-{version}")
        self._move(self.path(version), aside)
        shutil.rmtree(aside)
    return gone

  @contextlib.contextmanager
  def _alone(self) -> Iterator[None]:
    """Waits for other publishers, and throws away what dead ones have left."""
    folder = os.path.join(self.base_path, _UNDER_WAY)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, _LOCK), "w") as lock:
      # Let go of when the process dies, however it does.
      fcntl.flock(lock, fcntl.LOCK_EX)
      for name in os.listdir(folder):
        if name != _LOCK:
          shutil.rmtree(os.path.join(folder, name))
      yield

  def _under_way(self, name):
    return os.path.join(self.base_path, _UNDER_WAY, name)

  def _note(self, name, known):
    """Writes what is known of a version; returns the folder."""
    aside = self._under_way(f"known-{name}")
    marks = {
      "model_blessing": "BLESSED" if known.get("blessed") else "NOT_BLESSED",
      "infra_blessing": (
        "INFRA_BLESSED" if known.get("infra_blessed") else "INFRA_NOT_BLESSED"
      ),
    }
    for folder, mark in marks.items():
      os.makedirs(os.path.join(aside, folder))
      with open(os.path.join(aside, folder, mark), "w"):
        pass
    files.write_json(os.path.join(aside, "results.json"), dict(known))
    files.sync_tree(aside)
    folder = os.path.join(self.base_path, _KNOWN)
    os.makedirs(folder, exist_ok=True)
    to = os.path.join(folder, name)
    with contextlib.suppress(FileNotFoundError):
      shutil.rmtree(to)  # Of one that was killed before its version was there.
    self._move(aside, to)
    return to

  def _move(self, path, to):
    os.rename(path, to)
    files.sync(os.path.dirname(to))


def _check_links(source):
  """Raises ValueError if a link leads out: what is there would be published."""
  inside = os.path.realpath(source)
  for parent, folders, names in os.walk(source):
    for name in (*folders, *names):
      path = os.path.join(parent, name)
      real = os.path.realpath(path)
      if os.path.commonpath([inside, real]) != inside:
        raise ValueError(
          f"{path} is a link to {real}, outside of {source}: it is not copied "
          "to where servers look. Put the file itself there, if it is meant."
        )
