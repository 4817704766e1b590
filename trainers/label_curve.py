"""How good a constraint gets with the number of labels, and what that costs.

    python -m trainers.classifier --flagfile=configs/toon_faces/classifier.cfg \
        --run_dir=runs/mine --stage=judge --attributes=Bangs,Pale_Skin
    python -m trainers.label_curve --run_dir=runs/mine --out=labels.json

Learns each attribute that the judge reads as a new constraint, from 100, 1,000
and 10,000 labels, and has the judge, who was trained on all labels, read what
comes of it. What has been measured already is not measured again.
"""

import json
import os
import shlex
import sys

import numpy as np
from absl import flags
from etils import epy

from lc_keras import files
from lc_keras import recipes
from trainers import common_flags
from trainers import messages
from trainers import program
from trainers import recipe_flags
from trainers import stages

with epy.lazy_imports():
  from lc_keras import control
  from lc_keras import parts as parts_lib
  from lc_keras import plotting
  from lc_keras.data import latent_cache
  from lc_keras.data import pipeline
  from lc_keras.evaluation import few_labels
  from lc_keras.evaluation import figures
  from lc_keras.evaluation import judge as judge_lib
  from lc_keras.learning import acquire
  from lc_keras.learning import labels as labels_lib
  from lc_keras.learning import learnt as learnt_lib
  from lc_keras.learning import trust
  from trainers import runs
  from trainers import training

_SHOWN = 8
_BATCH_SIZE = 256


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  common_flags.define_run_flags(values)
  flags.DEFINE_string(
    "judge",
    "judge",
    "Stage of the run with a classifier that reads attributes which nothing "
    "else in the run was trained on.",
    flag_values=values,
  )
  flags.DEFINE_list(
    "counts",
    ["100", "1000", "10000"],
    "Numbers of labels, separated by commas.",
    flag_values=values,
  )
  flags.register_validator(
    "counts",
    lambda counts: counts and all(n.isdigit() and int(n) for n in counts),
    "--counts are whole numbers from 1 up, separated by commas.",
    flag_values=values,
  )
  flags.DEFINE_integer(
    "rows",
    128,
    "Samples with and without a constraint, and edits each way.",
    lower_bound=1,
    flag_values=values,
  )
  recipe_flags.define(values, recipes.Constraint)
  common_flags.define_replicas_flag(values)
  flags.DEFINE_string(
    "out",
    None,
    "JSON file for the figures; a chart and samples are put beside it.",
    flag_values=values,
    required=True,
  )


def run_job(settings: flags.FlagValues) -> None:
  """Measures what is not measured yet, and writes all of it."""
  run = runs.open_run(settings)
  os.makedirs(run.path("label_curve"), exist_ok=True)
  stages.lock(run.path("label_curve", "lock"))
  files.sweep(run.path("label_curve"))
  curve = _Curve(run, settings)
  points, rows = [], {}
  for attribute in curve.judged:
    for count in map(int, settings.counts):
      point, samples = curve.measured(attribute, count)
      points.append(point)
      name = _name(attribute, count)
      rows |= {f"not {name}": samples[0], name: samples[1]}
  files.write_json(
    settings.out,
    {
      "command": shlex.join(
        ["python", "-m", "trainers.label_curve", *sys.argv[1:]]
      ),
      "dataset": run.dataset,
      "rows": settings.rows,
      "real images": {
        attribute: curve.real_images(attribute) for attribute in curve.judged
      },
      "points": points,
    },
  )
  stem, _ = os.path.splitext(settings.out)
  plotting.save(figures.label_curve(points), f"{stem}.png")
  grid = plotting.grid(np.stack(list(rows.values())), row_labels=list(rows))
  with files.replacing(f"{stem}_samples.jpg") as aside:
    grid.save(aside, quality=90)
  messages.say(f"Look at {stem}.png and {stem}_samples.jpg")


