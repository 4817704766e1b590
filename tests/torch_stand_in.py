"""The part of PyTorch that a generator needs, in NumPy: no dependency.

Where PyTorch is installed, tests use it instead.
"""

import contextlib
import importlib.util
import sys
import types
import zipfile

import numpy as np

_SAVED = {}


class Tensor:
  """Requires a gradient, and so does not convert to an array implicitly."""

  device = "cpu"

  def __init__(self, values, detached=False):
    self.values, self._detached = np.asarray(values), detached
    self.shape, self.dtype = self.values.shape, f"torch.{self.values.dtype}"

  def detach(self):
    return Tensor(self.values, True)

  def cpu(self):
    return self

  def reshape(self, *sizes):
    return Tensor(self.values.reshape(*sizes))

  def to(self, dtype):
    return Tensor(self.values.astype(str(dtype).removeprefix("torch.")))

  def __array__(self, dtype=None, copy=None):
    if not self._detached:
      raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
    return self.values


class Module:
  """A module, to be switched to evaluation."""

  training = True

  def parameters(self):
    return iter([])

  def state_dict(self):
    return {}

  def eval(self):
    self.training = False
    return self

  def __call__(self, *inputs, **named):
    if not all(isinstance(one, Tensor) for one in inputs):
      raise TypeError("argument 'input' must be Tensor, not numpy.ndarray")
    return self.forward(*inputs, **named)


class Linear(Module):
  """A linear layer with fixed weights."""

  def __init__(self, inputs, outputs):
    random = np.random.default_rng(0)
    self.weight = Tensor(random.normal(size=[inputs, outputs]).astype("f"))

  def parameters(self):
    return iter([self.weight])

  def forward(self, input):
    return Tensor(input.values @ self.weight.values)


class Tanh(Module):
  """An activation."""

  def forward(self, input):
    return Tensor(np.tanh(input.values))


class Unflatten(Module):
  """Shapes images."""

  def __init__(self, dim, sizes):
    self._sizes = sizes

  def forward(self, input):
    return Tensor(input.values.reshape(-1, *self._sizes))


class Sequential(Module):
  """One module after the other."""

  def __init__(self, *modules):
    self._modules = modules

  def parameters(self):
    return (one for module in self._modules for one in module.parameters())

  def forward(self, input):
    for module in self._modules:
      input = module(input)
    return input


class Program:
  """A result of torch.export: a graph with known inputs."""

  def __init__(self, module, example, dynamic):
    sizes = list(example.shape)
    for axis in dynamic:
      sizes[axis] = object()  # A symbol, and no number.
    self._module = module
    value = types.SimpleNamespace(shape=sizes, dtype=example.dtype)
    node = types.SimpleNamespace(name="input", meta={"val": value})
    self.graph = types.SimpleNamespace(nodes=[node])
    self.graph_signature = types.SimpleNamespace(user_inputs=["input"])

  def module(self):
    return self._module


def save(program, path):
  with zipfile.ZipFile(path, "w") as file:
    file.writestr("decoder/archive_format", "pt2")
  _SAVED[str(path).rpartition("/")[2]] = program


def load(path, **options):
  return _SAVED[str(path).rpartition("/")[2]]


@contextlib.contextmanager
def installed():
  """Returns a context in which torch can be imported."""
  if "torch" not in sys.modules and importlib.util.find_spec("torch"):
    yield
    return
  # Not by mock.patch.dict, which would also drop modules imported meanwhile.
  before = sys.modules.get("torch")
  sys.modules["torch"] = before or _module()
  try:
    yield
  finally:
    if before is None:
      del sys.modules["torch"]


def _module():
  torch = types.ModuleType("torch")
  torch.__spec__ = types.SimpleNamespace(name="torch")
  torch.__version__ = "0"
  torch.Tensor = Tensor
  torch.no_grad = contextlib.nullcontext
  torch.as_tensor = lambda values, device=None: Tensor(values)
  torch.zeros = lambda *sizes: Tensor(np.zeros(sizes, np.float32))
  torch.nn = types.SimpleNamespace(
    **{c.__name__: c for c in (Module, Linear, Tanh, Unflatten, Sequential)}
  )
  torch.export = types.SimpleNamespace(
    export=lambda module, args, dynamic_shapes=({},): Program(
      module, args[0], dynamic_shapes[0]
    ),
    Dim=str,
    save=save,
    load=load,
  )
  torch.jit = types.SimpleNamespace(load=load)
  return torch
