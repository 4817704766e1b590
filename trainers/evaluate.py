"""Scores a run and draws what it does: numbers, pictures, one page.

    python -m trainers.evaluate --run_dir=runs/mine

The protocol is that of Engel et al. 2018, Table 1: for every row of labels of
the held-out split a prior sample is moved, decoded and read by the pixel
classifier; and, what they did not measure, every attribute of held-out images
is switched alone.
"""

import importlib.metadata
import os
import re

import numpy as np
import tensorflow as tf
import tqdm
from absl import flags

from lc_keras import files
from lc_keras import latents
from lc_keras import version
from lc_keras.datasets import pipeline
from lc_keras.evaluation import pictures
from lc_keras.evaluation import report
from lc_keras.evaluation import scores
from lc_keras.evaluation import transformations
from lc_keras.models import storage
from trainers import common_flags
from trainers import latents as latents_job
from trainers import runs

_THRESHOLD = 0.5
_BATCH_SIZE = 256
_SHOWN = 8


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  common_flags.define_run_flags(values)
  flags.DEFINE_string(
    "split", "test", "Held-out split to score on.", flag_values=values
  )
  flags.DEFINE_integer(
    "limit",
    None,
    "Rows of the split to score on; all if not given.",
    lower_bound=1,
    flag_values=values,
  )
  flags.DEFINE_integer(
    "transformation_rows",
    256,
    "Most held-out images per attribute and direction to switch it on.",
    lower_bound=1,
    flag_values=values,
  )
  flags.DEFINE_integer(
    "seed",
    0,
    "Seed of the prior samples and of the posterior's noise.",
    lower_bound=0,
    flag_values=values,
  )


def evaluate(settings: flags.FlagValues) -> None:
  """Writes the report of a run."""
  run = runs.open_run(settings)
  stage = runs.Stage(run, "report", settings)
  if stage.done:
    return
  subject = _Subject(run, settings)
  rows = subject.rows()
  tables, figures = {}, subject.sample_figures()
  for name in subject.actors:
    tables[name] = subject.transformation_table(name)
    figures[f"transformations_{name}"] = subject.transformation_figure(name)
  results = {
    "rows": rows,
    "transformations": tables,
    "provenance": subject.provenance(),
  }
  if subject.balanced is not None:
    results["balanced"] = subject.balanced_rows()
  results["seconds"] = {
    **runs.stage_seconds(run.folder),
    "evaluate": stage.seconds,  # Up to here; writing takes no time.
  }
  report.write(stage.folder, results, figures)
  stage.finish(rows=len(subject.labels))
  for row in rows:
    runs.say(
      f"{row['name']:15s} accuracy {row['accuracy']:.3f}  "
      f"weighted F1 {row['weighted_f1']:.3f}  macro F1 {row['macro_f1']:.3f}"
    )


