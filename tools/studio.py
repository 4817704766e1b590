"""Serves a run and opens the studio on it: `make studio`.

The argument is a run folder or the name of a preset, toon_faces if not given. A
run without an export is exported first. If the run has a folder `full_size`,
with versions of a model that decodes the same latents to larger images, that
model is served, too. Does not load TensorFlow itself.
"""

import json
import pathlib
import socket
import subprocess
import sys
import tempfile

from lc_keras import preset

FULL_SIZE = "full_size"  # In a run.
_PRESET = "toon_faces"


def main():
  try:
    run = preset.writable(sys.argv[1] if len(sys.argv) > 1 else _PRESET)
  except (OSError, ValueError) as error:
    sys.exit(f"Error: {error}")
  export = pathlib.Path(run, "export")
  if not any(export.glob("[0-9]*")):
    print(f"Writing {export}, once: what a model server loads", flush=True)
    # --nocheck: the server that loads the export next checks it.
    more = ("--samplers=flow", "--nocheck")
    _python("serving.export", f"--run_dir={run}", *more)
  models, full = {"default": export}, pathlib.Path(run, FULL_SIZE)
  more = []
  if full.is_dir():
    models[FULL_SIZE] = full
    more = [f"--full_size_model={FULL_SIZE}"]
  port = _free_port()
  with tempfile.NamedTemporaryFile("w", suffix=".config") as config:
    config.write(_config(models))
    config.flush()
    server = subprocess.Popen(
      [
        *(sys.executable, "-m", "serving.server", f"--port={port}"),
        f"--model_config_file={config.name}",
      ]
    )
    address = f"--server=localhost:{port}"
    try:
      _python("serving.studio", address, f"--run_dir={run}", *more)
    except KeyboardInterrupt:
      pass
    finally:
      server.terminate()
      server.wait()


def _config(models):
  """Returns a ModelServerConfig of models, a mapping of names to folders."""
  entries = (
    f"config {{ name: {json.dumps(name)} model_platform: 'tensorflow' "
    f"base_path: {json.dumps(str(folder.resolve()))} }}"
    for name, folder in models.items()
  )
  return f"model_config_list {{ {' '.join(entries)} }}"


def _free_port():
  with socket.socket() as one:
    one.bind(("localhost", 0))
    return one.getsockname()[1]


def _python(module, *flags):
  status = subprocess.run([sys.executable, "-m", module, *flags]).returncode
  if status:
    sys.exit(status)


if __name__ == "__main__":
  main()
