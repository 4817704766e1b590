"""Measures the systems of a run one by one, for `trainers.evaluate`."""

import os

import numpy as np
import tqdm
from absl import flags

from lc_keras import files
from lc_keras import plotting
from lc_keras.data import pipeline
from lc_keras.evaluation import figures
from lc_keras.evaluation import judge
from lc_keras.evaluation import protocol as protocol_module
from lc_keras.evaluation import report
from lc_keras.evaluation import systems
from lc_keras.generators import generator
from trainers import code_version
from trainers import messages
from trainers import provenance
from trainers import runs
from trainers import stages

_BATCH_SIZE = 256
_FOLDER = "systems"


def measure(
  run: runs.Run, stage: stages.Stage, settings: flags.FlagValues
) -> dict[str, dict]:
  """Measures systems and writes the report; returns the figures by name.

  Raises:
    ValueError: --systems names one that the run does not have.
  """
  done = [name for name in os.listdir(run.folder) if run.done(name)]
  found = _chosen(systems.candidates(run.parts, done), settings.systems)
  protocol = _protocol(run, settings)
  unchanged = systems.prior(run.parts.generator)
  measured, exhibits = protocol.references(unchanged), {}
  os.makedirs(stage.path(_FOLDER), exist_ok=True)
  bar = tqdm.tqdm(found.items(), desc="evaluate", unit=" systems")
  for name, candidate in bar:
    bar.set_postfix_str(name)
    limit = settings.slow_limit if candidate.is_slow else None
    measured[name] = _measured(run, stage, protocol, name, candidate, limit)
    path = stage.path(_FOLDER, f"{name}.npz")
    with np.load(path, allow_pickle=False) as arrays:
      exhibits[name] = dict(arrays)
  drawn = figures.of_all(protocol, unchanged, measured, exhibits)
  report.write(
    stage.folder,
    {
      "systems": measured,
      "figures": _save(stage, drawn),
      "provenance": _provenance(run, settings, protocol, measured),
      "seconds": {
        **run.seconds(),
        "evaluate": stage.seconds,  # Without the writing, which is fast.
      },
    },
  )
  return measured


def _chosen(found, names):
  """Returns the systems of these names; all if none is given."""
  unknown = [name for name in names or () if name not in found]
  if unknown:
    raise ValueError(
      f"--systems names {unknown[0]!r}, which this run does not have; it has "
      f"{', '.join(found)}."
    )
  return {name: found[name] for name in names or found}


def _protocol(run, settings):
  reader = judge.Judge(run.parts.models["classifier"])
  if run.attributes.continuous:
    messages.info(
      f"Degrees ({', '.join(run.attributes.continuous)}) are asked for and "
      "scored as on above 0.5."
    )

  def load(split):
    batches = list(
      pipeline.load(
        run.dataset,
        split,
        _BATCH_SIZE,
        data_dir=run.data_dir,
        limit=settings.limit,
      ).as_numpy_iterator()
    )
    columns = {
      name: np.concatenate([batch[name] for batch in batches])
      for name in batches[0]
    }
    return protocol_module.Split.read(
      columns["image"], columns["attributes"], reader, columns.get("focus")
    )

  has_balanced = (
    pipeline.BALANCED in pipeline.describe(run.dataset, run.data_dir).splits
  )
  return protocol_module.Protocol(
    run.attributes,
    reader,
    np.float32(run.parts.labelled("train").attributes > 0.5),
    load(settings.split),
    load(pipeline.BALANCED) if has_balanced else None,
    # Held out from training as well, and not scored here.
    references=load("validation").images,
    sizes=protocol_module.Sizes(
      unseen=min(settings.limit, protocol_module.Sizes.unseen),
      edits=settings.transformation_rows,
      curve_edits=settings.curve_rows,
      sequences=settings.sequence_rows,
    ),
    seed=settings.seed,
  )


def _measured(run, stage, protocol, name, candidate, limit):
  """Measures a system, or reads its figures if its weights are the same."""
  path = stage.path(_FOLDER, f"{name}.json")
  weights = provenance.weights(run, candidate.stages)
  if os.path.exists(path):
    known = files.read_json(path)
    if known["weights"] == weights:
      return known
  system, dial = candidate.build()
  measured = protocol.measure(system, limit, dial)
  drawn, exhibits = figures.of_system(protocol, system, measured)
  np.savez(stage.path(_FOLDER, f"{name}.npz"), **exhibits)
  drawn = {f"{kind}_{name}": figure for kind, figure in drawn.items()}
  seconds = {one: run.done(one)["seconds"] for one in candidate.stages}
  measured = report.plain(
    {
      "title": candidate.title,
      "weights": weights,
      "training": {
        "stages": seconds,
        "seconds": sum(seconds.values()),
        "new_attribute_seconds": sum(
          seconds[one] for one in candidate.labelled_stages
        ),
      },
      **measured,
      "figures": _save(stage, drawn),
    }
  )
  # Last: this file marks the system as measured.
  files.write_json(path, measured)
  return measured


def _save(stage, drawn):
  """Writes pictures; returns their captions by name."""
  for name, (_, picture) in drawn.items():
    plotting.save(picture, stage.path(f"{name}.png"))
  return {name: caption for name, (caption, _) in drawn.items()}


def _provenance(run, settings, protocol, measured):
  """Returns the origin of the numbers."""
  weights = provenance.weights(run, [generator.find(run.folder), "classifier"])
  for one in measured.values():
    weights |= one.get("weights", {})
  origin = "the data set's"
  if "classifier" in run.latents_source():
    origin = (
      "as the classifier reads them that also scores: scores say how well "
      "systems do what it sees, not how right that is"
    )
  return {
    "run": run.folder,
    "dataset": run.dataset,
    "split": settings.split,
    "images": len(protocol.natural),
    "images of slow samplers": settings.slow_limit,
    "edits per attribute and direction": settings.transformation_rows,
    "threshold": protocol.threshold,
    "degrees, on above 0.5": ", ".join(run.attributes.continuous) or None,
    "labels of the latents": origin,
    "seed": settings.seed,
    "weights": weights,
    "versions": provenance.versions(),
    "commit": code_version.commit(),
    "hardware": provenance.hardware(),
    "data": provenance.data(run),
    "stages": provenance.stages(run),
  }
