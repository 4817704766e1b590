"""Learns new constraints for a run's generator, from rules or from labels.

    python -m trainers.constraint --run_dir=runs/mine --name=Blue_Background \
        --rule=lc_keras.constraints.face_rules:blue_background
    python -m trainers.constraint --run_dir=runs/mine --name=Smiling \
        --rule=classifier.keras --rule_class=3
    python -m trainers.constraint --run_dir=runs/mine --name=Mine \
        --like=pictures/these --unlike=pictures/those
    python -m trainers.constraint --run_dir=runs/mine --name=Pale_Skin \
        --labels=dataset:Pale_Skin --label_limit=1000
    python -m trainers.constraint --run_dir=runs/mine --name=Mine \
        --labels=mine.csv
    python -m trainers.constraint --run_dir=runs/mine --list

Requests can then name the constraint like any attribute. The generator and its
other models stay unchanged. Several rules can share one set of images: repeat
--name, and the flags that differ.
"""

import os

from absl import flags

from lc_keras import files
from lc_keras import recipes
from trainers import common_flags
from trainers import messages
from trainers import program
from trainers import recipe_flags
from trainers import stages

_DATASET = "dataset:"
_SHOWN = 8
_PICTURE = "picture.png"


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  # Without the data set's --labels: this job has a flag of that name.
  common_flags.define_run_flags(values, begins=False)
  flags.DEFINE_multi_string(
    "name", [], "What the constraint is called in requests.", flag_values=values
  )
  recipe_flags.define(values, recipes.Rule, several=True)
  flags.DEFINE_string(
    "labels",
    None,
    "CSV, TSV, parquet or JSON-lines file with columns file_name, id or z0, "
    "z1, ..., a column value or one called as --name, and perhaps weight; or "
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
  for name, text in (
    ("replace", "Learn the constraint again if the run has it already."),
    ("list", "List the run's constraints instead."),
  ):
    flags.DEFINE_bool(name, False, text, flag_values=values)
  common_flags.define_replicas_flag(values)


def run_job(settings: flags.FlagValues) -> None:
  """Learns constraints, or lists those of the run."""
  from lc_keras import parts as run_parts
  from lc_keras.learning import constraint_names
  from lc_keras.learning import learned_constraints
  from trainers import runs

  run = runs.open_run(settings, needs_data=False)
  parts = run_parts.read(run.folder)
  if settings.list:
    _list(parts)
    return
  _check(settings)
  folder = run.path(constraint_names.FOLDER)
  for name in settings.name:
    if name in constraint_names.names(run.folder) and not settings.replace:
      raise ValueError(
        f"{settings.run_dir!r} has a constraint {name!r} already. Give "
        "--replace to learn it again, or choose another --name."
      )
    constraint_names.check_name(name)
    # In the run's folder: a refused constraint leaves no folder of its own.
    stages.lock(run.path(f".lock-{name}"))
    if os.path.isdir(folder):
      files.sweep(folder, name)
  for learned in _learn(run, parts):
    place = learned_constraints.write(run.folder, learned)
    _tell(learned, place)
    path = os.path.join(place, _PICTURE)
    _draw(run, learned.name, path)
    messages.info(f"{learned.name}: look at {path}")


def _check(settings):
  if not settings.name:
    raise ValueError("--name is missing: what is the constraint called?")
  if settings.labels and len(settings.name) > 1:
    raise ValueError("From --labels, one constraint is learned at a time.")
  if settings.label_limit and not (settings.labels or "").startswith(_DATASET):
    raise ValueError(
      f"--label_limit goes with --labels={_DATASET}NAME; of a file, all "
      "labels are used."
    )


def _learn(run, parts):
  """Learns and yields the constraints of the flags."""
  from lc_keras import progress
  from lc_keras.learning import acquire
  from lc_keras.learning import labels as label_files
  from lc_keras.learning.rules import kinds
  from trainers import training

  settings = run.settings
  options = {
    "recipe": recipe_flags.read(settings, recipes.Constraint),
    "strategy": training.strategy(settings.replicas),
    "progress": progress.Progress(verbose=True),
  }
  asked = recipe_flags.read_several(settings, recipes.Rule, len(settings.name))
  if not settings.labels:
    for place in settings.rule or settings.image_text or ():
      messages.info(
        f"This runs {place}: take rules only from people whom you trust."
      )
    rules = {
      name: kinds.make(rule, parts) for name, rule in zip(settings.name, asked)
    }
    yield from acquire.from_rules(parts, rules, **options)
    return
  if any(rule != recipes.Rule() for rule in asked):
    raise ValueError("Give either --labels or a rule.")
  (name,), path = settings.name, settings.labels
  if path.startswith(_DATASET):
    if run.dataset:
      run.prepare_data()
    yield acquire.from_data_set(
      parts,
      name,
      run.dataset,
      path.removeprefix(_DATASET),
      data_dir=run.data_dir,
      limit=settings.label_limit,
      **options,
    )
    return
  labels = label_files.read(path, name)
  source = {"file": os.path.basename(path), "sha256": files.checksum(path)}
  if labels.files is not None and run.encodes:
    parts.files = run.file_names("train")
  yield acquire.from_labels(parts, name, labels, source, **options)


def _tell(learned, folder):
  """Prints the figures of a constraint, and warns if it is not trustworthy."""
  from lc_keras.learning import calibration
  from lc_keras.learning import learned_constraints

  name, manifest = learned.name, learned.manifest
  messages.info(f"{name}: {learned_constraints.summary(manifest)}")
  if not manifest["trustworthy"]:
    low = manifest["figures"]["balanced_accuracy"]["interval"][0]
    messages.info(
      f"WARNING: {name} is not to be relied on. On rows that a member has not "
      f"seen, its balanced accuracy may be as low as {low:.2f}; the bar is "
      f"{calibration.BAR}. Give more labels, or more of the rarer kind."
    )
  if learned.actor is not None:
    figures = manifest["actor"]
    told = [
      f"{name.replace('_', ' ')} {figures[name]['value']:.3f}"
      for name in ("read", "read_and_others_kept", "true")
      if name in figures
    ]
    messages.info(f"{name}: its actor's single step, {', '.join(told)}")
  messages.info(f"{name}: done in {manifest['seconds']:.0f} s, in {folder}")


def _list(parts):
  """Prints the constraints of a run, including those of another generator."""
  from lc_keras.learning import constraint_names
  from lc_keras.learning import learned_constraints

  found = constraint_names.names(parts.folder)
  if not found:
    print(f"{parts.folder} has no constraints yet.")
  for name in found:
    manifest = learned_constraints.read_manifest(parts.folder, name)
    foreign = manifest["generator"] != parts.fingerprint
    note = " (of another generator: cannot be used)" if foreign else ""
    print(f"{name}: {learned_constraints.summary(manifest)}{note}")


def _draw(run, name, path):
  """Draws samples with and without the constraint, and edits both ways."""
  from lc_keras import control
  from lc_keras import plotting

  controlled = control.load(run.folder)
  wanted = controlled.constraint(name)
  rows = {
    name: controlled.sample(wanted, _SHOWN).images,
    f"not {name}": controlled.sample(~wanted, _SHOWN).images,
  }
  if run.dataset and controlled.parts.encode:
    images = run.held_out(_SHOWN)
    rows["an image"] = images
    rows[f"made {name}"] = controlled.transform(images, wanted).images
    rows[f"made not {name}"] = controlled.transform(images, ~wanted).images
  shown = min(map(len, rows.values()))
  plot = getattr(controlled.generator, "plot", None)
  grid = plotting.picture_rows([one[:shown] for one in rows.values()], plot)
  plotting.save(plotting.grid(grid, row_labels=list(rows)), path)


def main() -> None:
  """Runs the job as a program."""
  program.main(define_flags, run_job, "begins again: it takes a minute")


if __name__ == "__main__":
  main()
