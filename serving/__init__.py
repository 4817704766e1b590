"""Exports, publishes and serves models, and requests images from servers.

Files, from the model to the user: `endpoints` (the signatures), `export`
(writes a SavedModel), `validation` and `check` (can a server load and run it?),
`publish` with `measurement` (is it as good as the model in service?) and
`versions_folder` (the folder that servers watch), `server` (an embedded
TensorFlow Serving), `latent_client` with `messages` and `tensors` (the Python
clients), `client` with `pictures` (command line), `studio` (a web page).
"""

import importlib

# Before TensorFlow: it sets environment variables that TensorFlow reads.
import lc_keras  # noqa: F401


def __getattr__(name):
  """Finds the clients: `serving.LatentClient`, `serving.AsyncLatentClient`."""
  if name not in ("LatentClient", "AsyncLatentClient"):
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
  # Imported here: servers do not need the clients.
  return getattr(importlib.import_module("serving.latent_client"), name)
