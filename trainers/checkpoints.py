"""Checkpoints of a stage: each whole or not there, verified, the last few kept.

A checkpoint is a folder `checkpoint-<step>` in the stage's folder:

  model.weights.h5              weights and optimisers
  best.weights.h5, model.json   the best model so far, once there is one
  metrics.npz                   sums of the metrics of an unfinished epoch
  state.json                    the step, and the state that was to be saved
  manifest.json                 written last: format, sizes and checksums

The best is in it, so that no kill can part the two; `publish` puts it where
other jobs look for it, and whatever instant a kill comes at, what is left after
the next run is what a run without kills leaves.
"""

import json
import os
import re
import warnings
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from lc_keras import files
from lc_keras.models import storage
from trainers import messages

_FORMAT = 2
_MANIFEST = "manifest.json"
_STATE = "state.json"
_WEIGHTS = "model.weights.h5"
_METRICS = "metrics.npz"
_BEST = (storage.WEIGHTS, storage.DESCRIPTION)
# A step's own checkpoint follows the one made there before its epoch ended.
_NAME = re.compile(r"checkpoint-(\d+)(-unfinished)?")
_DAMAGED = "damaged-"


class Checkpoints:
  """The checkpoints of a stage, which one process at a time writes."""

  def __init__(self, folder: str, keep: int, *, read_only: bool = False):
    """Looks at what there is.

    Args:
      folder: The stage's folder.
      keep: How many to keep, at least one.
      read_only: Whether another process writes them, so that this one only
        restores them.
    """
    self._folder = folder
    self._keep = keep
    self._read_only = read_only

  def restore(self, model: keras.Model) -> dict | None:
    """Loads the newest whole checkpoint, and publishes its best model.

    A damaged one is named and put aside, and the one before it is used.

    Args:
      model: As when it was saved, with every optimiser built.

    Returns:
      The "step", "state" and "metrics" that `save` was given; the last is None
      if an epoch had just ended. None if there is no checkpoint.

    Raises:
      ValueError: There are checkpoints, but none that can be used.
    """
    damaged = []
    for name in reversed(self._names()):
      folder = self._path(name)
      wrong = _damage(folder)
      if wrong is None:
        break
      damaged.append(f"{folder}: {wrong}")
      messages.say(f"The checkpoint {folder} is damaged: {wrong}.")
    else:
      if not damaged:
        return None
      raise ValueError(
        "No checkpoint can be used. " + ". ".join(damaged) + ". Put back a "
        f"copy of one, or delete {self._folder!r} to begin again."
      )
    with warnings.catch_warnings():
      # Keras only warns when it cannot restore an optimiser, and would go on
      # from zeroed moments.
      warnings.filterwarnings("error", message="Skipping variable loading")
      model.load_weights(os.path.join(folder, _WEIGHTS))
    known = _read_json(folder, _STATE)
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
      model: With its optimisers.
      step: Steps that it has made.
      state: JSON values.
      is_best: Whether the model is the best so far. Otherwise the best stays
        that of the checkpoint before.
      metrics: Sums of the metrics of an epoch that has not ended.
    """
    older = self._names()
    name = f"checkpoint-{step}" + ("" if metrics is None else "-unfinished")
    with files.replacing(self._path(name)) as aside:
      os.makedirs(aside)
      storage.write_weights(model, os.path.join(aside, _WEIGHTS))
      if is_best:
        storage.save(model, aside)
      elif older:
        for part in _BEST:
          if os.path.exists(self._path(older[-1], part)):
            files.copy(self._path(older[-1], part), os.path.join(aside, part))
      if metrics is not None:
        arrays = {str(n): value for n, value in enumerate(metrics)}
        np.savez(os.path.join(aside, _METRICS), **arrays)
      files.write_json(
        os.path.join(aside, _STATE), {"step": step, "state": state}
      )
      written = {
        part: _seal(os.path.join(aside, part)) for part in os.listdir(aside)
      }
      files.write_json(
        os.path.join(aside, _MANIFEST), {"format": _FORMAT, "files": written}
      )
    self.publish()

  def publish(self) -> None:
    """Makes the stage's best model that of the newest checkpoint.

    And removes the checkpoints that are not kept. Whoever restores does so,
    too: the one that wrote the newest may have been killed before.
    """
    names = self._names()
    newest = names[-1]
    known = _read_json(self._path(newest), _MANIFEST)["files"]
    for part in _BEST:
      path = self._path(part)
      if part in known and not (
        os.path.exists(path) and _seal(path) == known[part]
      ):
        files.copy(self._path(newest, part), path)
    # One within an epoch is needed for as long as it is the newest.
    ended = [name for name in names if not _NAME.fullmatch(name)[2]]
    for name in set(names) - {newest, *ended[-self._keep :]}:
      files.remove(self._path(name))

  def _put_aside_after(self, name):
    for other in self._names():
      if _order(other) > _order(name):
        aside = self._path(_DAMAGED + other)
        files.remove(aside)
        os.replace(self._path(other), aside)
        messages.say(f"It is now {aside}; going on from {name}.")

  def _names(self):
    """Returns the names of checkpoints, oldest first."""
    names = filter(_NAME.fullmatch, os.listdir(self._folder))
    return sorted(names, key=_order)

  def _path(self, *parts):
    return os.path.join(self._folder, *parts)


def _order(name):
  step, unfinished = _NAME.fullmatch(name).groups()
  return int(step), not unfinished


def _damage(folder):
  """Returns what is wrong with a checkpoint; None if nothing is.

  Raises:
    ValueError: It is whole, but of another format.
  """
  if not os.path.exists(os.path.join(folder, _MANIFEST)):
    return f"{_MANIFEST} is missing"
  try:
    manifest = _read_json(folder, _MANIFEST)
    number, known = manifest["format"], manifest["files"]
  except (ValueError, KeyError, TypeError):
    return f"{_MANIFEST} cannot be read"
  if number != _FORMAT:
    raise ValueError(
      f"The checkpoint {folder} has format {number}, and this version of "
      f"lc_keras reads {_FORMAT}. Go on with the version that wrote it, or "
      f"delete {os.path.dirname(folder)!r} to begin again."
    )
  for part, seal in known.items():
    path = os.path.join(folder, part)
    if not os.path.exists(path):
      return f"{part} is missing"
    found = os.path.getsize(path)
    if found != seal["bytes"]:
      return f"{part} has {found} bytes instead of {seal['bytes']}"
    if _seal(path) != seal:
      return f"{part} has another checksum than when it was written"
  return None


def _seal(path):
  return {"bytes": os.path.getsize(path), "sha256": files.checksum(path)}


def _read_json(*path):
  with open(os.path.join(*path), encoding="utf-8") as file:
    return json.load(file)
