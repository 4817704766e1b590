"""Exports what was trained, serves it over gRPC, and asks a server for it.

Files, from the model to the user: `endpoints` (the signatures), `export`
(writes them as a SavedModel), `servables` (loads SavedModels and runs them),
`tensors` (TensorProto to numpy and back), `prediction_service` (the RPCs),
`server` (flags and life cycle), `client` (Python and command line).
"""

# First of all: it sets what TensorFlow reads from the environment on loading.
import lc_keras as lc_keras
