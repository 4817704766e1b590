"""Measures an export on held-out images, through its served signatures.

As in the evaluation of a run, a pixel classifier reads samples for the labels
of held-out images, and edits of these images.
"""

import numpy as np

from lc_keras import parts as parts_lib
from lc_keras.constraints import attributes as attributes_lib
from lc_keras.data import pipeline
from lc_keras.evaluation import fidelity
from lc_keras.evaluation import judge as judge_lib
from lc_keras.evaluation import scores
from lc_keras.evaluation import transformations
from serving import server

_BATCH_SIZE = 64


class HeldOut:
  """Held-out images of a run, and its classifier."""

  def __init__(self, run_dir: str, data_dir: str, rows: int, edits: int):
    """Reads the images.

    Args:
      run_dir: The run folder.
      data_dir: Folder of prepared data sets.
      rows: Number of held-out images, and of samples.
      edits: Number of images in which each attribute is switched, for each
        direction.

    Raises:
      FileNotFoundError: The run has no classifier, or its data is missing.
      ValueError: The run has no data set.
    """
    parts = parts_lib.read(run_dir)
    dataset = parts.about["dataset"]
    if not dataset:
      raise ValueError(
        f"{run_dir!r} has no data set, so that nothing can be measured. "
        "Publish with --noevaluate."
      )
    self.attributes = parts.labels
    self._judge = judge_lib.Judge(parts.models["classifier"])
    self._edits = edits

    def load(split):
      batches = pipeline.load(
        dataset, split, rows, data_dir=data_dir, limit=rows
      )
      batch = next(batches.as_numpy_iterator())
      return batch["image"], batch["attributes"]

    self._images, self._labels = load("test")
    others, _ = load("validation")
    self._reference = self._judge.features(others)

  def measure(self, folder: str) -> dict[str, float]:
    """Returns the figures of a SavedModel.

    Args:
      folder: Folder of a SavedModel by `serving.export`.

    Returns:
      "weighted_f1", "macro_f1" and "fid" of samples and, if the model can
      change images, averages over all edits: "read", the share in which the
      classifier reads the requested value, and "others_changed", the share of
      other attributes that changed.

    Raises:
      ValueError: The model cannot be loaded, lacks an attribute, or fails.
    """
    model = _Model(folder, self.attributes)
    try:
      samples = model.images(
        "sample",
        self._labels,
        np.ones_like(self._labels),
        seed=np.arange(len(self._labels)),
      )
      read = scores.attribute_scores(
        self._judge.probabilities(samples),
        self._labels,
        self.attributes.names,
        resamples=0,
      )
      alike = fidelity.fidelity(
        self._reference, self._judge.features(samples), resamples=0
      )
      figures = {
        "weighted_f1": read["weighted_f1"],
        "macro_f1": read["macro_f1"],
        "fid": alike["fid"],
      }
      if model.transforms:
        figures |= self._edited(model)
      return figures
    finally:
      model.close()

  def _edited(self, model):
    def transform(images, targets, mask, strength=1.0):
      count = len(images)
      return model.images(
        "transform",
        targets,
        mask,
        images=np.asarray(images, np.float32),
        seed=np.arange(count),
        strength=np.full(count, strength, np.float32),
      )

    def reconstruct(images):
      nothing = np.zeros([len(images), len(self.attributes)])
      return transform(images, nothing, nothing, strength=0.0)

    table = transformations.table(
      self._images,
      self._labels,
      self.attributes,
      self._judge,
      reconstruct,
      transform,
      rows=self._edits,
      seed=0,
      resamples=0,
    )
    return {
      "read": table["mean_read"],
      "others_changed": table["mean_others_changed"],
    }


class _Model:
  """A SavedModel that takes a run's attributes in the run's order."""

  def __init__(self, folder: str, attributes: attributes_lib.Attributes):
    self._servable = server.load(folder, "candidate")
    described = self._ask("describe", row=np.zeros([1], np.int64))
    names = [n.decode() for n in described["attribute_names"][0]]
    missing = [name for name in attributes.names if name not in names]
    if missing:
      self.close()
      raise ValueError(
        f"The model in {folder!r} does not know {', '.join(missing)}, which "
        "the run with the held-out images has."
      )
    self._columns = [names.index(name) for name in attributes.names]
    self._width = len(names)
    self.transforms = "transform" in self._servable.signatures

  def close(self):
    self._servable.close()

  def images(self, signature, values, mask, **inputs):
    """Returns the images of a signature, [n, height, width, channels]."""
    inputs |= {"attributes": self._wide(values), "mask": self._wide(mask)}
    return np.concatenate(
      [
        self._ask(
          signature,
          **{key: v[i : i + _BATCH_SIZE] for key, v in inputs.items()},
        )["images"]
        for i in range(0, len(values), _BATCH_SIZE)
      ]
    )

  def _wide(self, values):
    """Moves a run's columns to those of the model; others are 0."""
    wide = np.zeros([len(values), self._width], np.float32)
    wide[:, self._columns] = values
    return wide

  def _ask(self, signature, **inputs):
    try:
      return self._servable.predict(signature, inputs)
    except server.ServingError as error:
      raise ValueError(f"{self._servable.path}: {error}") from error
