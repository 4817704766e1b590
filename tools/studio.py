"""Serves a run and opens the studio on it: `make studio`.

The run is that of the preset toon_faces, or the folder or preset that is named.
Its export is made first if there is none. Loads no TensorFlow itself.
"""

import pathlib
import socket
import subprocess
import sys

from lc_keras import preset

_PRESET = "toon_faces"


def main():
  try:
    run = preset.writable(sys.argv[1] if len(sys.argv) > 1 else _PRESET)
  except (OSError, ValueError) as error:
    sys.exit(f"Error: {error}")
  export = pathlib.Path(run, "export")
  if not any(export.glob("[0-9]*")):
    print(f"Writing {export}, once: what a model server loads", flush=True)
    # The server that loads it right away checks it, too.
    more = ("--samplers=flow", "--nocheck")
    _python("serving.export", f"--run_dir={run}", *more)
  port = _free_port()
  server = subprocess.Popen(
    [
      *(sys.executable, "-m", "serving.server", f"--port={port}"),
      f"--model_base_path={export.resolve()}",
    ]
  )
  try:
    _python("serving.studio", f"--server=localhost:{port}", f"--run_dir={run}")
  except KeyboardInterrupt:
    pass
  finally:
    server.terminate()
    server.wait()


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
