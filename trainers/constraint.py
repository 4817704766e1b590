"""Learns a new constraint for a run's generator, from a rule or from labels.

    python -m trainers.constraint --run_dir=runs/mine --name=Blue_Background \
        --rule=lc_keras.constraints.face_rules:blue_background
    python -m trainers.constraint --run_dir=runs/mine --name=Pale_Skin \
        --labels=dataset:Pale_Skin --label_limit=1000
    python -m trainers.constraint --run_dir=runs/mine --name=Mine \
        --labels=mine.csv
    python -m trainers.constraint --run_dir=runs/mine --list

It can then be wished for like any attribute, and joined with them. Neither the
generator nor what else was learnt for it changes.
"""

import os

import numpy as np
import tqdm
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
  import keras

  from lc_keras import control
  from lc_keras import parts as parts_lib
  from lc_keras import plotting
  from lc_keras.constraints import rule as rule_lib
  from lc_keras.data import latent_cache
  from lc_keras.data import pipeline
  from lc_keras.generators import generator as generator_lib
  from lc_keras.learning import acquire
  from lc_keras.learning import labels as labels_lib
  from lc_keras.learning import learnt as learnt_lib
  from lc_keras.learning import trust
  from trainers import runs
  from trainers import training

_DATASET = "dataset:"
_SHOWN = 8
_PICTURE = "picture.png"


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  common_flags.define_run_flags(values)
  flags.DEFINE_string(
    "name", None, "What the constraint is called in wishes.", flag_values=values
  )
  flags.DEFINE_string(
    "rule",
    None,
    "module:function that gives each of a batch of images a number. It is code "
    "that is run.",
    flag_values=values,
  )
  flags.DEFINE_float(
    "threshold",
    None,
    "Values of the rule from here up are what is wanted; without it, and "
    "without --target_range, values must be in [0, 1].",
    flag_values=values,
  )
  flags.DEFINE_list(
    "target_range",
    None,
    "low,high: values of the rule in here are what is wanted.",
    flag_values=values,
  )
  flags.DEFINE_string(
    "labels",
    None,
    "CSV file with columns id or z0, z1, ..., value, and perhaps weight; or "
    f"{_DATASET}NAME for an attribute of the data set, also one that nothing "
    "was trained on.",
    flag_values=values,
  )
  flags.DEFINE_integer(
    "label_limit",
    None,
    "Use the first so many labels of the data set.",
    lower_bound=1,
    flag_values=values,
  )
  recipe_flags.define(values, recipes.Constraint)
  flags.DEFINE_bool(
    "replace",
    False,
    "Learn again what there is of this name already.",
    flag_values=values,
  )
  flags.DEFINE_bool(
    "list", False, "List the run's constraints instead.", flag_values=values
  )
  common_flags.define_replicas_flag(values)


def run_job(settings: flags.FlagValues) -> None:
  """Learns a constraint, or lists those that there are."""
  run = runs.open_run(settings, needs_data=False)
  parts = parts_lib.read(run.folder)
  if settings.list:
    _list(parts)
    return
  _check(settings)
  name = settings.name
  if name in learnt_lib.names(settings.run_dir) and not settings.replace:
    raise ValueError(
      f"{settings.run_dir!r} has a constraint {name!r} already. Give "
      "--replace to learn it again, or choose another --name."
    )
  learnt_lib.check_name(name)
  os.makedirs(run.path(learnt_lib.FOLDER), exist_ok=True)
  stages.lock(run.path(learnt_lib.FOLDER, f".lock-{name}"))
  files.sweep(run.path(learnt_lib.FOLDER), name)
  recipe = recipe_flags.read(settings, recipes.Constraint)
  options = {
    "strategy": training.strategy(settings.replicas),
    "callbacks": [_progress(recipe)],
  }
  if settings.rule:
    rule = rule_lib.Rule(
      settings.rule,
      settings.threshold,
      settings.target_range and tuple(map(_number, settings.target_range)),
    )
    messages.say(f"{settings.rule} is code from outside of the run, and is run")
    learnt = acquire.from_rule(
      parts, name, rule, recipe, say=messages.say, **options
    )
  else:
    learnt = _from_labels(run, parts, settings, recipe, options)
  folder = learnt_lib.write(settings.run_dir, learnt)
  _tell(learnt, folder)
  _draw(run, name, folder)


def _check(settings):
  if not settings.name:
    raise ValueError("--name is missing: what is the constraint called?")
  if bool(settings.rule) == bool(settings.labels):
    raise ValueError("Give either --rule or --labels.")
  if settings.target_range and len(settings.target_range) != 2:
    raise ValueError("--target_range is two numbers: low,high.")
  if settings.label_limit and not settings.labels.startswith(_DATASET):
    raise ValueError(
      f"--label_limit goes with --labels={_DATASET}NAME; of a file, all "
      "labels are used."
    )


def _number(text):
  try:
    return float(text)
  except ValueError as error:
    raise ValueError(f"--target_range: {text!r} is no number.") from error


