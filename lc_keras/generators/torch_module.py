"""Generators that are PyTorch modules, exported programs or TorchScript.

PyTorch is not a dependency: users who have a module have imported it, and
opening a file without PyTorch raises an error that asks for it.
"""

import importlib.util
import os
import sys
import zipfile
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from lc_keras.generators import part


def keep_triton_out() -> None:
  """Keeps PyTorch from importing Triton, which it needs for compiling only.

  Loaded after TensorFlow, Triton ends the process (PyTorch 2.14, TensorFlow
  2.21).
  """
  if importlib.util.find_spec("torch"):
    sys.modules.setdefault("triton", None)


keep_triton_out()


def accepts(model) -> bool:
  """Says whether a model is of this kind: a module, its method, a program."""
  return _is_module(getattr(model, "__self__", model)) or _is_program(model)


def opens(path: str) -> bool:
  """Says whether a file is of this kind: it has a program, not only weights."""
  if not zipfile.is_zipfile(path):
    return False
  with zipfile.ZipFile(path) as file:
    names = file.namelist()
  return path.endswith(".pt2") or any("/code/" in name for name in names)


def load(path: str, place: Mapping):
  """Opens an exported program or TorchScript, which are then run.

  Raises:
    ValueError: PyTorch is not installed, or cannot open it.
  """
  del place
  try:
    import torch
  except ImportError as error:
    raise ValueError(
      f"{path!r} is a program of PyTorch, which is not installed: pip install "
      "torch"
    ) from error
  is_exported = os.path.splitext(path)[1] == ".pt2"
  try:
    if is_exported:
      return torch.export.load(path)
    return torch.jit.load(path, map_location="cpu")
  except Exception as error:
    what = "an exported program" if is_exported else "TorchScript"
    raise ValueError(
      f"{path!r} cannot be opened as {what} by PyTorch {torch.__version__}: "
      f"{error}"
    ) from error


def wrap(model, direction: str, place: Mapping) -> part.Part:
  """Returns a direction of a generator, in evaluation mode, without gradients.

  Args:
    model: A module on any device; a method of one; a program.
    direction: Not used.
    place: Not used.
  """
  del direction, place
  torch = sys.modules["torch"]
  inputs = _inputs(model)
  call = model.module() if _is_program(model) else model
  module = getattr(call, "__self__", call)
  if getattr(module, "training", False) and not _is_program(model):
    module.eval()
  weight = next(iter(module.parameters()), None)
  places = {"device": None if weight is None else weight.device}

  def module_run(rows, **held):
    taken = torch.as_tensor(np.array(rows, np.float32), **places)
    if weight is not None and weight.dtype != taken.dtype:
      taken = taken.to(weight.dtype)
    others = {
      name: _held(torch, value, len(rows), places)
      for name, value in held.items()
    }
    with torch.no_grad():
      return call(taken, **others)

  def program_run(rows, **held):
    fed = part.feed(inputs, rows, held).values()
    with torch.no_grad():
      return call(*(torch.as_tensor(np.array(one), **places) for one in fed))

  run = program_run if _is_program(model) else module_run
  return part.Part(run, inputs, on_arrays=True, resource=model)


def _held(torch, value, count, places):
  """Returns a held input for all rows; a whole number is the class of each."""
  if isinstance(value, int):
    return torch.as_tensor(np.full([count], value), **places)
  if isinstance(value, np.ndarray):
    rows = np.broadcast_to(value, (count, *value.shape))
    return torch.as_tensor(np.array(rows), **places)
  return value


def _is_module(model):
  return all(
    hasattr(model, name) for name in ("forward", "parameters", "state_dict")
  )


def _is_program(model):
  return hasattr(model, "graph_signature") and hasattr(model, "module")


def _inputs(model):
  """Returns the inputs as far as they are known, see `part.Part`."""
  if not _is_program(model):
    function = model.forward if _is_module(model) else model
    return part.parameters(function)
  constants = [
    name for name in model.graph_signature.user_inputs if type(name) is not str
  ]
  if constants:
    listing = ", ".join(map(str, constants))
    raise ValueError(
      f"The program was exported with {listing} as an input, which is now a "
      "constant in it: export it again with a tensor in its place, or with a "
      "module that takes the other inputs only."
    )
  values = {node.name: node.meta.get("val") for node in model.graph.nodes}
  return {
    name: tf.TensorSpec(
      [size if isinstance(size, int) else None for size in values[name].shape],
      str(values[name].dtype).rpartition(".")[2],
      name,
    )
    for name in model.graph_signature.user_inputs
  }
