"""Checkpoints of a stage: written atomically, verified, the last few kept.

A checkpoint is a folder in the stage's folder, and so is the best model:

  checkpoint-<step>/
    model.weights.h5              weights and optimisers
    metrics.npz                   sums of the metrics of an unfinished epoch
    state.json                    the step, and the state given to `save`
    manifest.json                 written last: format, sizes, checksums, and
                                  the best model so far, once there is one
  best-<step>/
    best.weights.h5, model.json   the best model of the checkpoints that name it

The best model is written before the checkpoint that names it, so that no kill
can separate them; `publish` copies it to where other jobs read it. Whenever a
run is killed, the next one leaves the same files as a run without kills.
"""

import os
import re
import warnings
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from lc_keras import files
from lc_keras.models import storage
from trainers import messages

_FORMAT = 3
_MANIFEST = "manifest.json"
_STATE = "state.json"
_WEIGHTS = "model.weights.h5"
_METRICS = "metrics.npz"
_BEST_NAME = re.compile(r"best-\d+")
# At the same step, an unfinished epoch's checkpoint is the older one.
_NAME = re.compile(r"checkpoint-(\d+)(-unfinished)?")
_DAMAGED = "damaged-"


class Checkpoints:
  """The checkpoints of a stage; one process at a time may write them."""

  def __init__(self, folder: str, keep: int, *, read_only: bool = False):
    """Reads and writes nothing yet.

    Args:
      folder: The stage's folder.
      keep: Number of checkpoints to keep, at least one.
      read_only: Whether this process only restores, and another one writes.
    """
    self._folder = folder
    self._keep = keep
    self._read_only = read_only

  def restore(self, model: keras.Model) -> dict | None:
    """Loads the newest whole checkpoint, and publishes its best model.

    A damaged one is reported and renamed, and the one before it is used.

    Args:
      model: The same as when it was saved, with every optimiser built.

    Returns:
      The "step", "state" and "metrics" given to `save`; "metrics" is None at
      the end of an epoch. None if there is no checkpoint.

    Raises:
      ValueError: There are checkpoints, but none is intact.
    """
    damaged = []
    for name in reversed(self._names()):
      folder = self._path(name)
      wrong = self._damage(name)
      if wrong is None:
        break
      damaged.append(f"{folder}: {wrong}")
      messages.info(f"The checkpoint {folder} is damaged: {wrong}.")
    else:
      if not damaged:
        return None
      raise ValueError(
        "No checkpoint can be used. " + ". ".join(damaged) + ". Put back a "
        f"copy of one, or delete {self._folder!r} to begin again."
      )
    with warnings.catch_warnings():
      # Keras only warns when it cannot restore an optimiser, and would continue
      # with zeroed moments.
      warnings.filterwarnings("error", message="Skipping variable loading")
      model.load_weights(os.path.join(folder, _WEIGHTS))
    known = files.read_json(os.path.join(folder, _STATE))
    metrics = None
    if _NAME.fullmatch(name)[2]:
      path = os.path.join(folder, _METRICS)
      with np.load(path, allow_pickle=False) as stored:
        metrics = [stored[str(number)] for number in range(len(stored))]
    if not self._read_only:
      self._put_aside_after(name)
      self.publish()
    return {**known, "metrics": metrics}

  def save(
    self,
    model: keras.Model,
    step: int,
    state: Mapping,
    *,
    is_best: bool = False,
    metrics: Sequence[np.ndarray] | None = None,
  ) -> None:
    """Writes a checkpoint and publishes its best model.

    Args:
      model: The model with its optimisers.
      step: Number of steps made.
      state: JSON values.
      is_best: Whether the model is the best so far; if not, the previous
        checkpoint's best model stays the best.
      metrics: Values of `Loop.metrics`, if the epoch is unfinished.
    """
    older = self._names()
    best = self._best(older[-1]) if older else {}
    if is_best:
      best = self._save_best(model, step)
    name = f"checkpoint-{step}" + ("" if metrics is None else "-unfinished")
    with files.replacing(self._path(name)) as aside:
      os.makedirs(aside)
      storage.write_weights(model, os.path.join(aside, _WEIGHTS))
      if metrics is not None:
        arrays = {str(n): value for n, value in enumerate(metrics)}
        np.savez(os.path.join(aside, _METRICS), **arrays)
      files.write_json(
        os.path.join(aside, _STATE), {"step": step, "state": state}
      )
      files.write_json(
        os.path.join(aside, _MANIFEST),
        {"format": _FORMAT, "files": _seals(aside), "best": best},
      )
    self.publish()

  def publish(self) -> None:
    """Copies the newest checkpoint's best model to the stage's folder.

    And removes old checkpoints. `restore` calls this, too: the process that
    wrote the newest checkpoint may have been killed before it did.
    """
    names = self._names()
    best = self._best(names[-1])
    for part, seal in best.get("files", {}).items():
      both = [self._path(best["folder"], part), self._path(part)]
      wrong = {path: _deviation(path, seal) for path in both}
      if all(wrong.values()):
        raise ValueError(
          f"{both[0]} {wrong[both[0]]}. The same command goes on from the "
          "checkpoint before."
        )
      whole = min(both, key=lambda path: wrong[path] is not None)
      for path in both:
        if wrong[path]:
          files.copy(whole, path)
    # An unfinished epoch's checkpoint is kept only while it is the newest.
    ended = [name for name in names if not _NAME.fullmatch(name)[2]]
    kept = {names[-1], *ended[-self._keep :]}
    needed = {self._best(name).get("folder") for name in kept}
    for name in set(names) - kept:
      files.remove(self._path(name))
    for name in filter(_BEST_NAME.fullmatch, os.listdir(self._folder)):
      if name not in needed:
        files.remove(self._path(name))

  def _save_best(self, model, step):
    """Writes the model as the best; returns its entry for manifests."""
    name = f"best-{step}"
    with files.replacing(self._path(name)) as aside:
      storage.save(model, aside)
      return {"folder": name, "files": _seals(aside)}

  def _best(self, name):
    """Returns a checkpoint's entry of its best model; {} if unreadable."""
    try:
      return files.read_json(self._path(name, _MANIFEST))["best"]
    except (OSError, ValueError, KeyError, TypeError):
      return {}

  def _damage(self, name):
    """Describes the damage of a checkpoint; returns None if it is intact.

    Raises:
      ValueError: The checkpoint has another format.
    """
    folder = self._path(name)
    if not os.path.exists(os.path.join(folder, _MANIFEST)):
      return f"{_MANIFEST} is missing"
    try:
      manifest = files.read_json(self._path(name, _MANIFEST))
      number, known = manifest["format"], manifest["files"]
    except (ValueError, KeyError, TypeError):
      return f"{_MANIFEST} cannot be read"
    if number != _FORMAT:
      raise ValueError(
        f"The checkpoint {folder} has format {number}, and this version of "
        f"lc_keras reads {_FORMAT}. Go on with the version that wrote it, or "
        f"delete {self._folder!r} to begin again."
      )
    for part, seal in known.items():
      wrong = _deviation(os.path.join(folder, part), seal)
      if wrong:
        return f"{part} {wrong}"
    best = manifest["best"]
    for part, seal in best.get("files", {}).items():
      wrong = _deviation(self._path(best["folder"], part), seal)
      # One intact copy of the two is enough.
      if wrong and _deviation(self._path(part), seal):
        return f"{best['folder']}/{part} {wrong}"
    return None

  def _put_aside_after(self, name):
    for other in self._names():
      if _order(other) > _order(name):
        aside = self._path(_DAMAGED + other)
        files.remove(aside)
        os.replace(self._path(other), aside)
        messages.info(f"It is now {aside}; going on from {name}.")

  def _names(self):
    """Returns the names of checkpoints, oldest first."""
    names = filter(_NAME.fullmatch, os.listdir(self._folder))
    return sorted(names, key=_order)

  def _path(self, *parts):
    return os.path.join(self._folder, *parts)


def _order(name):
  step, unfinished = _NAME.fullmatch(name).groups()
  return int(step), not unfinished


def _deviation(path, seal):
  """Describes how a file differs from its seal; returns None if it does not."""
  if not os.path.exists(path):
    return "is missing"
  found = os.path.getsize(path)
  if found != seal["bytes"]:
    return f"has {found} bytes instead of {seal['bytes']}"
  if files.checksum(path) != seal["sha256"]:
    return "has another checksum than when it was written"
  return None


def _seals(folder):
  """Returns size and checksum of each file in a folder."""
  paths = {name: os.path.join(folder, name) for name in os.listdir(folder)}
  return {
    name: {"bytes": os.path.getsize(path), "sha256": files.checksum(path)}
    for name, path in paths.items()
  }
