"""The origin of numbers: code, packages, machine, data, and every flag."""

import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import shlex

from lc_keras import version
from trainers import stages as run_stages

_PACKAGES = (
  "tensorflow",
  "keras",
  "tensorflow-probability",
  "tensorflow-datasets",
  "numpy",
)
# Paths do not affect the numbers.
_PLACES = frozenset({"run_dir", "base_run", "data_dir", "source_dir"})


def versions() -> dict[str, str]:
  """Returns the versions of Python and of packages, by name."""
  return {
    "lc_keras": version.__version__,
    "python": platform.python_version(),
    **{name: importlib.metadata.version(name) for name in _PACKAGES},
  }


def hardware() -> dict:
  """Returns the machine's processors, memory and system."""
  import tensorflow as tf  # Benchmarks call `processor` without TensorFlow.

  gpus = [
    tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
    for gpu in tf.config.list_physical_devices("GPU")
  ]
  memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
  return {
    "processor": processor(),
    "cpus": os.cpu_count(),
    "memory_gib": round(memory / 2**30, 1),
    "gpus": ", ".join(gpus) or None,
    "system": platform.platform(),
  }


def processor() -> str:
  """Returns the name of the processor."""
  lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
  names = (line.partition(":") for line in lines)
  return next(
    (value.strip() for key, _, value in names if key.strip() == "model name"),
    platform.machine(),
  )


def data(run) -> dict[str, str]:
  """Returns the SHA-256 of each split as prepared, and of the latents."""
  from lc_keras.data import latent_cache
  from lc_keras.data import pipeline

  found = pipeline.checksums(run.dataset, data_dir=run.data_dir)
  manifest = latent_cache.read_manifest(run.path("latents", "cache"))
  text = json.dumps(manifest, sort_keys=True)
  return found | {"latents": hashlib.sha256(text.encode()).hexdigest()}


def weights(run, stages) -> dict[str, str]:
  """Returns the SHA-256 of the weights of each stage that has some."""
  from lc_keras import files
  from lc_keras.generators import generator
  from lc_keras.models import storage

  found = {}
  for stage in stages:
    path = run.path(stage, storage.WEIGHTS)
    if stage in generator.STAGES and stage == generator.find(run.folder):
      found[stage] = generator.fingerprint(run.folder)
    elif os.path.exists(path):
      found[stage] = files.checksum(path)
  return found


def stages(run) -> dict[str, dict]:
  """Returns the flags and the commit of each stage of a run.

  Returns:
    By name, "flags" as one line of a shell, without paths, and "commit", None
    until the stage is finished.
  """
  found = {}
  for name in sorted(os.listdir(run.folder)):
    lines = run_stages.flags_of(run.path(name))
    if lines is not None:
      kept = (
        line
        for line in lines
        if line.lstrip("-").partition("=")[0] not in _PLACES
      )
      found[name] = {
        "flags": shlex.join(kept),
        "commit": (run.done(name) or {}).get("commit"),
      }
  return found
