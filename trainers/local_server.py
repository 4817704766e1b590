"""A local model server that runs while a program sends it requests."""

import contextlib
import socket
from collections.abc import Iterator

from trainers import children

# Seconds that a client waits: a busy machine takes minutes to load a model.
PATIENCE = 600


@contextlib.contextmanager
def serving(*arguments: str) -> Iterator[str]:
  """Runs `serving.server` with flags on a free port; yields its address."""
  with socket.socket() as probe:
    probe.bind(("localhost", 0))
    port = probe.getsockname()[1]
  with children.running("-m", "serving.server", f"--port={port}", *arguments):
    yield f"localhost:{port}"
