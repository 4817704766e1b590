"""Measures constraints of few labels, for `trainers.label_curve`."""

import numpy as np
from absl import flags

import lc_keras
from lc_keras import recipes
from lc_keras.data import pipeline
from lc_keras.evaluation import judge as judges
from lc_keras.evaluation import protocol
from lc_keras.evaluation import scores
from lc_keras.evaluation import transformations
from lc_keras.learning import acquire
from lc_keras.learning import learned_constraints
from trainers import recipe_flags
from trainers import runs
from trainers import stages
from trainers import training

_BATCH_SIZE = 256


class Bench:
  """Held-out images, and the classifiers that judge samples and edits.

  Attributes:
    judged: Names of the attributes that the judge reads.
  """

  def __init__(self, run: runs.Run, settings: flags.FlagValues):
    """Reads the images.

    Raises:
      ValueError: The run has no such judge, or it reads the run's attributes.
    """
    self._run = run
    self._settings = settings
    self.judged = _judged(run, settings.judge)
    batches = list(
      pipeline.load(
        run.dataset, "test", _BATCH_SIZE, data_dir=run.data_dir
      ).as_numpy_iterator()
    )
    self._images, own = (
      np.concatenate([batch[key] for batch in batches])
      for key in ("image", "attributes")
    )
    self._classifier, self._judge = (
      judges.Judge(run.parts.models[stage])
      for stage in ("classifier", settings.judge)
    )
    # The classifier fills in unknown labels.
    split = protocol.Split.read(self._images, own, self._classifier)
    self._own = split.labels

  def real_images(self, attribute: str) -> dict:
    """Returns the scores of held-out images, see `attribute_scores`."""
    return self._score(attribute, self._images, self._labels(attribute, "test"))

  def measure(
    self, name: str, attribute: str, count: int
  ) -> tuple[dict, np.ndarray]:
    """Learns a constraint from labels, writes it to the run, and measures it.

    Returns:
      The figures; and samples, [2, rows, height, width, channels]: without the
      constraint and with it.
    """
    learned = acquire.from_data_set(
      self._run.parts,
      name,
      self._run.dataset,
      attribute,
      data_dir=self._run.data_dir,
      limit=count,
      recipe=recipe_flags.read(self._settings, recipes.Constraint),
      strategy=training.strategy(self._settings.replicas),
    )
    learned_constraints.write(self._run.folder, learned)
    rows, seed = self._settings.rows, self._settings.seed
    # Only this constraint: a search keeps all others that are loaded.
    control = lc_keras.load(self._run.folder, [name])
    request = control.constraint(name)
    samples = np.stack(
      [control.sample(one, rows, seed).images for one in (~request, request)]
    )

    def transform(images, targets, mask):
      one = request if targets[0, -1] else ~request
      return control.transform(images, one, seed).images

    labels = self._labels(attribute, "test")
    known = ~np.isnan(labels)
    edits = transformations.table(
      self._images[known],
      np.concatenate([self._own, labels[:, np.newaxis]], axis=1)[known],
      self._run.attributes.extended([name]),
      judges.Extended(
        self._classifier, self._judge, self.judged.index(attribute)
      ),
      lambda images: control.decode(control.encode(images, seed)),
      transform,
      rows=rows,
      switched=[name],
    )
    figures = {
      "attribute": attribute,
      "labels": count,
      "positive": int(np.nansum(self._labels(attribute, "train", count))),
      "seconds": learned.manifest["seconds"],
      "trustworthy": learned.manifest["trustworthy"],
      "critic": learned.manifest["test"],
      "actor": learned.manifest.get("actor"),
      "samples": self._score(
        attribute, np.concatenate(list(samples)), np.repeat([0.0, 1.0], rows)
      ),
      "edits": edits,
    }
    return figures, samples

  def _labels(self, attribute, split, limit=None):
    return pipeline.labels(
      self._run.dataset,
      split,
      attribute,
      data_dir=self._run.data_dir,
      limit=limit,
    )

  def _score(self, attribute, images, labels):
    read = self._judge.probabilities(images)
    read = read[:, [self.judged.index(attribute)]]
    return scores.attribute_scores(read, labels[:, np.newaxis], [attribute])


def _judged(run, judge):
  lines = stages.flags_of(run.path(judge))
  if lines is None:
    raise ValueError(
      f"{run.folder!r} has no stage {judge!r}: train it first, with `python -m "
      f"trainers.classifier --stage={judge} --attributes=...`."
    )
  names = stages.settings_of(lines).get("attributes")
  if names is None:
    raise ValueError(
      f"--judge={judge} reads attributes that all models of the run were "
      "trained on: nothing of that is new. Give a classifier with --attributes."
    )
  return names.split(",")
