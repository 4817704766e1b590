"""Scores edits and samples of faces by judges of attributes and identity.

Two kinds of judges read Smiling, Male and Young: "labels", whose readings the
critics learned from, and "independent", which gave none. Their agreement on
unedited images bounds what a score can mean.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import tensorflow as tf

from lc_keras.photo_faces import face_api
from lc_keras.photo_faces import independent
from lc_keras.photo_faces import tables

READ = ("Smiling", "Male", "Young")
JUDGES = ("labels", "independent")
_AT_ONCE = 16


class Reading:
  """Readings of judges in some images.

  Attributes:
    attributes: By judge, a frame of booleans with a row per image and a column
      per name in READ.
    identity: [n, 128], the identity vector of each.
  """

  def __init__(
    self, attributes: Mapping[str, pd.DataFrame], identity: np.ndarray
  ):
    self.attributes = attributes
    self.identity = identity

  def narrowed(self, count: int) -> "Reading":
    """Returns the reading of the first `count` images."""
    attributes = {name: one[:count] for name, one in self.attributes.items()}
    return Reading(attributes, self.identity[:count])


class Judges:
  """All judges of a data folder."""

  def __init__(self, data_dir: str = "data"):
    """Loads the networks.

    Args:
      data_dir: See `packages.folder`.
    """
    labels = [face_api.smile, face_api.male, face_api.age, face_api.identity]
    labels = [make(data_dir) for make in labels]
    self._labels = tf.function(
      lambda images: [read(images) for read in labels], autograph=False
    )
    others = [independent.smile, independent.male, independent.age]
    self._independent = [make(data_dir) for make in others]

  def __call__(self, images: np.ndarray) -> Reading:
    """Reads images, [n, 256, 256, 3] in [0, 1]."""
    parts = [
      self._labels(tf.constant(images[start : start + _AT_ONCE]))
      for start in range(0, len(images), _AT_ONCE)
    ]
    *read, identity = (np.concatenate(part) for part in zip(*parts))
    others = [judge(images) for judge in self._independent]
    return Reading(
      {
        "labels": _on(*read, tables.OLD),
        "independent": _on(*others, independent.OLD),
      },
      identity,
    )


def edit(before: Reading, after: Reading, name: str, value: int) -> dict:
  """Returns the figures of an edit, shares of images.

  Args:
    before: Reading of the images.
    after: Reading of the edited images.
    name: The requested attribute.
    value: Its requested value, 1 or 0.

  Returns:
    For each judge, "read, <judge>": the requested value is read, of the images
    in which it was not before, NaN if judges do not read the attribute; and
    "changed, <judge>": at least one other attribute reads otherwise. "same
    person": the face is that of the same person. "identity distance": the mean.
  """
  apart = np.linalg.norm(after.identity - before.identity, axis=1)
  figures = {}
  for judge in JUDGES:
    then, now = before.attributes[judge], after.attributes[judge]
    figures[f"read, {judge}"] = np.nan
    if name in READ:
      needed = then[name] != bool(value)
      read = (now[name] == bool(value))[needed]
      figures[f"read, {judge}"] = read.mean() if len(read) else np.nan
    others = [other for other in READ if other != name]
    changed = (then[others] != now[others]).any(axis=1)
    figures[f"changed, {judge}"] = changed.mean()
  figures["same person"] = (apart < face_api.SAME_PERSON).mean()
  figures["identity distance"] = apart.mean()
  return figures


def sample(made: Reading, request: Mapping[str, int]) -> dict:
  """Returns the figures of samples.

  Args:
    made: Reading of the samples.
    request: The requested values by attribute.

  Returns:
    For each judge, "read, <judge>": the share of samples in which all requested
    values of READ are read. "apart": the mean identity distance of two samples,
    and "alike": the share of pairs that are the same person.
  """
  figures = {}
  asked = pd.Series({k: bool(v) for k, v in request.items() if k in READ})
  for judge in JUDGES:
    read = made.attributes[judge][list(asked.index)] == asked
    figures[f"read, {judge}"] = read.all(axis=1).mean()
  first, second = np.triu_indices(len(made.identity), 1)
  apart = np.linalg.norm(made.identity[first] - made.identity[second], axis=1)
  figures["apart"] = apart.mean()
  figures["alike"] = (apart < face_api.SAME_PERSON).mean()
  return figures


def agreement(reading: Reading) -> dict:
  """Returns the share of images in which the two kinds of judges agree."""
  labels, others = (reading.attributes[judge] for judge in JUDGES)
  return {name: (labels[name] == others[name]).mean() for name in READ}


def _on(smile, male, age, old):
  columns = (smile > 0.5, male > 0.5, age < old)
  return pd.DataFrame(dict(zip(READ, map(np.asarray, columns))))
