"""Trains, evaluates, exports and serves all models of a demo, in one command.

    python -m trainers.demo_from_scratch --config=demo

Each stage is a command that a user could type, printed before it runs. Finished
stages are skipped: after an interruption the same command resumes. Its exit
code is that of the interrupted stage: 75 after SIGTERM, 130 after Ctrl-C.
"""

import glob
import os
import time

import numpy as np
from absl import flags
from PIL import Image

from trainers import commands
from trainers import jobs
from trainers import local_server
from trainers import program

_SHOWN = 4
# Run side by side: small networks leave cores idle, and no job needs another.
_TOGETHER = ("flow", "attributes", "classifier")


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  for name, default, text in (
    ("run_dir", "runs/demo", "Folder of the run."),
    ("config_dir", "configs/demo", "Folder with a flagfile per job."),
    ("data_dir", "data", "Folder in which prepared data sets are kept."),
    (
      "change",
      "Eyeglasses",
      "What held-out faces are asked to be changed to.",
    ),
  ):
    flags.DEFINE_string(name, default, text, flag_values=values)
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


def run_job(settings: flags.FlagValues) -> None:
  """Runs all unfinished stages, and requests faces from a local server."""
  started = time.monotonic()
  demo = commands.Commands(
    settings.run_dir, settings.data_dir, settings.config_dir
  )
  needed = jobs.with_needs("classifier", "actor")
  for name in needed:
    if name not in (*_TOGETHER, "actor"):
      demo.train(name)
  demo.train_together(*_TOGETHER)
  for config in settings.actors:
    demo.train(f"actor:{config}")
  export_dir = os.path.join(settings.run_dir, "export")
  if not glob.glob(os.path.join(glob.escape(export_dir), "[0-9]*")):
    # --nocheck: the server that loads the export next checks it.
    more = (f"--run_dir={settings.run_dir}", "--samplers=flow", "--nocheck")
    demo.run("export", "-m", "serving.export", *more)
  pictures = _ask(demo, settings, export_dir)
  demo.train("evaluate")
  _conclude(demo, pictures, time.monotonic() - started)


def _ask(demo, settings, export_dir):
  """Serves the export, requests faces; returns paths of pictures by request."""
  folder = os.path.join(settings.run_dir, "pictures")
  os.makedirs(folder, exist_ok=True)
  requests = [
    ("sample", want, f"asked_{number}", ["--n=16"])
    for number, want in enumerate(settings.wants)
  ]
  images = [f"--image={path}" for path in _held_out(settings, folder)]
  requests.append(("transform", settings.change, "changed", images))
  pictures = {}
  with local_server.serving(
    f"--model_base_path={os.path.abspath(export_dir)}"
  ) as address:
    for verb, want, name, options in requests:
      path = os.path.join(folder, f"{name}.png")
      demo.run(
        name,
        "-m",
        "serving.client",
        verb,
        f"--server={address}",
        f"--timeout={local_server.PATIENCE}",
        f"--want={want}",
        *options,
        f"--out={path}",
      )
      pictures[f"{verb} {want}"] = path
  return pictures


def _held_out(settings, folder):
  """Writes held-out faces as PNG files; returns their paths."""
  from lc_keras import plotting
  from trainers import runs

  run = runs.Run(settings.run_dir, settings.data_dir)
  paths = []
  for number, image in enumerate(run.held_out(_SHOWN)):
    paths.append(os.path.join(folder, f"held_out_{number}.png"))
    pixels = np.rint(image * 255.0).astype(np.uint8)
    plotting.save(Image.fromarray(pixels), paths[-1])
  return paths


def _conclude(demo, pictures, seconds):
  """Prints the paths of all results, and commands to serve the export."""
  report = os.path.join(demo.run_dir, "report")
  print(f"\nThe report:   {os.path.join(report, 'index.html')}")
  print(f"The numbers:  {os.path.join(report, 'results.json')}")
  for request, path in pictures.items():
    print(f"{request}: {path}")
  base_path = os.path.abspath(os.path.join(demo.run_dir, "export"))
  print(f"\nThis command took {seconds:.0f} seconds. To serve what it made:")
  print(
    "  .venv/bin/python -m serving.server --port=8500 "
    f"--model_base_path={base_path}\nand to ask, from another terminal:\n"
    "  .venv/bin/python -m serving.client sample --server=localhost:8500 "
    '--want="Smiling, not Male" --out=runs/faces.png'
  )


def main() -> None:
  """Runs the job as a program."""
  program.main(define_flags, run_job)


if __name__ == "__main__":
  main()
