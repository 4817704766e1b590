"""Exports what was trained, serves it over gRPC and REST, and asks for it.

Files, from the model to the user: `endpoints` (the signatures), `export`
(writes them as a SavedModel), `servables` (loads SavedModels and runs them),
`manager` (which versions there are), `prediction_service` and `rest_service`
(what is answered), `grpc_endpoint` and `rest` (the ports), `server` (life
cycle), `client` (Python and command line). docs/architecture.md has all.
"""

# First of all: it sets what TensorFlow reads from the environment on loading.
import lc_keras as lc_keras