class _Subject:
  """The models of a run and the held-out data that they are scored on."""

  def __init__(self, run, settings):
    self._run = run
    self._settings = settings
    self._vae = storage.load(run.path("vae"))
    self._classifier = storage.load(run.path("classifier"))
    self._attribute_critic = storage.load(run.path("attributes")).critic
    self.actors = {
      name: storage.load(run.path(name)).actor for name in _actors(run.folder)
    }
    if not self.actors:
      raise runs.UserError(
        f"No actor in {run.folder!r}: train one first, with "
        "`python -m trainers.actor` and the same --run_dir."
      )
    self._names = run.attributes.names
    self._images, self.labels, _ = self._load(settings.split)
    splits = pipeline.describe(run.dataset).splits
    self.balanced = self._load("balanced") if "balanced" in splits else None
    self._prior = np.asarray(
      tf.random.stateless_normal(
        [len(self.labels), self._vae.latent_size], (settings.seed, 1)
      )
    )
    self._decode = _compiled(lambda z: self._vae.decode(z).mean())
    self._read = _compiled(lambda x: tf.sigmoid(self._classifier(x)))
    self._features = _compiled(self._classifier.features)
    # A draw of the posterior per image, the same every time.
    self._encode = _compiled(
      lambda x: self._vae.encode(x).sample(seed=(settings.seed, 2))
    )
    self._own = _compiled(
      lambda z: tf.cast(self._attribute_critic(z) > 0.0, tf.float32)
    )
    self._moves = {
      name: _compiled(actor) for name, actor in self.actors.items()
    }

  def rows(self):
    """Returns Table 1: one row of scores per kind of image."""
    train = latents.read(
      self._run.path("latents", "cache"), "train", latents_job.source(self._run)
    )
    rows = [
      {
        "name": "majority",
        **scores.majority_scores(train.attributes, self.labels, self._names),
      }
    ]
    kinds = {
      "real": lambda: self._images,
      "reconstruction": lambda: self._decode(self._encode(self._images)),
      "prior": lambda: self._decode(self._prior),
    }
    for name in self.actors:
      kinds[name] = lambda name=name: self._decode(
        self._moves[name](self._prior, self.labels)
      )
    for name, make in tqdm.tqdm(kinds.items(), desc="scores"):
      probabilities = self._read(make())
      rows.append(
        {
          "name": name,
          **scores.attribute_scores(
            probabilities, self.labels, self._names, _THRESHOLD
          ),
        }
      )
    return rows

  def balanced_rows(self):
    """Returns the rows of the split in which rare attributes are frequent."""
    images, labels, focus = self.balanced
    kinds = {
      "real": images,
      "reconstruction": self._decode(self._encode(images)),
    }
    prior = np.resize(self._prior, [len(labels), self._vae.latent_size])
    for name in self.actors:
      kinds[name] = self._decode(self._moves[name](prior, labels))
    return [
      {
        "name": name,
        **scores.balanced_scores(
          self._read(made), labels, focus, self._names, _THRESHOLD
        ),
      }
      for name, made in kinds.items()
    ]

  def transformation_table(self, actor):
    """Returns what happens when one attribute of a held-out image is asked."""
    runs.say(f"switching every attribute on and off with {actor}")
    return transformations.table(
      self._images,
      self.labels,
      self._run.attributes,
      rows=self._settings.transformation_rows,
      threshold=_THRESHOLD,
      seed=self._settings.seed,
      features=self._features,
      **self._functions(actor),
    )

  def transformation_figure(self, actor):
    """Returns held-out images with each attribute switched, and a caption."""
    sheet = transformations.sheet(
      self._images[:_SHOWN],
      self.labels[:_SHOWN],
      self._run.attributes,
      threshold=_THRESHOLD,
      **self._functions(actor),
    )
    caption = (
      f"Held-out images, each attribute switched alone by {actor}. A frame "
      "marks what the classifier does not read as asked."
    )
    return caption, pictures.transformations(**sheet, scale=2)

  def sample_figures(self):
    """Returns pictures of reconstructions and conditional samples."""
    shown = self._images[:_SHOWN]
    figures = {
      "reconstructions": (
        "Held-out images and their reconstructions: the bound on all below.",
        pictures.before_after(
          shown, self._decode(self._encode(shown)), scale=2
        ),
      )
    }
    prior = self._prior[:_SHOWN]
    base = np.zeros([_SHOWN, len(self._names)], np.float32)
    base[:] = np.round(self.labels.mean(axis=0))
    for actor in self.actors:
      conditions, samples, read = ["prior sample"], [self._decode(prior)], []
      read.append(np.ones(_SHOWN, bool))
      for column, name in enumerate(self._names):
        for on in (True, False):
          wanted, _ = self._run.attributes.request(base, name, on)
          samples.append(self._decode(self._moves[actor](prior, wanted)))
          conditions.append(name if on else f"not {name}")
          read.append((self._read(samples[-1])[:, column] > _THRESHOLD) == on)
      figures[f"samples_{actor}"] = (
        f"Conditional samples of {actor}: rows are conditions, columns the "
        "same prior samples.",
        pictures.conditional_samples(
          np.stack(samples), conditions, np.stack(read), scale=2
        ),
      )
    return figures

  def provenance(self):
    """Returns what the numbers come from."""
    weights = {
      name: files.checksum(self._run.path(name, storage.WEIGHTS))
      for name in ("vae", "classifier", "attributes", *self.actors)
    }
    packages = ("tensorflow", "keras", "tensorflow-probability")
    return {
      "run": self._run.folder,
      "dataset": self._run.dataset,
      "split": self._settings.split,
      "images": len(self.labels),
      "threshold": _THRESHOLD,
      "seed": self._settings.seed,
      "weights": weights,
      "versions": {
        "lc_keras": version.__version__,
        **{name: importlib.metadata.version(name) for name in packages},
      },
    }

  def _load(self, split):
    batches = list(
      pipeline.load(
        self._run.dataset,
        split,
        _BATCH_SIZE,
        data_dir=self._run.data_dir,
        limit=self._settings.limit,
      )
    )

    def column(name):
      return np.concatenate([batch[name] for batch in batches])

    focus = column("focus") if "focus" in batches[0] else None
    return column("image"), column("attributes"), focus

  def _functions(self, actor):
    """Returns how a served `transform` does it: from the image alone."""

    def transform(images, targets, asked):
      start = self._encode(images)
      own = self._own(start)
      mask = np.broadcast_to(asked, targets.shape).astype(np.float32)
      wanted = self._run.attributes.complete(own, targets, mask)
      return self._decode(self._moves[actor](start, wanted.numpy()))

    return {
      "reconstruct": lambda images: self._decode(self._encode(images)),
      "transform": transform,
      "classify": self._read,
    }


def _actors(run_dir):
  """Returns the names of a run's actors, the smallest lambda_dist first."""
  names = [
    name
    for name in os.listdir(run_dir)
    if re.fullmatch(r"actor_[0-9.e+-]+", name)
    and os.path.exists(os.path.join(run_dir, name, storage.WEIGHTS))
  ]
  return sorted(names, key=lambda name: float(name.removeprefix("actor_")))


def _compiled(function):
  """Turns a function of tensors into one of arrays, applied part by part."""
  graph = tf.function(function, autograph=False, reduce_retracing=True)

  def apply(*arrays):
    parts = [
      graph(*(tf.constant(a[i : i + _BATCH_SIZE]) for a in arrays)).numpy()
      for i in range(0, len(arrays[0]), _BATCH_SIZE)
    ]
    return np.concatenate(parts)

  return apply


def main() -> None:
  """Runs the job as a program."""
  runs.main(define_flags, evaluate)


if __name__ == "__main__":
  main()
