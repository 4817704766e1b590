"""A tiny run, its signatures and its export, made once per process.

Each signature takes seconds to trace and check: besides the actor, only one
sampler that transforms and one that does not are exported. Tests must not write
to these folders: they change copies.
"""

import atexit
import dataclasses
import functools
import os
import shutil
import tempfile
from unittest import mock

import numpy as np
import tensorflow as tf
from tensorflow.types.experimental import ConcreteFunction

from lc_keras import parts
from serving import endpoints
from serving import export
from serving import validation
from tests import tiny_run

# Two actors, so that an answer by the wrong one is detected.
SAMPLE_ACTOR = "actor_0"
TRANSFORM_ACTOR = "actor_0.1"
OTHERS = ("search", "best_of_n")
_choose_models = export.choose_models


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
  chosen = _choose_models(parts.read(run_dir()), SAMPLE_ACTOR, TRANSFORM_ACTOR)
  return dataclasses.replace(
    chosen, others={name: chosen.others[name] for name in OTHERS}
  )


@functools.cache
def _export():
  traced = {}
  record = validation.record

  def note(folder, signatures, **options):
    traced.update(signatures)
    record(folder, signatures, **options)

  with (
    mock.patch.object(validation, "record", note),
    mock.patch.object(export, "choose_models", lambda *_: models()),
  ):
    folder = export.export(
      run_dir(),
      os.path.join(os.path.dirname(run_dir()), "export"),
      sample_actor=SAMPLE_ACTOR,
      transform_actor=TRANSFORM_ACTOR,
    )
  return folder, traced


def signatures() -> dict[str, tuple[ConcreteFunction, list[tf.TensorSpec]]]:
  """Returns all exported signatures and their inputs, by name."""
  return _export()[1]


def exported() -> str:
  """Returns the folder of the only version in a folder of versions."""
  return _export()[0]


def inputs(count: int, seed: int = 0) -> dict[str, np.ndarray]:
  """Returns rows of every input, without targets that exclude each other."""
  random = np.random.default_rng(seed)
  targets = len(tiny_run.ATTRIBUTES)
  attributes = random.uniform(size=[count, targets])
  attributes[:, :3] *= 0.5  # These exclude each other.
  pixels = random.integers(256, size=[count, 20, 30, 3], dtype=np.uint8)
  reals = {
    "images": random.uniform(size=[count, *tiny_run.IMAGE_SHAPE]),
    "attributes": attributes,
    "mask": random.choice([0.0, 1.0, 2.5], [count, targets]),
    "latents": random.normal(size=[count, tiny_run.LATENT_SIZE]),
    "strength": random.uniform(0.0, 1.5, count),
    "realism_weight": random.uniform(0.0, 2.0, count),
  }
  return {name: value.astype(np.float32) for name, value in reals.items()} | {
    "image_bytes": np.array([tf.io.encode_png(one).numpy() for one in pixels]),
    "seed": random.integers(-(2**62), 2**62, count),
    "row": random.integers(-(2**62), 2**62, count),
  }
