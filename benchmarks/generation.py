"""How fast toon_faces is made: python -m benchmarks.generation.

The builder's whole work: faces are drawn, encoded and written. There is nobody
to compare with; the two scenes stand beside each other.
"""

import dataclasses
import os
import tempfile
import time

import tensorflow_datasets as tfds
import tqdm
from absl import app
from absl import flags
from absl import logging

from benchmarks import figures
from benchmarks import outcomes
from lc_keras.data.toon_faces import builder
from lc_keras.data.toon_faces import factors

_CONFIGS = {
  config.name: config
  for config in builder.ToonFaces.BUILDER_CONFIGS
  if config.name != "tiny"
}
_FACES = 2048
_ROUNDS = 7
_OUT_DIR = flags.DEFINE_string("out_dir", outcomes.FOLDER, "Where to.")


def _make(scene, folder):
  """Makes a data set of so many faces; returns faces a second."""
  config = dataclasses.replace(
    _CONFIGS[scene],
    name=f"{scene}_of_{_FACES}",
    faces={
      "train": _FACES - 2 - 2 * len(factors.NAMES),
      "validation": 1,
      "test": 1,
      "balanced": 2 * len(factors.NAMES),
    },
  )
  started = time.perf_counter()
  builder.ToonFaces(data_dir=folder, config=config).download_and_prepare()
  return _FACES / (time.perf_counter() - started)


def _run(argv):
  if len(argv) > 1:
    raise app.UsageError(f"Not a flag: {' '.join(argv[1:])}")
  logging.set_verbosity(logging.ERROR)  # tfds tells of each file.
  machine = figures.machine()
  tfds.disable_progress_bar()
  rates = {scene: [] for scene in _CONFIGS}
  with tempfile.TemporaryDirectory() as folder:
    for number in tqdm.trange(_ROUNDS + 1, desc="generation", unit=" rounds"):
      for scene in _CONFIGS:
        rate = _make(scene, os.path.join(folder, str(number)))
        if number:  # At first sprites are read.
          rates[scene].append(rate)
  rows = [
    figures.alone(f"toon_faces/{scene}", "faces/s", values)
    for scene, values in rates.items()
  ]
  outcomes.report("generation", rows, (), machine, folder=_OUT_DIR.value)


if __name__ == "__main__":
  app.run(_run)
