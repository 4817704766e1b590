"""Everything in one go: data, models, constraints, report, export, an answer.

    python -m trainers.demo --flagfile=configs/demo/demo.cfg

Each stage is the command that a user would type, printed before it runs. What
is done is not done again: after an interruption the same command goes on. It
exits as the stage that it was at: 75 after SIGTERM, 130 after Ctrl-C.
"""

import contextlib
import os
import socket
import subprocess
import sys

import numpy as np
from absl import flags
from etils import epy
from PIL import Image

from trainers import programs
from trainers import runs

with epy.lazy_imports():
  from lc_keras import plotting
  from lc_keras.data import pipeline

_SHOWN = 4
_STAGES = ("data", "vae", "latents", "classifier", "attributes", "flow")


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  flags.DEFINE_string(
    "run_dir",
    "runs/demo",
    "Folder of the run.",
    flag_values=values,
  )
  flags.DEFINE_string(
    "config_dir",
    "configs/demo",
    "Folder with a flagfile per job.",
    flag_values=values,
  )
  flags.DEFINE_string(
    "data_dir",
    "data",
    "Folder in which prepared data sets are kept.",
    flag_values=values,
  )
  flags.DEFINE_list(
    "actors",
    ["actor"],
    "Flagfiles of the actors to train, without .cfg.",
    flag_values=values,
  )
  flags.DEFINE_list(
    "wants",
    ["Smiling, not Male", "Wearing_Hat, Eyeglasses"],
    "What new faces the finished model is asked for; one request per item.",
    flag_values=values,
  )
  flags.DEFINE_string(
    "change",
    "Eyeglasses",
    "What held-out faces are asked to be changed to.",
    flag_values=values,
  )


def run_demo(settings: flags.FlagValues) -> None:
  """Runs every stage that is not done, then asks the server for faces."""
  demo = _Demo(settings)
  for job in _STAGES:
    demo.train(job)
  for config in settings.actors:
    demo.train(f"actor:{config}")
  export_dir = os.path.join(settings.run_dir, "export")
  if not _versions(export_dir):
    demo.run("export", "-m", "serving.export", f"--run_dir={settings.run_dir}")
  made = demo.ask(export_dir)
  demo.train("evaluate")
  demo.conclude(made)


class _Demo(programs.Programs):
  """The programs of the demo, and what it says at the end."""

  def __init__(self, settings):
    super().__init__(settings.run_dir, settings.data_dir, settings.config_dir)
    self._settings = settings

  def ask(self, export_dir):
    """Serves the export, asks it for faces, and returns the pictures."""
    settings = self._settings
    folder = os.path.join(settings.run_dir, "pictures")
    os.makedirs(folder, exist_ok=True)
    requests = [
      ("sample", want, f"asked_{number}.png", ["--n=16"])
      for number, want in enumerate(settings.wants)
    ]
    images = [f"--image={path}" for path in self._held_out(folder)]
    requests.append(("transform", settings.change, "changed.png", images))
    made = []
    with _serving(export_dir) as address:
      for verb, want, name, options in requests:
        path = os.path.join(folder, name)
        made.append((f"{verb} {want}", path))
        self.run(
          name.removesuffix(".png"),
          "-m",
          "serving.client",
          verb,
          f"--server={address}",
          f"--want={want}",
          *options,
          f"--out={path}",
        )
    return made

  def _held_out(self, folder):
    """Writes some held-out faces as a user would have them; returns paths."""
    run = runs.read_run(self._settings.run_dir, self._settings.data_dir)
    batch = next(
      iter(pipeline.load(run.dataset, "test", _SHOWN, data_dir=run.data_dir))
    )
    paths = []
    for number, image in enumerate(batch["image"].numpy()):
      paths.append(os.path.join(folder, f"held_out_{number}.png"))
      pixels = np.rint(image * 255.0).astype(np.uint8)
      plotting.save(Image.fromarray(pixels), paths[-1])
    return paths

  def conclude(self, made):
    """Says where everything is."""
    run_dir = self._settings.run_dir
    report = os.path.join(run_dir, "report")
    print(f"\nThe report:   {os.path.join(report, 'index.html')}")
    print(f"The numbers:  {os.path.join(report, 'results.json')}")
    for request, path in made:
      print(f"{request}: {path}")
    base_path = os.path.abspath(os.path.join(run_dir, "export"))
    print(f"\n{sum(self.seconds.values()):.0f} seconds in all. To serve it:")
    print(
      "  .venv/bin/python -m serving.server --port=8500 "
      f"--model_base_path={base_path}\nand to ask, from another terminal:\n"
      "  .venv/bin/python -m serving.client sample --server=localhost:8500 "
      '--want="Smiling, not Male" --out=faces.png'
    )


@contextlib.contextmanager
def _serving(export_dir):
  """Runs our server on a free port; yields its address."""
  with socket.socket() as probe:
    probe.bind(("localhost", 0))
    port = probe.getsockname()[1]
  server = subprocess.Popen(
    [
      sys.executable,
      "-m",
      "serving.server",
      f"--port={port}",
      f"--model_base_path={os.path.abspath(export_dir)}",
    ]
  )
  try:
    yield f"localhost:{port}"
  finally:
    server.terminate()
    server.wait()


def _versions(export_dir):
  if not os.path.isdir(export_dir):
    return []
  return [name for name in os.listdir(export_dir) if name.isdigit()]


def main() -> None:
  """Runs the job as a program."""
  runs.main(define_flags, run_demo)


if __name__ == "__main__":
  main()
