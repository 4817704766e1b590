"""Writes the models of a run as a SavedModel that any TF Serving can load.

  python -m serving.export --run_dir=runs/demo

Every export is a new version, a folder named by a number: a server that
watches the parent takes the highest. It appears there whole and checked, or
not at all.
"""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
import os
import sys
import time

from absl import app
from absl import flags
from absl import logging
from etils import epy

from lc_keras import files

with epy.lazy_imports():
  import tensorflow as tf

  from lc_keras import parts as parts_lib
  from lc_keras.generators import generator
  from lc_keras.learning import learnt
  from lc_keras.models import storage
  from lc_keras.samplers import scaled
  from lc_keras.samplers import table
  from serving import endpoints
  from serving import server
  from serving import validation

MANIFEST = os.path.join("assets.extra", "manifest.json")
_LIBRARIES = ("keras", "numpy", "tensorflow", "tensorflow-probability")


def load_models(
  run_dir: str,
  sample_actor: str | None = None,
  transform_actor: str | None = None,
) -> endpoints.Models:
  """Loads what a run has trained, and the constraints that it has learnt.

  Args:
    run_dir: The run folder.
    sample_actor: Stage in it with the actor and critic of `sample`; `score`
      asks this critic. None is `parts.ACTOR`; a run without it has its flow
      answer, or its generative model as it is and a search.
    transform_actor: The same for `transform`; the samplers without an actor
      ask this critic.

  Raises:
    FileNotFoundError: A stage of the run is missing, or there is nothing to
      ask for.
    ValueError: A stage is damaged, or belongs to another run; a constraint is
      of another generator; or the generative model is a function of Python,
      which no server can run.
  """
  parts = parts_lib.read(run_dir)
  if not getattr(parts.generator, "exportable", True):
    raise ValueError(
      f"The generative model of {run_dir!r} is a Python function that works on "
      "arrays: a model server runs no Python. Import a SavedModel of it."
    )
  for reason in parts.refused.values():
    raise ValueError(reason)
  if not len(parts.attributes):
    raise FileNotFoundError(
      f"Nothing can be asked of {run_dir!r}: it has no attribute critic and no "
      "constraints. Train one with `python -m trainers.attributes`, or learn "
      "one with `python -m trainers.constraint`."
    )
  for stage in filter(None, (sample_actor, transform_actor)):
    if stage not in parts.models:
      raise FileNotFoundError(f"{run_dir!r} has no trained stage {stage!r}.")
  transform_actor = transform_actor or parts_lib.ACTOR
  moves = parts.build_sampler(actor=transform_actor)
  return endpoints.Models(
    generator=parts.generator,
    sampler=parts.build_sampler(actor=sample_actor or parts_lib.ACTOR),
    transformer=functools.partial(scaled.Scaled, moves),
    others={
      name: parts.build_sampler(name, critic=transform_actor)
      for name in parts.available()
      if table.SAMPLERS[name].is_exported
    },
  )


def export(
  run_dir: str,
  export_dir: str,
  version: int | None = None,
  sample_actor: str | None = None,
  transform_actor: str | None = None,
) -> str:
  """Writes one version and returns its folder.

  Args:
    run_dir: The run folder.
    export_dir: Where the versions are.
    version: Its number; None takes the next.
    sample_actor: Folder in the run with the actor and critic of `sample`.
    transform_actor: The same for `transform`.

  Raises:
    FileNotFoundError: A stage of the run is missing.
    ValueError: A stage is damaged, or the version exists.
  """
  version = _free_version(export_dir, version)
  folder = os.path.join(export_dir, str(version))
  print(f"Loading the models of {run_dir}", flush=True)
  models = load_models(run_dir, sample_actor, transform_actor)
  signatures = endpoints.build(models)
  os.makedirs(export_dir, exist_ok=True)
  with files.replacing(folder) as aside:
    module, traced = tf.Module(), {}
    for name, (function, signature) in signatures.items():
      print(f"Tracing {name}", flush=True)
      traced[name] = tf.function(
        function, signature, autograph=False
      ).get_concrete_function()
      # Traced once and for all: a `tf.function` would be again when saved.
      setattr(module, name, traced[name])
    module.weights = list(
      {id(v): v for call in traced.values() for v in call.variables}.values()
    )
    print(f"Writing version {version}", flush=True)
    # For clients that name no signature.
    default = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
    first = next(iter(traced.values()))
    tf.saved_model.save(module, aside, signatures={default: first, **traced})
    os.makedirs(os.path.join(aside, os.path.dirname(MANIFEST)))
    files.write_json(
      os.path.join(aside, MANIFEST),
      _manifest(run_dir, models, signatures, sample_actor, transform_actor),
    )
    validation.record(
      aside,
      {name: (traced[name], specs) for name, (_, specs) in signatures.items()},
    )
    print("Checking that a server can load and run it", flush=True)
    validation.check(aside)
    # Somebody else may have written this version in the meantime.
    _free_version(export_dir, version)
  return folder


