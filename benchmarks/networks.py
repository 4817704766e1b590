"""Our networks told to a peer: layers in plain words, weights as arrays."""

import math
from collections.abc import Mapping, Sequence

import keras
import numpy as np


def describe(network: keras.Sequential) -> list[dict]:
  """Returns a layer per dict: "kind", "activation", "input" and "output" shape.

  Raises:
    ValueError: A peer would not know a layer.
  """
  layers = []
  shape = network.input_shape[1:]
  for layer in network.layers:
    told = {"kind": type(layer).__name__, "input": list(shape)}
    shape = layer.output.shape[1:]
    told["output"] = list(shape)
    match told["kind"]:
      case "Conv2D" | "Conv2DTranspose":
        if layer.padding != "same":
          raise ValueError(f"{layer.name} has the padding {layer.padding}.")
        told["kernel"], told["stride"] = layer.kernel_size[0], layer.strides[0]
        told["activation"] = layer.activation.__name__
      case "Dense":
        told["activation"] = layer.activation.__name__
      case "Flatten" | "Reshape" | "SpaceToDepth" | "DepthToSpace":
        pass
      case kind:
        raise ValueError(f"No peer knows a layer {kind}.")
    layers.append(told)
  return layers


def weights(prefix: str, network: keras.Model) -> dict[str, np.ndarray]:
  """Returns the weights in order, as "<prefix>0", "<prefix>1", ..."""
  return {
    f"{prefix}{number}": value
    for number, value in enumerate(network.get_weights())
  }


def forward_flops(layers: Sequence[Mapping]) -> list[float]:
  """Returns what each layer multiplies and adds for one example."""
  return [_flops(layer) for layer in layers]


def training_flops(layers: Sequence[Mapping], first: bool) -> float:
  """Returns what a step does per example, forwards and backwards.

  Args:
    layers: What `describe` returned.
    first: Whether nobody needs the gradient with respect to the input.
  """
  flops = [value for value in forward_flops(layers) if value]
  return 3.0 * sum(flops) - (flops[0] if first else 0.0)


def _flops(layer):
  inputs, outputs = layer["input"], layer["output"]
  match layer["kind"]:
    case "Dense":
      return 2.0 * inputs[-1] * math.prod(outputs)
    case "Conv2D":
      return 2.0 * layer["kernel"] ** 2 * inputs[-1] * math.prod(outputs)
    case "Conv2DTranspose":
      return 2.0 * layer["kernel"] ** 2 * outputs[-1] * math.prod(inputs)
  return 0.0
