"""Module file for TFX's Trainer component, which calls `run_fn(fn_args)`.

    tfx.components.Trainer(module_file="trainers/run_fn.py", ...)

TFX is not imported: `fn_args` is any object with the attributes of its FnArgs.
docs/tfx.md describes what was tested with TFX itself.
"""

import importlib
import os
import shutil
from collections.abc import Mapping
from typing import Any

from absl import flags

from lc_keras import files
from lc_keras.constraints import attributes
from lc_keras.data import tf_examples
from serving import export
from trainers import config_files
from trainers import jobs

# Required attributes of fn_args, and required keys of custom_config.
_GIVEN = ("train_files", "eval_files", "model_run_dir", "serving_model_dir")
_NEEDED = ("attributes", "image_shape")
# All keys of custom_config.
_KNOWN = (
  *_NEEDED,
  "exclusive",
  "continuous",
  "config_dir",
  "jobs",
  "flags",
  "test_files",
)


def run_fn(fn_args: Any) -> None:
  """Trains the models of a run on tf.Examples, and exports them.

  Args:
    fn_args: An object with the attributes of TFX's FnArgs:
      train_files, eval_files: Patterns of TFRecord files, see `tf_examples`.
      train_steps: Steps of every trainer; None leaves them to its flagfile.
      eval_steps: Batches to validate on; None takes all.
      model_run_dir: The run folder; an interrupted run is resumed.
      serving_model_dir: Folder for the SavedModel.
      hyperparameters: None, or the result of keras_tuner's `get_config`; its
        "values" are flags, named "vae/beta".
      custom_config: "attributes" (their names) and "image_shape" are required;
        "exclusive" and "continuous" describe the attributes, "config_dir" has
        flagfiles, "jobs" run in this order, "flags" maps a job to its flags,
        and "test_files" are held out from validation, too.
      transform_graph_path, base_model: Must be None.

  Raises:
    ValueError: An argument is missing, unknown or not supported.
  """
  config = _config(fn_args)
  os.makedirs(fn_args.model_run_dir, exist_ok=True)
  spec = os.path.abspath(os.path.join(fn_args.model_run_dir, "examples.json"))
  tf_examples.write_spec(
    spec,
    {
      "train": fn_args.train_files,
      "validation": fn_args.eval_files,
      "test": config.get("test_files") or fn_args.eval_files,
    },
    config["image_shape"],
    attributes.Attributes(
      config["attributes"],
      config.get("exclusive", ()),
      config.get("continuous", ()),
    ),
  )
  # The data are there: the job "data" has nothing to do.
  _, *usual = jobs.with_needs("classifier", "actor")
  for job in config.get("jobs", usual):
    module = importlib.import_module(f"trainers.{job}")
    settings = flags.FlagValues()
    module.define_flags(settings)
    arguments = _arguments(job, config, spec, fn_args, settings)
    settings([job, *config_files.expand(arguments, job)])
    if fn_args.eval_steps and "validation_limit" in settings:
      settings.validation_limit = fn_args.eval_steps * settings.batch_size
    module.run_job(settings)
  with files.replacing(fn_args.serving_model_dir) as aside:
    made = export.export(
      fn_args.model_run_dir, os.path.join(fn_args.model_run_dir, "export")
    )
    shutil.copytree(made, aside)


def _config(fn_args) -> Mapping[str, Any]:
  """Checks fn_args; returns its custom_config."""
  config = fn_args.custom_config or {}
  unknown = sorted(set(config) - set(_KNOWN))
  if unknown:
    raise ValueError(
      f"custom_config has {', '.join(unknown)}; known are {', '.join(_KNOWN)}."
    )
  missing = [name for name in _NEEDED if not config.get(name)]
  if missing:
    raise ValueError(f"custom_config lacks {', '.join(missing)}.")
  for name in _GIVEN:
    if not getattr(fn_args, name, None):
      raise ValueError(f"fn_args.{name} is empty: nothing can be trained.")
  for name in ("transform_graph_path", "base_model"):
    if getattr(fn_args, name, None):
      raise ValueError(
        f"fn_args.{name} is {getattr(fn_args, name)!r}, which is not "
        "supported: models train on examples as they are, from the beginning."
      )
  return config


def _arguments(job, config, spec, fn_args, settings):
  """Yields the flags of a job; later ones override earlier ones."""
  if config.get("config_dir"):
    yield f"--flagfile={os.path.join(config['config_dir'], job)}.cfg"
  if fn_args.train_steps and "steps" in settings:
    yield f"--steps={fn_args.train_steps}"
  yield from config.get("flags", {}).get(job, ())
  tuned = (getattr(fn_args, "hyperparameters", None) or {}).get("values", {})
  for name, value in tuned.items():
    of, _, flag = name.rpartition("/")
    if of in ("", job) and flag in settings:
      yield f"--{flag}={value}"
  yield f"--run_dir={fn_args.model_run_dir}"
  yield f"--dataset={tf_examples.PREFIX}{spec}"
