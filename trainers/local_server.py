"""A local model server that runs while a program sends it requests."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

# Seconds that a client waits: a busy machine takes minutes to load a model.
PATIENCE = 600


@contextlib.contextmanager
def serving(export_dir: str, warm_up: bool = True) -> Iterator[str]:
  """Runs `serving.server` on a free port; yields its address.

  Args:
    export_dir: The folder of an export's versions.
    warm_up: Whether it runs the export's warm-up requests before it answers.
  """
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
      f"--enable_model_warmup={str(warm_up).lower()}",
    ]
  )
  try:
    yield f"localhost:{port}"
  finally:
    server.terminate()
    server.wait()
