"""Exports what was trained, serves it over gRPC and REST, and asks for it.

Files, from the model to the user: `endpoints` (the signatures), `export`
(writes them as a SavedModel), `servables` (loads SavedModels and runs them),
`manager` (which versions there are), `prediction_service` and `rest_service`
(what is answered), `grpc_endpoint` and `rest` (the ports), `server` (life
cycle), `publish` (what servers get), `latent_client` (Python), `client`
(command line). docs/architecture.md has all.
"""

import importlib

# First of all: it sets what TensorFlow reads from the environment on loading.
from lc_keras import tensorflow_banners

tensorflow_banners.hold_back()


def __getattr__(name):
  """Finds the clients: `serving.LatentClient`, `serving.AsyncLatentClient`."""
  if name not in ("LatentClient", "AsyncLatentClient"):
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
  # By name and not on import: programs that serve need none of it.
  return getattr(importlib.import_module("serving.latent_client"), name)
