"""An embedded TensorFlow Serving, which needs no installation.

  python -m serving.server --model_name=demo --model_base_path=runs/demo/export

or, within another program's process:

  server.Server(server.Options(model_base_path="/runs/demo/export"))

Other code uses the names in `_MODULES` and imports no module of this package;
README.md describes the modules. TensorFlow loads with the first name that needs
it.
"""

import importlib

_MODULES = {
  "LoadError": "errors",
  "Options": "options",
  "Server": "embedded",
  "ServingError": "errors",
  "WARMUP_REQUESTS": "servables",
  "find_versions": "versions",
  "load": "servables",
}

__all__ = list(_MODULES)


def __getattr__(name: str):
  if name not in _MODULES:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
  module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
  return getattr(module, name)