def _from_labels(run, parts, settings, recipe, options):
  """Learns from a file, or from the data set, whose test split then judges."""
  path = settings.labels
  if not path.startswith(_DATASET):
    labels = labels_lib.read(path)
    source = {"file": os.path.basename(path), "sha256": files.checksum(path)}
    return acquire.from_labels(
      parts, settings.name, labels, source, recipe, **options
    )
  attribute = path.removeprefix(_DATASET)
  if run.dataset is None or not generator_lib.can_encode(parts.generator):
    raise ValueError(
      f"--labels={path}: the latents of this run are not those of images of a "
      "data set. Give a file of labels, or a --rule."
    )

  def read(split, limit=None):
    return pipeline.labels(
      run.dataset, split, attribute, data_dir=run.data_dir, limit=limit
    )

  value = read("train", settings.label_limit)
  labels = labels_lib.Labels(
    value, np.ones_like(value), ids=np.arange(len(value))
  )
  source = {"dataset": run.dataset, "attribute": attribute}
  learnt = acquire.from_labels(
    parts, settings.name, labels, source, recipe, **options
  )
  test = latent_cache.read(run.path("latents", "cache"), "test")
  learnt.manifest["test"] = trust.of_latents(learnt.model, test, read("test"))
  return learnt


def _tell(learnt, folder):
  """Says what was learnt, and how far it can be trusted."""
  messages.say(f"{learnt.name}: {_line(learnt.manifest)}")
  if not learnt.manifest["trustworthy"]:
    low = learnt.manifest["figures"]["balanced_accuracy"]["interval"][0]
    messages.say(
      f"WARNING: {learnt.name} is not to be relied on. On rows that a member "
      f"has not seen, its balanced accuracy may be as low as {low:.2f}; the "
      f"bar is {trust.BAR}. Give more labels, or more of the rarer kind."
    )
  if learnt.actor is not None:
    figures = learnt.manifest["actor"]
    told = [
      f"{name.replace('_', ' ')} {figures[name]['value']:.3f}"
      for name in ("read", "read_and_others_kept", "true")
      if name in figures
    ]
    messages.say(f"{learnt.name}: its actor's single step, {', '.join(told)}")
  messages.say(
    f"{learnt.name}: done in {learnt.manifest['seconds']:.0f} s, in {folder}"
  )


def _list(parts):
  """Prints what there is, also of another generator."""
  found = learnt_lib.names(parts.folder)
  if not found:
    print(f"{parts.folder} has no constraints yet.")
  for name in found:
    manifest = learnt_lib.read_manifest(parts.folder, name)
    foreign = manifest["generator"] != parts.fingerprint
    note = " (of another generator: cannot be used)" if foreign else ""
    print(f"{name}: {_line(manifest)}{note}")


def _line(manifest):
  figures = manifest.get("test", manifest["figures"])
  source = manifest["source"]
  origin = source.get("rule") or source.get("file") or source.get("attribute")
  told = [f"from {origin}", f"{manifest['figures']['rows']} rows"]
  for name in ("balanced_accuracy", "f1"):
    low, high = figures[name]["interval"]
    told.append(
      f"{name.replace('_', ' ')} {figures[name]['value']:.3f} "
      f"({low:.3f} to {high:.3f})"
    )
  if not manifest["trustworthy"]:
    told.append("NOT to be relied on")
  return ", ".join(told)


def _draw(run, name, folder):
  """Draws samples with and without it, and images changed both ways."""
  generator = control.ControlledGenerator(run.folder)
  wish = generator.constraint(name)
  rows = {
    "wanted": generator.sample(wish, _SHOWN).images,
    "not wanted": generator.sample(~wish, _SHOWN).images,
  }
  if run.dataset and generator_lib.can_encode(generator.parts.generator):
    batches = pipeline.load(
      run.dataset, "test", _SHOWN, data_dir=run.data_dir, limit=_SHOWN
    )
    images = next(iter(batches))["image"].numpy()
    rows["an image"] = images
    rows["with it"] = generator.transform(images, wish).images
    rows["without it"] = generator.transform(images, ~wish).images
  shown = min(map(len, rows.values()))
  picture = plotting.grid(
    np.stack([images[:shown] for images in rows.values()]),
    row_labels=list(rows),
  )
  path = os.path.join(folder, _PICTURE)
  plotting.save(picture, path)
  messages.say(f"{name}: look at {path}")


def _progress(recipe):
  """Returns a callback that shows steps, rate and time left."""
  total = recipe.all_steps + recipe.actor_steps
  bar = None

  def show(batch, logs):
    nonlocal bar
    if bar is None:
      bar = tqdm.tqdm(total=total, unit=" steps", mininterval=0.5)
    bar.update()
    if bar.n == total:
      bar.close()

  return keras.callbacks.LambdaCallback(on_train_batch_end=show)


def main() -> None:
  """Runs the job as a program."""
  program.main(define_flags, run_job, "begins again: it takes a minute")


if __name__ == "__main__":
  main()
