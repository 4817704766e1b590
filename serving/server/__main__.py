"""Serves exported models over gRPC and REST, as TensorFlow Serving does.

  python -m serving.server --model_name=demo --model_base_path=runs/demo/export

The flags are those of `tensorflow_model_server`, and its clients need no
change: see docs/serving.md.
"""

import gc
import os
import signal
import sys
import threading

from absl import app
from absl import flags
from absl import logging

from lc_keras import version
from serving import server
from serving.server import memory
from serving.server import options


def _run(argv):
  if len(argv) > 1:
    raise app.UsageError(f"Not a flag: {' '.join(argv[1:])}")
  if flags.FLAGS.version:
    import tensorflow as tf

    print(f"lc_keras: {version.__version__}\nTensorFlow: {tf.__version__}")
    return
  # TensorFlow warns that loading a SavedModel in a session is deprecated;
  # servers are the exception.
  logging.set_verbosity(logging.ERROR)
  memory.share()
  # A server needs no Keras, but TensorFlow loads one. The legacy Keras takes 80
  # MB and two seconds less.
  os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
  stopped = threading.Event()
  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: stopped.set())
  try:
    settings = options.from_flags(flags.FLAGS)
    running = server.Server(settings)
  except ValueError as error:
    sys.exit(f"Failed to start server. Error: {error}")
  print(f"Serving gRPC on port {running.port}; Ctrl-C stops.", flush=True)
  if running.rest_port is not None:
    print(f"Serving HTTP on port {running.rest_port}.", flush=True)
  # All objects so far are permanent: garbage collections that scan them would
  # delay all calls.
  gc.collect()
  gc.freeze()
  # Wakes every second: only this thread runs Python's signal handlers, and a
  # signal that the system delivers to another thread does not wake it.
  while not stopped.wait(1.0):
    running.trim()
  print("Stopping: calls in flight finish first.", flush=True)
  running.stop(settings.shutdown_grace_seconds)
  sys.stdout.flush()
  # Without waiting for threads: a loading model, or a call that did not stop,
  # may still run.
  os._exit(0)


def main() -> None:
  """Runs the program."""
  options.define_flags(flags.FLAGS)
  app.run(_run)


if __name__ == "__main__":
  main()
