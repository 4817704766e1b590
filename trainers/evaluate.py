"""Measures everything that a run can do, and writes the report.

    python -m trainers.evaluate --run_dir=runs/mine

Every sampler and baseline whose stages are finished answers the same requests
on the same held-out images; `lc_keras.evaluation.protocol` says what is
measured. What has been measured of a system is kept in report/systems, so that
an interrupted evaluation goes on with the next one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

import numpy as np
import tqdm
from absl import flags
from etils import epy

from lc_keras import files
from trainers import code_version
from trainers import common_flags
from trainers import latents as latents_job
from trainers import provenance
from trainers import runs

with epy.lazy_imports():
  from lc_keras import plotting
  from lc_keras.data import latent_cache
  from lc_keras.data import pipeline
  from lc_keras.evaluation import charts
  from lc_keras.evaluation import galleries
  from lc_keras.evaluation import judge
  from lc_keras.evaluation import protocol
  from lc_keras.evaluation import report
  from lc_keras.evaluation import systems
  from lc_keras.generators import generator
  from lc_keras.models import storage
  from trainers import contenders

_THRESHOLD = 0.5
_BATCH_SIZE = 256
_SHOWN = 8
_FOLDER = "systems"
# The first column, and the caption.
_SIDE_BY_SIDE = {
  "samples": (
    "anything",
    "Samples side by side: the attribute of the column is asked for, all else "
    "is left open; one seed.",
  ),
  "edits": (
    "recon-\nstruction",
    "Edits side by side: one held-out image, with the attribute of the column "
    "switched.",
  ),
}


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  common_flags.define_run_flags(values)
  flags.DEFINE_list(
    "systems",
    None,
    "Names of the samplers and baselines to evaluate, such as actor_0.1 or "
    "conditional_vae; all that the run has if not given.",
    flag_values=values,
  )
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
    "slow_limit",
    256,
    "The same for samplers that take some hundred steps a row.",
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
    "curve_rows",
    8,
    "The same for each point of a curve over a sampler's dial.",
    lower_bound=1,
    flag_values=values,
  )
  flags.DEFINE_integer(
    "sequence_rows",
    64,
    "Held-out images that are edited several times in a row.",
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
  chosen = _chosen(contenders.find(run), settings.systems)
  evaluation = _Evaluation(run, stage, settings)
  measured = evaluation.references()
  bar = tqdm.tqdm(chosen, desc="evaluate", unit=" systems")
  for contender in bar:
    bar.set_postfix_str(contender.name)
    measured[contender.name] = evaluation.of(contender)
  results = {
    "systems": measured,
    "figures": evaluation.overview(measured),
    "provenance": evaluation.provenance(measured),
    "seconds": {
      **runs.stage_seconds(run.folder),
      "evaluate": stage.seconds,  # Up to here; writing takes no time.
    },
  }
  report.write(stage.folder, results)
  stage.finish(systems=list(measured))
  for name, one in measured.items():
    if scores := one.get("natural"):
      runs.say(
        f"{name:16s} accuracy {scores['accuracy']:.3f}  weighted F1 "
        f"{scores['weighted_f1']:.3f}  macro F1 {scores['macro_f1']:.3f}"
      )


class _Evaluation:
  """One protocol, and a folder with what has been measured so far."""

  def __init__(self, run, stage, settings):
    self._run = run
    self._stage = stage
    self._settings = settings
    train = latent_cache.read(
      run.path("latents", "cache"), "train", latents_job.source(run)
    )
    splits = pipeline.describe(run.dataset).splits
    has_balanced = pipeline.BALANCED in splits
    self._protocol = protocol.Protocol(
      run.attributes,
      judge.Judge(storage.load(run.path("classifier"))),
      np.asarray(train.attributes),
      self._load(settings.split),
      self._load(pipeline.BALANCED) if has_balanced else None,
      # Held out as well; judges no choice that is made here.
      references=self._load("validation").images,
      sizes=protocol.Sizes(
        edits=settings.transformation_rows,
        curve_edits=settings.curve_rows,
        sequences=settings.sequence_rows,
      ),
      threshold=_THRESHOLD,
      seed=settings.seed,
    )
    # The generative model as it is.
    self._unchanged = systems.prior(generator.load(run.folder))

  def references(self) -> dict:
    """Returns the rows that everything is compared with."""
    measured = self._protocol
    natural, balanced = measured.natural, measured.balanced
    references = {
      "majority": {"title": "Majority class", **measured.majority()},
      "real": {
        "title": "Real images",
        **measured.images(natural, balanced),
      },
    }
    if self._unchanged.reconstructs:
      references["reconstruction"] = {
        "title": "Reconstructions",
        **measured.images(
          self._rebuilt(natural), balanced and self._rebuilt(balanced)
        ),
      }
    return references

  def of(self, contender: contenders.Contender) -> dict:
    """Returns what a system is worth, measured unless that has been done."""
    path = self._stage.path(_FOLDER, f"{contender.name}.json")
    weights = self._weights(contender.stages)
    if os.path.exists(path):
      with open(path, encoding="utf-8") as file:
        known = json.load(file)
      if known["weights"] == weights:
        return known
    os.makedirs(self._stage.path(_FOLDER), exist_ok=True)
    measured = report.plain(
      {
        "title": contender.title,
        "weights": weights,
        "training": self._training(contender),
        **self._measure(contender),
      }
    )
    # Last: with it, the system has been measured.
    files.write_json(path, measured)
    return measured

  def overview(self, measured: Mapping[str, Mapping]) -> dict:
    """Draws what compares systems; returns captions by file name."""
    drawn = {}
    if self._unchanged.reconstructs:
      shown = self._protocol.natural.first(_SHOWN)
      drawn["reconstructions"] = (
        "Held-out images and their reconstructions: the bound on all below.",
        plotting.before_after(
          shown.images, self._rebuilt(shown).images, scale=2
        ),
      )
    for kind, (first, caption) in _SIDE_BY_SIDE.items():
      shown = {}
      for name in measured:
        path = self._stage.path(_FOLDER, f"{name}.npz")
        if os.path.exists(path):
          with np.load(path, allow_pickle=False) as arrays:
            if kind in arrays:
              shown[measured[name]["title"]] = arrays[kind]
      if shown:
        labels = [first, *self._run.attributes.names]
        drawn[kind] = caption, galleries.side_by_side(shown, labels)
    curves = {o["title"]: o["curve"] for o in measured.values() if "curve" in o}
    if curves:
      drawn["dials"] = (
        "What a dial trades: what is asked against what is lost. The numbers "
        "are its settings.",
        charts.dials(curves),
      )
    sequences = {
      o["title"]: o["sequence"] for o in measured.values() if "sequence" in o
    }
    if sequences:
      drawn["sequences"] = (
        "Edits one after another, each of the image that the last one made, "
        "then taken back in turn: what is left is drift.",
        charts.sequences(sequences),
      )
    return self._save(drawn)

  def provenance(self, measured: Mapping[str, Mapping]) -> dict:
    """Returns what the numbers come from."""
    settings = self._settings
    weights = self._weights([generator.find(self._run.folder), "classifier"])
    for one in measured.values():
      weights |= one.get("weights", {})
    return {
      "run": self._run.folder,
      "dataset": self._run.dataset,
      "split": settings.split,
      "images": len(self._protocol.natural),
      "images of slow samplers": settings.slow_limit,
      "edits per attribute and direction": settings.transformation_rows,
      "threshold": _THRESHOLD,
      "labels of the latents": self._origin_of_labels(),
      "seed": settings.seed,
      "weights": weights,
      "versions": provenance.versions(),
      "commit": code_version.commit(),
      "hardware": provenance.hardware(),
      "data": provenance.data(self._run),
      "stages": provenance.stages(self._run),
    }

  def _origin_of_labels(self):
    if "classifier" in latents_job.source(self._run):
      return (
        "as the classifier reads them that also scores: scores say how well "
        "systems do what it sees, not how right that is"
      )
    return "the data set's"

  def _measure(self, contender):
    ours, system = self._protocol, contender.build()
    result = {}
    if system.samples:
      limit = self._settings.slow_limit if contender.slow else None
      result |= ours.samples(system, limit)
    if system.transforms:
      result["transformations"] = ours.edits(system)
      result["sequence"] = ours.sequence(system)
    gallery = galleries.draw(
      ours,
      system,
      result.get("failures", ()),
      result.get("transformations", {}).get("failures", ()),
    )
    np.savez(
      self._stage.path(_FOLDER, f"{contender.name}.npz"), **gallery.images
    )
    result["figures"] = self._save(
      {f"{kind}_{contender.name}": f for kind, f in gallery.figures.items()}
    )
    # Last: the dial stays where its curve ends.
    if contender.dial and system.transforms:
      dial = contender.dial
      result["curve"] = {
        "dial": dial.name,
        "default": dial.default,
        "points": ours.curve(system, dial.variable.assign, dial.settings),
      }
    return result

  def _training(self, contender):
    """Returns the seconds that a system took, and one more attribute would."""
    seconds = {
      stage: self._run.done(stage)["seconds"] for stage in contender.stages
    }
    return {
      "stages": seconds,
      "seconds": sum(seconds.values()),
      "new_attribute_seconds": sum(
        seconds[stage] for stage in contender.labelled_stages()
      ),
    }

  def _rebuilt(self, split):
    seeds = self._protocol.image_seeds(split.images)
    made = self._unchanged.reconstruct(split.images, seeds)
    return split.with_images(made.images)

  def _weights(self, stages):
    """Returns checksums of the stages that have weights."""
    found = {}
    for stage in stages:
      path = self._run.path(stage, storage.WEIGHTS)
      if stage in generator.STAGES:
        found[stage] = generator.fingerprint(self._run.folder)
      elif os.path.exists(path):
        found[stage] = files.checksum(path)
    return found

  def _save(self, figures):
    """Writes pictures; returns their captions by name."""
    for name, (_, picture) in figures.items():
      plotting.save(picture, self._stage.path(f"{name}.png"))
    return {name: caption for name, (caption, _) in figures.items()}

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
    columns = {
      name: np.concatenate([batch[name] for batch in batches])
      for name in batches[0]
    }
    return protocol.Split(
      columns["image"], columns["attributes"], columns.get("focus")
    )


def _chosen(found, names):
  """Returns the contenders of these names; all if none is given."""
  if names is None:
    return found
  known = {contender.name: contender for contender in found}
  for name in names:
    if name not in known:
      raise runs.UserError(
        f"--systems names {name!r}, which this run does not have; it has "
        f"{', '.join(known)}."
      )
  return [known[name] for name in names]


def main() -> None:
  """Runs the job as a program."""
  runs.main(define_flags, evaluate)


if __name__ == "__main__":
  main()
