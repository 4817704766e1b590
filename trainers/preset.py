"""Writes a preset from a run: a trained generator that is loaded by its name.

    python -m trainers.preset --run_dir=runs/mine --name=my_faces \
        --line="My faces, 64 x 64 pixels"

The generator, all models that the run has for it and some of its latents go
into lc_keras/presets/<name> in half precision, with a manifest and a picture;
the same run gives the same files. `lc_keras.preset` describes them.
"""

import os

import numpy as np
from absl import flags
from PIL import Image

from lc_keras import files
from lc_keras import preset
from trainers import messages
from trainers import program
from trainers import stages

_HALF = "float16"
# Moving averages in a model, which has the trained network as trained_<name>.
_AVERAGED = ("velocity", "actor")
_SEED = 0
_SHOWN = 8
_OF_STAGES = (stages.DONE, "log.csv")
_FIGURES = ("accuracy", "weighted_f1", "macro_f1")


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  for name, default, text in (
    ("run_dir", None, "Folder of the finished run."),
    ("name", None, "What the preset is called."),
    ("line", None, "What it is, in a line."),
    ("presets_dir", preset.PACKAGED, "Folder of presets that it goes to."),
    ("data_dir", "data", "Folder of prepared data sets."),
    ("licence", "Apache-2.0", "Licence of its files."),
  ):
    flags.DEFINE_string(
      name, default, text, flag_values=values, required=default is None
    )
  flags.DEFINE_list(
    "models",
    ["attributes", "flow", "actor_0.1", "realism", "linear", "classifier"],
    "Models to take, of those that the run has.",
    flag_values=values,
  )
  for name, default, text in (
    ("rows_train", 5000, "Latents of the training split to keep, at most."),
    ("rows_validation", 500, "The same of the validation split."),
    ("rows_test", 1000, "The same of the test split."),
    ("held_out", 12, "Pictures of the test split to keep."),
    ("megabytes", 40, "Size that the preset must not exceed."),
  ):
    flags.DEFINE_integer(name, default, text, lower_bound=1, flag_values=values)


def run_job(settings: flags.FlagValues) -> None:
  """Writes the preset, whole or not at all."""
  from trainers import runs

  files.check_name(settings.name, "a preset")
  run = runs.Run(settings.run_dir, settings.data_dir)
  folder = os.path.join(settings.presets_dir, settings.name)
  if os.path.exists(folder) and not os.path.exists(
    os.path.join(folder, preset.MANIFEST)
  ):
    raise ValueError(f"{folder!r} is no preset: choose another --name.")
  os.makedirs(settings.presets_dir, exist_ok=True)
  with files.replacing(folder) as aside:
    os.makedirs(aside)
    taken = _write_models(run, aside, settings)
    _write_latents(run, aside, settings)
    _write_about(run, aside, settings.name)
    _write_held_out(run, aside, settings.held_out)
    _write_labels(run, aside, settings.rows_train)
    _check_size(aside, settings.megabytes)
    shift = _draw(run, aside)
    manifest = _manifest(run, settings, taken, shift, _checksums(aside))
    files.write_json(os.path.join(aside, preset.MANIFEST), manifest)
    megabytes = _check_size(aside, settings.megabytes)
  messages.info(f"{folder}: {megabytes:.1f} MB")


def _check_size(folder, most):
  """Returns the megabytes in a folder; raises ValueError if above `most`."""
  sizes = {
    name: os.path.getsize(os.path.join(folder, name)) / 1e6
    for name in _checksums(folder)
  }
  total, largest = sum(sizes.values()), max(sizes, key=sizes.get)
  if total > most:
    raise ValueError(
      f"The preset would have {total:.1f} MB and may have {most}: take fewer "
      f"--models or --rows_train, or give more --megabytes. {largest} has "
      f"{sizes[largest]:.1f}."
    )
  return total


def _write_models(run, folder, settings):
  """Writes the generator and its models; returns their stages."""
  from lc_keras.generators import generator
  from lc_keras.models import storage

  taken = [generator.find(run.folder)]
  if taken[0] == generator.IMPORTED:
    raise ValueError(
      f"The generator of {settings.run_dir!r} was imported, and a preset has "
      "one of ours: a VAE or a GAN."
    )
  taken += [name for name in settings.models if name in run.parts.models]
  for name in taken:
    if stages.flags_of(run.path(name)) and not run.done(name):
      raise ValueError(
        f"The stage {name!r} of {settings.run_dir!r} is not finished. Finish "
        "it, or leave it out of --models."
      )
  made_for = None
  for name in taken:
    model = storage.load(run.path(name))
    for part in _AVERAGED:
      if trained := getattr(model, f"trained_{part}", None):
        # Only a training needs its weights; equal arrays are written once.
        trained.set_weights(getattr(model, part).get_weights())
    storage.save(model, os.path.join(folder, name), _HALF, made_for)
    _copy_notes(run, name, folder)
    made_for = made_for or generator.fingerprint(folder)
  if taken[0] == generator.REFINED:
    # It has the VAE's weights, but not the flags and log of its training.
    os.makedirs(os.path.join(folder, "vae"))
    _copy_notes(run, "vae", folder)
    taken.append("vae")
  return taken


