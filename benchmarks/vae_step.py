"""Times the training of a VAE: python -m benchmarks.vae_step.

The step of `models.vae` as in its trainer, and the same step in PyTorch, whose
network is built from a description of the Keras network and its weights.
"""

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from benchmarks import tasks
from benchmarks import timing
from lc_keras.models import adam
from lc_keras.models import vae
from trainers import loop
from trainers import training

# Networks on images of 64x64x3.
_CASES = {
  "medium": {"architecture": "conv_medium", "latent_size": 256, "batch": 128},
  "small": {"architecture": "conv_small", "latent_size": 256, "batch": 128},
  "the demo's": {"architecture": "toon_faces", "latent_size": 256, "batch": 64},
  "CelebA's": {"architecture": "celeb_a", "latent_size": 1024, "batch": 4},
}
_SHAPE = (64, 64, 3)


class _Step:
  """Training steps of a VAE, as in the trainer."""

  def __init__(self, case, folder):
    keras.utils.set_random_seed(0)
    batch, latent_size = case["batch"], case["latent_size"]
    with training.strategy(1).scope():
      self._model = vae.VAE(_SHAPE, latent_size, case["architecture"])
      self._model.compile(adam.Adam(1e-4))
    images = np.random.default_rng(0).random((batch, *_SHAPE), np.float32)
    self._images = images
    batches = tf.data.Dataset.from_tensors({"image": images}).repeat()
    self._loop = loop.Loop(self._model, batches)
    encoder = _describe(self._model.encoder)
    decoder = _describe(self._model.decoder)
    self.parameters = self._model.count_params()
    self.items = batch
    self.flops = batch * (
      # The gradient with respect to the images is not computed.
      3.0 * sum(map(_flops, encoder))
      - next(filter(None, map(_flops, encoder)))
      + 3.0 * sum(map(_flops, decoder))
    )
    prior = tfp.distributions.MultivariateNormalDiag(
      tf.zeros([batch, latent_size]), tf.ones([latent_size])
    )
    np.savez(
      os.path.join(folder, "arrays.npz"),
      images=images,
      noise=prior.sample(seed=(0, 0)).numpy(),  # As `test_step` draws it.
      **tasks.weights("encoder", self._model.encoder),
      **tasks.weights("decoder", self._model.decoder),
    )
    path = os.path.join(folder, "layers.json")
    with open(path, "w", encoding="utf-8") as file:
      json.dump({"encoder": encoder, "decoder": decoder}, file)

  def loss(self):
    """See `tasks.Task`."""
    return self._model.test_step({"image": self._images})["loss"]

  def run(self, steps):
    """See `tasks.Task`."""
    tasks.train(self._loop, steps)


def _describe(network: keras.Sequential) -> list[dict]:
  """Returns a dict a layer: "kind", "activation", "input" and "output" shape.

  Raises:
    ValueError: The peers do not support a layer.
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


def _flops(layer: Mapping[str, str | int | Sequence[int]]) -> float:
  """Returns the floating point operations of a layer for one example."""
  inputs, outputs = layer["input"], layer["output"]
  match layer["kind"]:
    case "Dense":
      return 2.0 * inputs[-1] * math.prod(outputs)
    case "Conv2D":
      return 2.0 * layer["kernel"] ** 2 * inputs[-1] * math.prod(outputs)
    case "Conv2DTranspose":
      return 2.0 * layer["kernel"] ** 2 * outputs[-1] * math.prod(inputs)
  return 0.0


def _compare():
  machine = timing.machine()
  rows = [
    timing.against_torch(
      name, case, "benchmarks.vae_step", "benchmarks.peers_torch.vae"
    )
    for name, case in _CASES.items()
  ]
  timing.report("vae_step", rows, machine)


if __name__ == "__main__":
  if "--worker" in sys.argv:
    tasks.serve(_Step, tf.constant)
  else:
    timing.run(_compare)
