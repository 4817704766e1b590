"""Whether reading keeps up with training: python -m benchmarks.input_pipeline.

Reads batches as a trainer does, and compares that with what the fastest network
in question consumes from memory. On a CPU both use the same cores, so that a
step is also timed on what is read as it is read.
"""

import contextlib
import os
import tempfile

import tensorflow_datasets as tfds
from absl import app
from absl import flags
from absl import logging

from benchmarks import celeb_a_files
from benchmarks import figures
from benchmarks import outcomes
from benchmarks import pairs
from benchmarks import workers
from lc_keras.data import pipeline

_CASES = {
  "toon_faces": {
    "dataset": "toon_faces/studio",
    "architecture": "toon_faces",
    "latent_size": 256,
    "batch": 64,
  },
  "CelebA's format": {
    "dataset": "celeb_a",
    "architecture": "conv_small",
    "latent_size": 256,
    "batch": 128,
  },
}
_WORK = ("read", "train from memory", "train on what is read")
_PICTURES = 1500
_DATA_DIR = flags.DEFINE_string(
  "data_dir", "data", "Folder in which prepared data sets are kept."
)
_OUT_DIR = flags.DEFINE_string("out_dir", outcomes.FOLDER, "Where to.")
# Of the speed that is left when both share the cores and nobody waits.
_LEAST = 0.95


def _measure(name, case):
  """Returns what reading, and a step that reads, are to a step from memory."""
  with contextlib.ExitStack() as stack:
    sides = {
      work: stack.enter_context(
        workers.Worker(workers.OURS, "benchmarks.pipeline_tasks")
      )
      for work in _WORK
    }
    for work, worker in sides.items():
      worker.do("build", case={**case, "work": work}, folder="")
    speeds, _ = pairs.in_turn(name, sides)
  rates = {work: case["batch"] * values for work, values in speeds.items()}
  read, memory, both = _WORK
  return [
    {
      **figures.comparison(
        f"{name}: {said}", "images/s", rates[work], rates[memory]
      ),
      "peer_name": memory,
      "rates": {key: rates[key].tolist() for key in (work, memory)},
    }
    for said, work in (("read", read), ("a step that reads", both))
  ]


def _run(argv):
  if len(argv) > 1:
    raise app.UsageError(f"Not a flag: {' '.join(argv[1:])}")
  logging.set_verbosity(logging.ERROR)  # tfds tells of each file.
  machine = figures.machine()
  pipeline.prepare("toon_faces/studio", _DATA_DIR.value)
  tfds.disable_progress_bar()
  with tempfile.TemporaryDirectory() as folder:
    celeb_a_files.prepare(folder, _PICTURES)
    folders = {"celeb_a": folder}
    rows = []
    for name, case in _CASES.items():
      data_dir = folders.get(case["dataset"], _DATA_DIR.value)
      case = {**case, "data_dir": os.path.abspath(data_dir)}
      rows += _measure(name, case)
  targets = []
  for read, step in zip(rows[::2], rows[1::2]):
    supply = read["ratio"]["median"]
    least = _LEAST * supply / (supply + 1.0)
    for row, wanted in ((read, 1.0), (step, least)):
      ratio = row["ratio"]["median"]
      targets.append(
        figures.target(row["name"], f">= {wanted:.2f}", ratio, ratio >= wanted)
      )
  outcomes.report(
    "input_pipeline", rows, targets, machine, folder=_OUT_DIR.value
  )


if __name__ == "__main__":
  app.run(_run)
