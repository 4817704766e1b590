"""Builds PyTorch networks from the descriptions of `benchmarks.vae_step`.

Convolutions are channels last, which is the faster layout on a CPU.
TensorFlow's "same" pads unevenly where PyTorch can only pad evenly (kernels of
3 and 5 at a stride of 2). Such networks get mirrored images and mirrored
kernels: the same function, without a padded copy of the images.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional


def stack(
  layers: Sequence[Mapping], arrays: Mapping, prefix: str, mirrored: bool
) -> nn.Sequential:
  """Returns a network with the weights of the Keras network.

  Args:
    layers: The description by `benchmarks.vae_step`.
    arrays: Weights as "<prefix>0", "<prefix>1", ...
    prefix: Prefix of these names.
    mirrored: Whether images are mirrored.
  """
  modules, number = [], 0
  for place, layer in enumerate(layers):
    kind = layer["kind"]
    if kind in ("Conv2D", "Conv2DTranspose", "Dense"):
      kernel = arrays[f"{prefix}{number}"]
      bias = arrays[f"{prefix}{number + 1}"]
      number += 2
      if kind == "Dense":
        if mirrored:
          kernel, bias = _mirror_dense(layers, place, kernel, bias)
        modules.append(_dense(kernel, bias))
      else:
        modules.append(_convolution(layer, kernel, bias, mirrored))
      if layer["activation"] == "relu":
        modules.append(nn.ReLU(inplace=True))
      elif layer["activation"] != "linear":
        raise ValueError(f"Unknown activation {layer['activation']}.")
    elif kind == "Flatten":
      modules.append(_Flatten())
    elif kind == "Reshape":
      modules.append(_Reshape(layer["output"]))
    elif kind == "SpaceToDepth" and not mirrored:
      modules.append(_SpaceToDepth(layer["input"][0] // layer["output"][0]))
    elif kind == "DepthToSpace" and not mirrored:
      modules.append(_DepthToSpace(layer["output"][0] // layer["input"][0]))
    else:
      raise ValueError(f"Unknown layer {kind}, mirrored={mirrored}.")
  network = nn.Sequential(*modules)
  return network.to(memory_format=torch.channels_last)


def is_mirrored(layers: Sequence[Mapping]) -> bool:
  """Returns whether "same" pads any layer unevenly."""
  return any(
    layer.get("kernel", 1) > layer.get("stride", 1)
    and (layer["kernel"] - layer["stride"]) % 2
    for layer in layers
  )


def images(array: np.ndarray, mirrored: bool) -> torch.Tensor:
  """Returns [batch, height, width, channels] as [batch, channels, ...].

  A view: in memory the channels stay last.
  """
  if mirrored:
    array = array[:, ::-1, ::-1]
  tensor = torch.from_numpy(np.ascontiguousarray(array))
  return tensor.permute(0, 3, 1, 2)


def _mirror_dense(layers, place, kernel, bias):
  """Mirrors the weights of a dense layer after or before feature maps."""
  before = layers[place - 1] if place else {"kind": None}
  after = layers[place + 1] if place + 1 < len(layers) else {"kind": None}
  if before["kind"] == "Flatten" and len(before["input"]) == 3:
    grid = kernel.reshape(*before["input"], -1)
    kernel = grid[::-1, ::-1].reshape(kernel.shape)
  if after["kind"] == "Reshape" and len(after["output"]) == 3:
    grid = kernel.reshape(-1, *after["output"])
    kernel = grid[:, ::-1, ::-1].reshape(kernel.shape)
    bias = bias.reshape(after["output"])[::-1, ::-1].reshape(-1)
  return kernel, bias


def _dense(kernel, bias):
  module = nn.utils.skip_init(nn.Linear, *kernel.shape)
  _set(module, kernel.T, bias)
  return module


def _convolution(layer, kernel, bias, mirrored):
  size, stride = layer["kernel"], layer["stride"]
  padding = max(size - stride + 1, 0) // 2
  channels = layer["input"][-1], layer["output"][-1]
  if mirrored:
    kernel = kernel[::-1, ::-1]
  if layer["kind"] == "Conv2D":
    module = nn.utils.skip_init(
      nn.Conv2d, *channels, size, stride=stride, padding=padding
    )
  else:
    module = nn.utils.skip_init(
      nn.ConvTranspose2d,
      *channels,
      size,
      stride=stride,
      padding=padding,
      output_padding=stride - size + 2 * padding,
    )
  # [height, width, in, out] -> [out, in, height, width], and for a transposed
  # one [height, width, out, in] -> [in, out, height, width].
  _set(module, kernel.transpose(3, 2, 0, 1), bias)
  return module


def _set(module, weight, bias):
  with torch.no_grad():
    module.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
    module.bias.copy_(torch.from_numpy(np.ascontiguousarray(bias)))


class _Flatten(nn.Module):
  """Flattens in the order of channels last, which needs no copy."""

  def forward(self, x):
    return x.permute(0, 2, 3, 1).flatten(1) if x.dim() == 4 else x.flatten(1)


class _Reshape(nn.Module):
  def __init__(self, shape):
    super().__init__()
    self._shape = shape

  def forward(self, x):
    x = x.reshape(-1, *self._shape)
    return x.permute(0, 3, 1, 2) if x.dim() == 4 else x


class _SpaceToDepth(nn.Module):
  def __init__(self, block):
    super().__init__()
    self._block = block

  def forward(self, x):
    batch, channels, height, width = x.shape
    block = self._block
    x = x.permute(0, 2, 3, 1).reshape(
      batch, height // block, block, width // block, block, channels
    )
    x = x.permute(0, 1, 3, 2, 4, 5)
    return x.reshape(
      batch, height // block, width // block, block**2 * channels
    ).permute(0, 3, 1, 2)


class _DepthToSpace(nn.Module):
  def __init__(self, block):
    super().__init__()
    self._block = block

  def forward(self, x):
    batch, channels, height, width = x.shape
    block, channels = self._block, channels // self._block**2
    x = x.permute(0, 2, 3, 1).reshape(
      batch, height, width, block, block, channels
    )
    x = x.permute(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, height * block, width * block, channels).permute(
      0, 3, 1, 2
    )


def square_error(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
  """Returns the squared error per example, summed over everything else."""
  return functional.mse_loss(x, y, reduction="none").flatten(1).sum(1)
