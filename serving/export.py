"""Writes the models of a run as a SavedModel that any TF Serving can load.

  python -m serving.export --run_dir=runs/demo

Every export is a new version, a folder named by a number: a server that watches
the parent loads the highest. A version appears complete and checked, or not at
all.
"""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
import os
import time
from collections.abc import Collection

from absl import flags
from absl import logging
from etils import epy

from lc_keras import files
from trainers import program

# Programs answer --help without them.
with epy.lazy_imports():
  import tensorflow as tf

  from lc_keras import parts as parts_lib
  from lc_keras.generators import generator as generators
  from lc_keras.models import encoder
  from lc_keras.models import storage
  from lc_keras.samplers import table
  from serving import endpoints
  from serving import validation
  from serving import versions_folder

MANIFEST = os.path.join("assets.extra", "manifest.json")
_LIBRARIES = ("keras", "numpy", "tensorflow", "tensorflow-probability")


def choose_models(
  parts: parts_lib.Parts,
  sample_actor: str | None = None,
  transform_actor: str | None = None,
  samplers: Collection[str] | None = None,
) -> endpoints.Models:
  """Returns the models behind the endpoints.

  Args:
    parts: A generator and the models that were trained for it.
    sample_actor: Name of the model with the actor of `sample` and the critic of
      `score`. None is `parts.ACTOR`; without that model the flow, or else
      draws of the prior and a search.
    transform_actor: The same for `transform`; its critic guides the samplers
      that have no actor.
    samplers: Names of further samplers to export; None is all whose models
      exist.

  Raises:
    ValueError: A named model is missing, or there is no attribute to
      request; a learned constraint cannot be used; or the generator runs
      outside of TensorFlow.
  """
  if not getattr(parts.generator, "exportable", True):
    raise ValueError(
      "The generator runs outside of TensorFlow (a module of PyTorch, an ONNX "
      "model or a function of arrays), and a model server runs nothing else: "
      "bring it as a SavedModel, a Keras model or a function of tensors."
    )
  for reason in getattr(parts, "refused", {}).values():
    raise ValueError(reason)
  if not len(parts.attributes):
    raise ValueError(
      "There is nothing to request: no attribute critic and no constraints. "
      "Train one with `python -m trainers.attributes`, or learn one with "
      "`python -m trainers.constraint`."
    )
  for name in filter(None, (sample_actor, transform_actor)):
    if name not in parts.models:
      raise ValueError(f"The model {name!r} has not been trained.")
  transform_actor = transform_actor or parts_lib.ACTOR
  return endpoints.Models(
    generator=parts.generator,
    sampler=parts.build_sampler(actor=sample_actor or parts_lib.ACTOR),
    transformer=parts.build_sampler(actor=transform_actor),
    others={
      name: parts.build_sampler(name, critic=transform_actor)
      for name in parts.available()
      if table.SAMPLERS[name].is_exported
      and (samplers is None or name in samplers)
    },
    preprocessing=parts.preprocessing,
    encode=parts.encode,
  )


def write(
  parts: parts_lib.Parts,
  folder: str,
  sample_actor: str | None = None,
  transform_actor: str | None = None,
  samplers: Collection[str] | None = None,
  check: bool = True,
) -> None:
  """Writes a SavedModel, after a check that a server can load and run it.

  Args:
    parts: A generator and the models that were trained for it.
    folder: The folder to write, atomically; it may not exist yet. Servers need
      a number for a name.
    sample_actor, transform_actor, samplers: See `choose_models`.
    check: Whether to check the export, and to record answers for later checks:
      not needed if a server loads it next.

  Raises:
    ValueError: See `choose_models`; or the folder exists.
  """
  _check_free(folder)
  models = choose_models(parts, sample_actor, transform_actor, samplers)
  signatures = endpoints.build(models)
  os.makedirs(os.path.dirname(os.path.abspath(folder)), exist_ok=True)
  with files.replacing(folder) as aside:
    module, traced = tf.Module(), {}
    for name, (function, signature) in signatures.items():
      print(f"Tracing {name}", flush=True)
      traced[name] = tf.function(
        function, signature, autograph=False
      ).get_concrete_function()
      # Saving a `tf.function` would trace it again.
      setattr(module, name, traced[name])
    module.weights = list(
      {id(v): v for call in traced.values() for v in call.variables}.values()
    )
    print(f"Writing {folder}", flush=True)
    # For clients that name no signature.
    default = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
    first = next(iter(traced.values()))
    tf.saved_model.save(module, aside, signatures={default: first, **traced})
    os.makedirs(os.path.join(aside, os.path.dirname(MANIFEST)))
    manifest = _manifest(parts, sample_actor, transform_actor)
    manifest["signatures"] = {
      name: inspect.getdoc(function)
      for name, (function, _) in signatures.items()
    }
    files.write_json(os.path.join(aside, MANIFEST), manifest)
    validation.record(
      aside,
      {name: (traced[name], specs) for name, (_, specs) in signatures.items()},
      with_answers=check,
    )
    if check:
      print("Checking that a server can load and run it", flush=True)
      validation.check(aside)
    _check_free(folder)  # Another process may have written it meanwhile.


