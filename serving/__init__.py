"""Exports what was trained, serves it over gRPC, and asks a server for it.

Files, from the model to the user: `endpoints` (the signatures), `export`
(writes them as a SavedModel), `servables` (loads SavedModels and runs them),
`tensors` (TensorProto to numpy and back), `prediction_service` (the RPCs),
`server` (flags and life cycle), `latent_client` (Python), `client` (command
line).
"""

import importlib

# First of all: it sets what TensorFlow reads from the environment on loading.
import lc_keras as lc_keras


def __getattr__(name):
  """Finds the clients: `serving.LatentClient`, `serving.AsyncLatentClient`."""
  if name not in ("LatentClient", "AsyncLatentClient"):
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
  # By name and not on import: programs that serve need none of it.
  return getattr(importlib.import_module("serving.latent_client"), name)
