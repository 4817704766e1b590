"""The folder that servers watch: versions are added, withdrawn and pruned.

A rename adds or removes a version, so that a server sees it complete or not at
all, even if a publisher is killed. Publishers wait for each other. Servers
ignore folders whose names start with a dot:
  .publishing/          copies in progress; those of dead publishers are removed
  .published/<version>/ the note on a version: model_blessing/BLESSED and
                        infra_blessing/INFRA_BLESSED (as TFX's Evaluator and
                        InfraValidator mark models), and results.json
  .withdrawn/<version>/ versions that were rolled back
"""

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping

from lc_keras import files
from serving import server

_IN_PROGRESS = ".publishing"
_NOTES = ".published"
_WITHDRAWN = ".withdrawn"
_LOCK = "lock"


class VersionsFolder:
  """The versions of one model.

  Attributes:
    base_path: The folder that servers watch.
  """

  def __init__(self, base_path: str):
    """Opens a folder; the first version creates it."""
    self.base_path = base_path

  def versions(self) -> list[int]:
    """Returns the versions that servers see, oldest first."""
    return sorted(server.find_versions(self.base_path) or ())

  def path(self, version: int) -> str:
    """Returns the folder of a version; its name may have leading zeros.

    Raises:
      ValueError: There is no such version.
    """
    found = server.find_versions(self.base_path) or {}
    if version not in found:
      raise ValueError(f"{self.base_path!r} has no version {version}.")
    return found[version]

  def add(self, source: str, facts: Mapping) -> int:
    """Copies a SavedModel there as the newest version; returns its number.

    Versions are unix times, as in TFX's Pusher; within a second, they count up.

    Args:
      source: Folder of the SavedModel.
      facts: JSON values for its note, such as "blessed" and "infra_blessed".

    Raises:
      ValueError: It has links to files outside of the folder.
    """
    _check_links(source)
    with self._alone():
      version = max([int(time.time()), *(n + 1 for n in self.versions())])
      aside = self._aside(str(version))
      shutil.copytree(source, aside)
      files.sync_tree(aside)
      self._write_note(str(version), facts)
      self._move(aside, os.path.join(self.base_path, str(version)))
    return version

  def note(self, version: int) -> str:
    """Returns the folder of the note on a version."""
    return os.path.join(self.base_path, _NOTES, str(version))

  def refuse(self, facts: Mapping) -> str:
    """Writes a note on a model that is not added; returns its folder."""
    with self._alone():
      return self._write_note(f"refused-{time.time_ns()}", facts)

  def withdraw(self) -> tuple[int, int]:
    """Moves the newest version away, so that servers load the one before.

    Returns:
      The withdrawn version, and the newest one now.

    Raises:
      ValueError: There is no version before it.
    """
    with self._alone():
      found = self.versions()
      if len(found) < 2:
        raise ValueError(
          f"{self.base_path!r} has {len(found)} versions: there is none to go "
          "back to."
        )
      newest = found[-1]
      self._replace(self.path(newest), _WITHDRAWN, str(newest))
    return newest, found[-2]

  def prune(self, keep: int) -> list[int]:
    """Removes all but the `keep` newest versions, and returns those removed.

    Raises:
      ValueError: `keep` is less than 1.
    """
    if keep < 1:
      raise ValueError(f"At least one version has to stay, got keep={keep}.")
    with self._alone():
      gone = self.versions()[:-keep]
      for version in gone:
        aside = self._aside(f"pruned-{version}")
        self._move(self.path(version), aside)
        shutil.rmtree(aside)
    return gone

  @contextlib.contextmanager
  def _alone(self) -> Iterator[None]:
    """Locks out other publishers, and removes the copies of dead ones."""
    folder = os.path.join(self.base_path, _IN_PROGRESS)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, _LOCK), "w") as lock:
      # The system releases the lock when the process dies.
      fcntl.flock(lock, fcntl.LOCK_EX)
      for name in os.listdir(folder):
        if name != _LOCK:
          shutil.rmtree(os.path.join(folder, name))
      yield

  def _aside(self, name):
    return os.path.join(self.base_path, _IN_PROGRESS, name)

  def _write_note(self, name, facts):
    """Writes the note on a model, and returns its folder."""
    aside = self._aside(f"note-{name}")
    blessed = "BLESSED" if facts.get("blessed") else "NOT_BLESSED"
    servable = "INFRA_BLESSED"
    if not facts.get("infra_blessed"):
      servable = "INFRA_NOT_BLESSED"
    for folder, mark in (
      ("model_blessing", blessed),
      ("infra_blessing", servable),
    ):
      os.makedirs(os.path.join(aside, folder))
      with open(os.path.join(aside, folder, mark), "w"):
        pass
    files.write_json(os.path.join(aside, "results.json"), dict(facts))
    files.sync_tree(aside)
    return self._replace(aside, _NOTES, name)

  def _replace(self, path, folder, name):
    """Moves a folder, and replaces an existing one; returns the new path."""
    folder = os.path.join(self.base_path, folder)
    os.makedirs(folder, exist_ok=True)
    to = os.path.join(folder, name)
    with contextlib.suppress(FileNotFoundError):
      shutil.rmtree(to)  # A killed publisher left it.
    self._move(path, to)
    return to

  def _move(self, path, to):
    os.rename(path, to)
    files.sync(os.path.dirname(to))


def _check_links(source):
  """Raises ValueError for links to outside: a copy would publish the target."""
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
