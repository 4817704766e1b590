"""Serves a run and opens the studio on it: `make studio`.

A run without an export, or with one that is older than what the run has learned
since, is exported first. If the run has a folder `full_size`,
with versions of a model that decodes the same latents to larger images, that
model is served, too. Does not load TensorFlow itself.
"""

import argparse
import itertools
import json
import os
import pathlib
import sys
import tempfile

from lc_keras import files
from lc_keras import preset
from lc_keras import run_folder
from lc_keras.learning import constraint_names
from serving import versions_folder
from serving.export import MANIFEST
from serving.studio import address
from trainers import children
from trainers import local_server
from trainers import preemption

FULL_SIZE = "full_size"  # In a run.


def main():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument(
    "run", nargs="?", default="toon_faces", help="A run folder, or a preset."
  )
  parser.add_argument(
    "--port", type=int, default=address.PORT, help="Port of the pages."
  )
  settings = parser.parse_args()
  try:
    with preemption.raising():
      _show(settings)
  except (KeyboardInterrupt, preemption.Terminated):
    pass  # The children have ended.
  except (OSError, ValueError) as error:
    sys.exit(f"Error: {error}")


def _show(settings):
  """Runs the server and the pages, until the pages end."""
  for taken in address.listen(address.HOST, settings.port):
    taken.close()  # Free: the pages take it, once there is a model.
  run = preset.writable(settings.run)
  run_folder.read_about(run)
  export = pathlib.Path(run, "export")
  if told := _outdated(run, str(export)):
    print(f"Writing an export, which a model server loads: {told}", flush=True)
    # --nocheck: the server that loads the export next checks it.
    more = ("--samplers=flow", "--nocheck")
    _python("serving.export", f"--run_dir={run}", *more)
  models, full = {"default": export}, pathlib.Path(run, FULL_SIZE)
  more = []
  if full.is_dir():
    models[FULL_SIZE] = full
    more = [f"--full_size_model={FULL_SIZE}"]
  with tempfile.NamedTemporaryFile("w", suffix=".config") as config:
    config.write(_config(models))
    config.flush()
    with local_server.serving(f"--model_config_file={config.name}") as server:
      more += [f"--run_dir={run}", f"--port={settings.port}"]
      _python("serving.studio", f"--server={server}", *more)


def _outdated(run, export):
  """Returns why a run needs a new export; "" if it does not."""
  versions = versions_folder.VersionsFolder(export)
  if not versions.versions():
    return f"{export} has none"
  newest = versions.path(versions.versions()[-1])
  manifest = os.path.join(newest, MANIFEST)
  if not os.path.exists(manifest):
    return ""  # Not from `serving.export`.
  known = set(files.read_json(manifest)["constraints"])
  more = ", ".join(known.symmetric_difference(constraint_names.names(run)))
  if more:
    return f"{newest} differs from the run in {more}"
  learned = itertools.chain(
    pathlib.Path(run).glob("*/*.weights.h5"),
    pathlib.Path(run, constraint_names.FOLDER).glob("*/*.weights.h5"),
  )
  written = os.path.getmtime(manifest)
  later = [one.parent.name for one in learned if one.stat().st_mtime > written]
  return f"{newest} is older than {', '.join(sorted(later))}" if later else ""


def _config(models):
  """Returns a ModelServerConfig of models, a mapping of names to folders."""
  entries = (
    f"config {{ name: {json.dumps(name)} model_platform: 'tensorflow' "
    f"base_path: {json.dumps(str(folder.resolve()))} }}"
    for name, folder in models.items()
  )
  return f"model_config_list {{ {' '.join(entries)} }}"


def _python(module, *flags):
  with children.running("-m", module, *flags) as program:
    if status := program.wait():
      sys.exit(status)


if __name__ == "__main__":
  main()