def _copy_notes(run, stage, folder):
  """Copies a stage's flags, log and done.json."""
  lines = stages.flags_of(run.path(stage))
  if lines is not None:
    # Without paths and other flags that do not affect the result.
    kept = [line for line in lines if stages.settings_of([line])]
    path = os.path.join(folder, stage, stages.FLAGS)
    with files.replacing(path) as aside, open(aside, "w") as file:
      file.writelines(f"{line}\n" for line in kept)
  for name in _OF_STAGES:
    if os.path.exists(run.path(stage, name)):
      files.copy(run.path(stage, name), os.path.join(folder, stage, name))


def _write_latents(run, folder, settings):
  """Writes the first rows of each split."""
  from lc_keras.data import latent_cache
  from lc_keras.generators import generator

  cache, source = run.parts.cache
  source = latent_cache.read_manifest(cache, source)["source"]
  rows = {
    split: run.parts.latents[split].take(slice(settings[f"rows_{split}"].value))
    for split in run.parts.latents
  }
  os.makedirs(os.path.join(folder, "latents"))
  _copy_notes(run, "latents", folder)
  latent_cache.write(
    os.path.join(folder, "latents", "cache"),
    rows,
    {**source, "generator": generator.fingerprint(folder)},
    _HALF,
  )


def _write_about(run, folder, name):
  about = files.read_json(run.path(preset.ABOUT))
  files.write_json(
    os.path.join(folder, preset.ABOUT), {**about, "preset": name}
  )


def _write_held_out(run, folder, count):
  from lc_keras import plotting

  os.makedirs(os.path.join(folder, preset.HELD_OUT))
  for number, image in enumerate(run.held_out(count)):
    pixels = np.rint(image * 255.0).astype(np.uint8)
    plotting.save(
      Image.fromarray(pixels.squeeze()),
      os.path.join(folder, preset.HELD_OUT, f"{number:02}.png"),
    )


def _write_labels(run, folder, count):
  """Writes the kept rows' labels of attributes that no model was trained on."""
  import pandas as pd

  from lc_keras.data import pipeline

  spec = pipeline.describe(run.dataset, run.data_dir)
  known = run.attributes.names
  names = [name for name in spec.all_attributes if name not in known]
  if names:
    values = pipeline.all_labels(
      run.dataset, "train", names, data_dir=run.data_dir, limit=count
    )
    pd.DataFrame(values, columns=names).to_csv(
      os.path.join(folder, preset.LABELS), index_label="id", float_format="%g"
    )


def _draw(run, folder):
  """Draws samples; returns the largest change of a pixel by half precision."""
  from lc_keras import control
  from lc_keras import parts
  from lc_keras import plotting

  full, half = (
    control.LatentConstraints(parts.read(one)) for one in (run.folder, folder)
  )
  requests = [half.constraint(name) for name in half.attributes.names[:_SHOWN]]
  made = [half.sample(one, _SHOWN, _SEED) for one in requests]
  picture = plotting.grid(
    np.stack([one.images for one in made]),
    row_labels=list(half.attributes.names[:_SHOWN]),
  )
  plotting.save(picture, os.path.join(folder, preset.PICTURE))
  changes = [abs(full.decode(one.latents) - one.images).max() for one in made]
  return float(max(changes))


def _checksums(folder):
  paths = [
    os.path.relpath(os.path.join(place, name), folder)
    for place, _, names in os.walk(folder)
    for name in names
  ]
  return {
    path.replace(os.sep, "/"): files.checksum(os.path.join(folder, path))
    for path in sorted(paths)
  }


def _manifest(run, settings, taken, shift, checksums):
  known = {
    name: stages.settings_of(stages.flags_of(run.path(name)) or ())
    for name in [*taken, "latents"]
  }
  done = {name: run.done(name) or {} for name in taken}
  return {
    "format": 1,
    "name": settings.name,
    "line": settings.line,
    "licence": settings.licence,
    "dataset": run.dataset,
    "attributes": list(run.attributes.names),
    "seed": known[taken[0]].get("seed"),
    "commit": done[taken[0]].get("commit"),
    "seconds": {name: one.get("seconds") for name, one in done.items()},
    "flags": known,
    "figures": {
      "largest_change_by_half_precision": shift,
      "systems": _figures(run),
    },
    "files": checksums,
  }


def _figures(run):
  """Returns the figures of the run's report, by system."""
  path = run.path("report", "results.json")
  if not os.path.exists(path):
    return {}
  found = {}
  for name, one in files.read_json(path)["systems"].items():
    scores, fidelity = one.get("natural", {}), one.get("fidelity", {})
    found[name] = {key: scores[key] for key in _FIGURES if key in scores} | {
      key: value
      for key, value in fidelity.items()
      if isinstance(value, int | float)
    }
  return found


def main() -> None:
  """Runs the job as a program."""
  program.main(define_flags, run_job, "writes it again")


if __name__ == "__main__":
  main()
