"""Imports users' functions by their address, "module:function".

Importing a module runs its code: load only what you trust.
"""

import importlib
import inspect
import os
import pkgutil
import sys
import traceback
import types
from collections.abc import Callable, Sequence

from lc_keras import spelling

_EXAMPLE = "lc_keras.constraints.face_rules:blue_background"


def function(address: str) -> Callable:
  """Imports a function.

  Modules are found on `sys.path` and in the current directory, which stays at
  the end of `sys.path` for later imports of the module. A module that has been
  imported before is not read again, even if its file changed.

  >>> from lc_keras import imports
  >>> imports.function("math:sqrt")(9)
  3.0

  Args:
    address: "module:function", such as "my_rules:tall" for the function `tall`
      of my_rules.py in the current directory.

  Raises:
    ValueError: The address is malformed, there is no such module or function,
      or importing the module fails.
  """
  module_name, name = _split(address)
  found = module(module_name)
  try:
    return getattr(found, name)
  except AttributeError:
    raise ValueError(
      f"There is no {name!r} in {module_name}: {_hint(found, name)}"
    ) from None
  except Exception as error:  # From a module that loads names lazily.
    raise ValueError(_failure(module_name, error)) from error


def address_of(function: Callable) -> str:
  """Returns the address "module:function" of a function object."""
  kind = type(function)
  module = getattr(function, "__module__", None) or kind.__module__
  return f"{module}:{getattr(function, '__qualname__', kind.__qualname__)}"


def file_of(function: Callable) -> str:
  """Returns the path of the file that defines a function; "" if unknown."""
  code = getattr(inspect.unwrap(function), "__code__", None)
  if code is not None:
    return code.co_filename
  module = address_of(function).partition(":")[0]
  return getattr(sys.modules.get(module), "__file__", None) or ""


def place(frames: Sequence[traceback.FrameSummary]) -> str:
  """Returns the end of an error message: the location of the last frame."""
  if not frames:
    return "."
  last = frames[-1]
  return (
    f"\n  {last.filename}, line {last.lineno}, in {last.name}:\n    {last.line}"
  )


def _split(address):
  """Returns module and function of "module:function", or raises ValueError."""
  module, colon, name = address.partition(":")
  names = [*module.split("."), name]
  is_file = module.endswith(".py")
  if colon and not is_file and all(part.isidentifier() for part in names):
    return module, name
  message = (
    f"{address!r} does not say where a function is. Write module:function, for "
    f"example {_EXAMPLE}, or my_rules:tall for the function tall of "
    "my_rules.py in the current directory"
  )
  if not colon and "." in address:
    module, _, name = address.rpartition(".")
    # my_rules.py names a file, not a function py.
    if name != "py":
      message += f". Did you mean {module}:{name}?"
  elif is_file:
    path = os.path.relpath(module.removesuffix(".py"))
    # A file outside of the current directory has no name to import it by.
    if not path.startswith(os.pardir):
      message += f". Did you mean {path.replace(os.sep, '.')}:{name}?"
  raise ValueError(message)


def _hint(module, name):
  """Returns the end of an error message about a name missing in a module."""
  inner = module.__name__.replace(".", os.sep)
  mine = os.path.realpath(f"{inner}.py")
  source = getattr(module, "__file__", None) or "built into Python"
  if os.path.isfile(mine) and os.path.realpath(source) != mine:
    return (
      f"that is another module of the same name, {source}. Rename {mine}, and "
      "name it by that."
    )
  functions = [
    key
    for key, value in vars(module).items()
    if inspect.isroutine(value) and not key.startswith("_")
  ]
  if not functions:
    return "it holds no functions."
  return spelling.suggest(name, sorted(functions))


def module(name: str) -> types.ModuleType:
  """Imports a module, as `function` does; raises ValueError."""
  folder = os.getcwd()
  if folder not in sys.path:
    # At the end, so that no file here shadows an installed module.
    sys.path.append(folder)
  # The file may have been written a moment ago.
  importlib.invalidate_caches()
  try:
    return importlib.import_module(name)
  except ModuleNotFoundError as error:
    missing = error.name or ""
    if name == missing or name.startswith(f"{missing}."):
      parent, _, last = missing.rpartition(".")
      paths = getattr(sys.modules.get(parent), "__path__", None)
      known = [module.name for module in pkgutil.iter_modules(paths)]
      hint = spelling.suggest(last, known)
      hint = f" D{hint[1:]}" if hint.startswith("did") else ""
      raise ValueError(
        f"There is no module {missing!r}, neither installed nor in "
        f"{folder}.{hint}"
      ) from error
    raise ValueError(_failure(name, error)) from error
  # SystemExit: the module is a script that runs when it is imported.
  except (Exception, SystemExit) as error:
    raise ValueError(_failure(name, error)) from error


def _failure(name, error):
  frames = [
    frame
    for frame in traceback.extract_tb(error.__traceback__)[1:]
    if not frame.filename.startswith("<frozen")
    and frame.filename != importlib.__file__
  ]
  remedy = ""
  if isinstance(error, ModuleNotFoundError) and error.name:
    package = error.name.partition(".")[0]
    remedy = f"\nInstall what it needs, for example: pip install {package}"
  return (
    f"Importing the module {name}, which runs its code, fails: "
    f"{type(error).__name__}: {error}{place(frames)}{remedy}"
  )
