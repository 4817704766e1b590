"""A tiny run, its signatures and its export, made once per process.

To trace and check all signatures takes most of a minute. Nobody may write into
these folders: copy what is to be changed.
"""

import atexit
import functools
import os
import shutil
import tempfile
from collections.abc import Callable

import tensorflow as tf

from lc_keras import parts
from serving import endpoints
from serving import export
from tests import tiny_run

# Two, so that an answer by the wrong one is seen.
SAMPLE_ACTOR = "actor_0"
TRANSFORM_ACTOR = "actor_0.1"


@functools.cache
def run_dir() -> str:
  """Returns the run folder."""
  folder = tempfile.mkdtemp()
  atexit.register(shutil.rmtree, folder)
  path = os.path.join(folder, "run")
  tiny_run.write(path)
  return path


@functools.cache
def models() -> endpoints.Models:
  """Returns the models of the run, as they are exported."""
  return export.choose_models(
    parts.read(run_dir()), SAMPLE_ACTOR, TRANSFORM_ACTOR
  )


@functools.cache
def signatures() -> dict[str, tuple[Callable, list[tf.TensorSpec]]]:
  """Returns all signatures by name: a traced function and its inputs."""
  return {
    name: (tf.function(function, specs, autograph=False), specs)
    for name, (function, specs) in endpoints.build(models()).items()
  }


@functools.cache
def exported() -> str:
  """Returns the folder of the only version in a folder of versions."""
  return export.export(
    run_dir(),
    os.path.join(os.path.dirname(run_dir()), "export"),
    sample_actor=SAMPLE_ACTOR,
    transform_actor=TRANSFORM_ACTOR,
  )