def export(
  run_dir: str,
  export_dir: str,
  version: int | None = None,
  sample_actor: str | None = None,
  transform_actor: str | None = None,
  samplers: Collection[str] | None = None,
  check: bool = True,
) -> str:
  """Writes one version of a run and returns its folder.

  Args:
    run_dir: The run folder.
    export_dir: Folder of the versions.
    version: Number of the version; None takes the next.
    sample_actor, transform_actor, samplers, check: See `write`.

  Raises:
    FileNotFoundError: A part of the run is missing.
    ValueError: See `write`; or a part of the run is damaged.
  """
  taken = versions_folder.VersionsFolder(export_dir).versions()
  free = max(taken, default=0) + 1
  if version in taken:
    raise ValueError(
      f"Version {version} exists already in {export_dir!r}, and servers may be "
      f"using it. Leave --version out to write {free}."
    )
  print(f"Loading the models of {run_dir}", flush=True)
  folder = os.path.join(export_dir, str(free if version is None else version))
  parts = parts_lib.read(run_dir)
  write(parts, folder, sample_actor, transform_actor, samplers, check)
  return folder


def _check_free(folder):
  if os.path.exists(folder):
    raise ValueError(
      f"{folder!r} exists already, and servers may be using it. Name another "
      "folder."
    )


def _manifest(parts, sample_actor, transform_actor):
  """Returns the facts about parts for the manifest of an export."""
  actors = {
    "sample_actor": sample_actor or parts_lib.ACTOR,
    "transform_actor": transform_actor or parts_lib.ACTOR,
  }
  used = {"attributes", encoder.MODEL, "realism", *actors.values()}.union(
    *(entry.needs for entry in table.SAMPLERS.values() if entry.is_exported)
  )
  # Parts in memory have no files.
  folder = getattr(parts, "folder", None)
  checksums = {"generator": parts.fingerprint}
  if folder:
    checksums = {generators.find(folder): parts.fingerprint} | {
      name: files.checksum(os.path.join(folder, name, storage.WEIGHTS))
      for name in sorted(used)
      if name in parts.models
    }
  attributes = parts.attributes
  searches = encoder.MODEL in parts.models
  return {
    "run": folder and os.path.abspath(folder),
    "dataset": folder and parts.about["dataset"],
    "attributes": attributes.names,
    "exclusive": attributes.exclusive,
    "continuous": attributes.continuous,
    "image_shape": parts.generator.image_shape,
    "crop": parts.preprocessing.crop,
    "latent_size": parts.generator.latent_size,
    "encoder_steps": parts.models[encoder.MODEL].steps if searches else None,
    **{key: n if n in parts.models else None for key, n in actors.items()},
    "weights_sha256": checksums,
    "constraints": {n: one.manifest for n, one in parts.learned.items()},
    "libraries": {n: importlib.metadata.version(n) for n in _LIBRARIES},
  }


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags; not on import, since other programs share names."""
  string = functools.partial(flags.DEFINE_string, flag_values=values)
  string(
    "run_dir",
    None,
    "Folder of the run whose models are exported.",
    required=True,
  )
  string(
    "data_dir",
    None,
    "Accepted as by the other jobs of a run; an export needs no data.",
  )
  string(
    "export_dir",
    None,
    "Folder of the versions; by default `export` in the run folder.",
  )
  flags.DEFINE_integer(
    "version",
    None,
    "Number of the version to write; by default the next.",
    lower_bound=0,
    flag_values=values,
  )
  string(
    "sample_actor",
    None,
    "Stage of the run whose actor answers `sample`, and whose critic answers "
    "`score`; by default actor_0.1, or what there is without one.",
  )
  string(
    "transform_actor",
    None,
    "Stage of the run whose actor answers `transform`, and whose critic "
    "guides the samplers that have no actor; by default the same.",
  )
  flags.DEFINE_list(
    "samplers",
    None,
    "Names of the samplers to export besides the actor, such as flow,search; "
    "by default all that the run has models for.",
    flag_values=values,
  )
  flags.DEFINE_bool(
    "check",
    True,
    "Check that a server can load and run it, before it appears.",
    flag_values=values,
  )


def run_job(settings: flags.FlagValues) -> None:
  """Writes the next version."""
  started = time.monotonic()
  logging.set_verbosity(logging.ERROR)
  folder = export(
    settings.run_dir,
    settings.export_dir or os.path.join(settings.run_dir, "export"),
    settings.version,
    settings.sample_actor,
    settings.transform_actor,
    settings.samplers,
    settings.check,
  )
  print(f"{folder}: done in {time.monotonic() - started:.0f} s", flush=True)


def main() -> None:
  """Runs the program."""
  program.main(define_flags, run_job, "writes the version again")


if __name__ == "__main__":
  main()
