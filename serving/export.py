"""Writes the models of a run as a SavedModel that any TF Serving can load.

  python -m serving.export --run_dir=runs/demo

Every export is a new version, a folder named by a number: a server that
watches the parent takes the highest. It appears there whole and checked, or
not at all.
"""

import functools
import importlib.metadata
import inspect
import json
import os
import sys
import time

import keras
import numpy as np
import tensorflow as tf
from absl import app
from absl import flags
from absl import logging

from lc_keras import attributes
from lc_keras import files
from lc_keras import latents
from lc_keras.models import storage
from lc_keras.samplers import actor
from lc_keras.samplers import energy
from lc_keras.samplers import flow
from lc_keras.samplers import gradient_search
from lc_keras.samplers import importance
from lc_keras.samplers import linear
from lc_keras.samplers import rejection
from lc_keras.samplers import sampler
from serving import endpoints
from serving import prediction_service
from serving import servables

MANIFEST = os.path.join("assets.extra", "manifest.json")
_LIBRARIES = ("keras", "numpy", "tensorflow", "tensorflow-probability")
# By the stage that trains its model: a sampler's name, and what makes it of
# judges and model.
_TRAINED = {
  "realism": ("importance", importance.ImportanceResampling),
  "flow": ("flow", flow.FlowSampler),
  "linear": ("linear", linear.LinearDirection),
}


def load_models(
  run_dir: str, sample_actor: str, transform_actor: str
) -> endpoints.Models:
  """Loads what a run has trained.

  Args:
    run_dir: The run folder.
    sample_actor: Folder in it with the actor and critic of `sample`; `score`
      asks this critic.
    transform_actor: The same for `transform`; the samplers without an actor
      ask this critic.

  Raises:
    FileNotFoundError: A stage of the run is missing.
    ValueError: A stage is damaged, or belongs to another run.
  """
  run = _read_run(run_dir)
  models = {
    stage: storage.load(os.path.join(run_dir, stage))
    for stage in _stages(run_dir, sample_actor, transform_actor)
  }
  cache = os.path.join(run_dir, "latents", "cache")
  weights = os.path.join(run_dir, "vae", storage.WEIGHTS)
  manifest = latents.read_manifest(cache, {"vae": files.checksum(weights)})

  def judged_by(stage):
    return sampler.Judges(
      attributes.Attributes(
        run["attributes"], run["exclusive"], run.get("continuous", ())
      ),
      models[stage].critic,
      models["attributes"],
      tf.constant(manifest["posterior_scale"], tf.float32),
    )

  judges = judged_by(transform_actor)
  others = {
    "search": gradient_search.GradientSearch.robust(
      judges, latents.covariance(latents.read(cache, "train"))
    ),
    "energy": energy.EnergySampler(judges),
    "best_of_n": rejection.BestOfN(judges),
  }
  for stage, (name, build) in _TRAINED.items():
    if stage in models:
      others[name] = build(judges, models[stage])
  return endpoints.Models(
    vae=models["vae"],
    sampler=actor.ActorSampler(
      judged_by(sample_actor),
      models[sample_actor].actor,
      begin=models[sample_actor].begin,
    ),
    transformer=functools.partial(
      actor.ActorSampler, judges, models[transform_actor].actor
    ),
    others=others,
  )


def export(
  run_dir: str,
  export_dir: str,
  version: int | None = None,
  sample_actor: str = "actor_0.1",
  transform_actor: str = "actor_0.1",
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
    archive = keras.export.ExportArchive()
    for name, (function, signature) in signatures.items():
      print(f"Tracing {name}", flush=True)
      archive.add_endpoint(
        name, tf.function(function, signature, autograph=False)
      )
    print(f"Writing version {version}", flush=True)
    archive.write_out(aside, verbose=False)
    os.makedirs(os.path.join(aside, os.path.dirname(MANIFEST)))
    files.write_json(
      os.path.join(aside, MANIFEST),
      _manifest(run_dir, models, signatures, sample_actor, transform_actor),
    )
    print("Checking that a server can load and run it", flush=True)
    check(aside)
    # Somebody else may have written this version in the meantime.
    _free_version(export_dir, version)
  return folder


def check(folder: str) -> None:
  """Runs every signature of a SavedModel once, the way a server does.

  Raises:
    ValueError: It cannot be loaded.
    ServingError: A signature fails.
  """
  servable = servables.Servable("export", 0, folder)
  try:
    for name, signature in servable.signatures.items():
      # TensorFlow's own initialisation is listed among the signatures.
      if name.startswith("__"):
        continue
      inputs = {
        key: np.zeros(
          [
            max(dim.size, 2) if i == 0 else dim.size
            for i, dim in enumerate(info.tensor_shape.dim)
          ],
          tf.as_dtype(info.dtype).as_numpy_dtype,
        )
        for key, info in signature.inputs.items()
      }
      prediction_service.predict(servable, signature, inputs)
  finally:
    servable.close()


def _read_run(run_dir):
  path = os.path.join(run_dir, "run.json")
  if not os.path.exists(path):
    raise FileNotFoundError(
      f"{run_dir!r} is no run folder: it has no run.json. Give the --run_dir "
      "that the trainers were given."
    )
  with open(path, encoding="utf-8") as file:
    return json.load(file)


def _stages(run_dir, sample_actor, transform_actor):
  """Returns the stages to load: those needed, and those that are there."""
  needed = ["vae", "attributes", sample_actor, transform_actor]
  there = [
    stage
    for stage in _TRAINED
    if os.path.exists(os.path.join(run_dir, stage, storage.WEIGHTS))
  ]
  return list(dict.fromkeys(needed + there))


def _free_version(export_dir, version):
  taken = servables.find_versions(export_dir)
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
  libraries = {name: importlib.metadata.version(name) for name in _LIBRARIES}
  return {
    "run": os.path.abspath(run_dir),
    "dataset": _read_run(run_dir)["dataset"],
    "attributes": models.attributes.names,
    "exclusive": models.attributes.exclusive,
    "continuous": models.attributes.continuous,
    "image_shape": models.vae.image_shape,
    "latent_size": models.vae.latent_size,
    "sample_actor": sample_actor,
    "transform_actor": transform_actor,
    "weights_sha256": {
      stage: files.checksum(os.path.join(run_dir, stage, storage.WEIGHTS))
      for stage in _stages(run_dir, sample_actor, transform_actor)
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
    "actor_0.1",
    "Stage of the run whose actor answers `sample`, and whose critic answers "
    "`score`.",
    flag_values=values,
  )
  flags.DEFINE_string(
    "transform_actor",
    "actor_0.1",
    "Stage of the run whose actor answers `transform`, and whose critic "
    "guides the samplers that have no actor.",
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
