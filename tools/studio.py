"""Serves a run and opens the studio on it: `make studio`.

The run is runs/demo, or the folder that is named. What is not there yet, a run
or its export, is made first. Needs the standard library alone.
"""

import pathlib
import socket
import subprocess
import sys

_DEMO = "runs/demo"


def main():
  run = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else _DEMO)
  export = run / "export"
  if not any(export.glob("[0-9]*")):
    if run == pathlib.Path(_DEMO):
      print(
        f"There is no {export} yet. `make demo` makes it: it trains all models "
        "on this machine, in 15 to 25 minutes on two cores.",
        flush=True,
      )
      _python("trainers.demo", "--flagfile=configs/demo/demo.cfg")
    else:
      _python("serving.export", f"--run_dir={run}")
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