class _Curve:
  """A run, who judges, and what has been measured already.

  Attributes:
    judged: Names of the attributes that are learnt.
  """

  def __init__(self, run, settings):
    self._run = run
    self._settings = settings
    self._parts = parts_lib.read(run.folder)
    flagfile = run.path(settings.judge, "flags.cfg")
    if not os.path.exists(flagfile):
      raise ValueError(
        f"{run.folder!r} has no stage {settings.judge!r}: train it first, with "
        f"`python -m trainers.classifier --stage={settings.judge} "
        "--attributes=...`."
      )
    with open(flagfile, encoding="utf-8") as file:
      of_judge = stages.settings_of(file.read().splitlines())
    if "attributes" not in of_judge:
      raise ValueError(
        f"--judge={settings.judge} reads what all in the run was trained on: "
        "nothing of that is new. Give a classifier with --attributes."
      )
    self.judged = of_judge["attributes"].split(",")
    batches = list(
      pipeline.load(
        run.dataset, "test", _BATCH_SIZE, data_dir=run.data_dir
      ).as_numpy_iterator()
    )
    images, labels = (
      np.concatenate([batch[key] for batch in batches])
      for key in ("image", "attributes")
    )
    judges = (
      judge_lib.Judge(self._parts.load(stage))
      for stage in ("classifier", settings.judge)
    )
    self._protocol = few_labels.Protocol(
      images, labels, run.attributes, *judges
    )

  def real_images(self, attribute):
    """Returns how the judge reads held-out images."""
    return self._protocol.score(
      attribute,
      self.judged.index(attribute),
      self._protocol.images,
      self._labels(attribute, "test"),
    )

  def measured(self, attribute, count):
    """Returns the figures of one constraint, measured if they are not there.

    Beside them samples, [2, n, height, width, channels]: without and with it.
    """
    name = _name(attribute, count)
    path = self._run.path("label_curve", f"{name}.json")
    shown = self._run.path("label_curve", f"{name}.npy")
    if os.path.exists(path):
      with open(path, encoding="utf-8") as file:
        return json.load(file), np.load(shown, allow_pickle=False)
    messages.say(f"{name}: learning")
    learnt = self._learn(attribute, name, count)
    messages.say(f"{name}: samples and edits")
    point = {
      "attribute": attribute,
      "labels": count,
      "positive": int(self._labels(attribute, "train", count).sum()),
      "seconds": learnt.manifest["seconds"],
      "trustworthy": learnt.manifest["trustworthy"],
      "critic": learnt.manifest["test"],
      "actor": learnt.manifest.get("actor"),
    }
    made, samples = self._made(attribute, name)
    with files.replacing(shown) as aside, open(aside, "wb") as file:
      np.save(file, samples[:, :_SHOWN])
    files.write_json(path, point | made)
    return point | made, samples[:, :_SHOWN]

  def _labels(self, attribute, split, limit=None):
    return pipeline.labels(
      self._run.dataset,
      split,
      attribute,
      data_dir=self._run.data_dir,
      limit=limit,
    )

  def _learn(self, attribute, name, count):
    """Learns a constraint and keeps it in the run."""
    value = self._labels(attribute, "train", count)
    learnt = acquire.from_labels(
      self._parts,
      name,
      labels_lib.Labels(value, np.ones_like(value), ids=np.arange(len(value))),
      {"dataset": self._run.dataset, "attribute": attribute},
      recipe_flags.read(self._settings, recipes.Constraint),
      strategy=training.strategy(self._settings.replicas),
    )
    cache = self._run.path("latents", "cache")
    learnt.manifest["test"] = trust.of_latents(
      learnt.model,
      latent_cache.read(cache, "test"),
      self._labels(attribute, "test"),
    )
    learnt_lib.write(self._run.folder, learnt)
    return learnt

  def _made(self, attribute, name):
    """Returns the figures of samples and of edits, and the samples."""
    rows, seed = self._settings.rows, self._settings.seed
    # It alone: a search keeps whatever else it knows.
    generator = control.ControlledGenerator(self._run.folder, [name])
    wish = generator.constraint(name)
    column = self.judged.index(attribute)
    samples = np.stack(
      [generator.sample(wished, rows, seed).images for wished in (~wish, wish)]
    )
    figures = {
      "samples": self._protocol.score(
        attribute,
        column,
        np.concatenate(list(samples)),
        np.repeat([0.0, 1.0], rows),
      ),
      "edits": self._protocol.edits(
        name,
        column,
        self._labels(attribute, "test"),
        lambda images: generator.decode(generator.encode(images, seed)),
        lambda images, on: (
          generator.transform(images, wish if on else ~wish, seed).images
        ),
        rows,
      ),
    }
    return figures, samples


def _name(attribute, count):
  return f"{attribute}_{count}"


def main() -> None:
  """Runs the job as a program."""
  program.main(define_flags, run_job, "goes on with what is not measured yet")


if __name__ == "__main__":
  main()