def _free_version(export_dir, version):
  taken = server.find_versions(export_dir) or {}
  if version is None:
    return max(taken, default=0) + 1
  if version in taken:
    raise ValueError(
      f"Version {version} exists already in {export_dir!r}, and servers may be "
      f"using it. Leave --version out to write {max(taken) + 1}."
    )
  return version


def _manifest(run_dir, models, signatures, sample_actor, transform_actor):
  """Returns what one should know about an export, as JSON."""
  parts = parts_lib.read(run_dir)
  libraries = {name: importlib.metadata.version(name) for name in _LIBRARIES}
  sample_actor = sample_actor or parts_lib.ACTOR
  transform_actor = transform_actor or parts_lib.ACTOR
  stages = [
    "attributes",
    "realism",
    "flow",
    "linear",
    sample_actor,
    transform_actor,
  ]
  return {
    "run": os.path.abspath(run_dir),
    "dataset": parts.about["dataset"],
    "attributes": models.attributes.names,
    "exclusive": models.attributes.exclusive,
    "continuous": models.attributes.continuous,
    "image_shape": models.generator.image_shape,
    "latent_size": models.generator.latent_size,
    "sample_actor": sample_actor if sample_actor in parts.models else None,
    "transform_actor": transform_actor
    if transform_actor in parts.models
    else None,
    "weights_sha256": {
      generator.find(run_dir): parts.fingerprint,
      **{
        stage: files.checksum(os.path.join(run_dir, stage, storage.WEIGHTS))
        for stage in filter(parts.models.__contains__, dict.fromkeys(stages))
      },
    },
    "constraints": {
      name: learnt.read_manifest(run_dir, name)
      for name in learnt.names(run_dir)
    },
    "libraries": libraries,
    "signatures": {
      name: inspect.getdoc(function)
      for name, (function, _) in signatures.items()
    },
  }


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags; not on import, since other programs share names."""
  flags.DEFINE_string(
    "run_dir",
    None,
    "Folder of the run whose models are exported.",
    flag_values=values,
    required=True,
  )
  flags.DEFINE_string(
    "export_dir",
    None,
    "Folder of the versions; by default `export` in the run folder.",
    flag_values=values,
  )
  flags.DEFINE_integer(
    "version",
    None,
    "Number of the version to write; by default the next.",
    lower_bound=0,
    flag_values=values,
  )
  flags.DEFINE_string(
    "sample_actor",
    None,
    "Stage of the run whose actor answers `sample`, and whose critic answers "
    "`score`; by default actor_0.1, or what there is without one.",
    flag_values=values,
  )
  flags.DEFINE_string(
    "transform_actor",
    None,
    "Stage of the run whose actor answers `transform`, and whose critic "
    "guides the samplers that have no actor; by default the same.",
    flag_values=values,
  )


def _run(argv):
  if len(argv) > 1:
    raise app.UsageError(f"Not a flag: {' '.join(argv[1:])}")
  args = flags.FLAGS
  started = time.monotonic()
  logging.set_verbosity(logging.ERROR)
  try:
    folder = export(
      args.run_dir,
      args.export_dir or os.path.join(args.run_dir, "export"),
      args.version,
      args.sample_actor,
      args.transform_actor,
    )
  except (FileNotFoundError, ValueError) as error:
    sys.exit(f"Error: {error}")
  print(f"{folder}: done in {time.monotonic() - started:.0f} s", flush=True)


def main() -> None:
  """Runs the program."""
  define_flags(flags.FLAGS)
  app.run(_run)


if __name__ == "__main__":
  main()
