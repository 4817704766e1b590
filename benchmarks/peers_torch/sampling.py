"""Conditional sampling in PyTorch: what `sampling_tasks` does."""

import json
import math
import os

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.peers_torch import latent
from benchmarks.peers_torch import networks
from benchmarks.peers_torch import program

# As in `lc_keras.models.velocity` and `lc_keras.samplers.flow`.
_WAVES = 8
_STEPS = 8
_GUIDANCE = 1.75
# Keras's: of a normalisation.
_EPSILON = 1e-3


class _Sampling:
  """New images of a request each: from the prior to pixels."""

  def __init__(self, case, folder, compiled):
    with open(os.path.join(folder, "layers.json"), encoding="utf-8") as file:
      layers = json.load(file)
    arrays = dict(np.load(os.path.join(folder, "arrays.npz")))
    self._decoder = networks.stack(
      layers, arrays, "decoder", networks.is_mirrored(layers)
    )
    self._prior, self._values = (
      torch.from_numpy(arrays[name]) for name in ("prior", "values")
    )
    if case["sampler"] == "actor":
      self._network = latent.Conditioned(arrays, "network")
      self._made = self._by_actor
    else:
      self._network = _Velocity(arrays, case["depth"])
      self._made = self._by_flow
    modules = nn.ModuleList([self._network, self._decoder])
    self.parameters = sum(p.numel() for p in modules.parameters())
    self.items = len(self._prior)
    self.flops = 0.0
    if compiled:
      self._network, self._decoder = map(
        torch.compile, (self._network, self._decoder)
      )

  def loss(self):
    """See `tasks.Task`."""
    return self._pixels(self._prior).mean()

  def run(self, steps):
    """See `tasks.Task`."""
    for _ in range(steps):
      self._pixels(torch.randn_like(self._prior)).numpy()

  def _pixels(self, prior):
    with torch.inference_mode():
      return torch.sigmoid(self._decoder(self._made(prior)))

  def _by_actor(self, prior):
    mask = torch.ones_like(self._values)
    return latent.moved(self._network, prior, self._values, mask)

  def _by_flow(self, points):
    """Heun's method, with guidance."""
    size = math.pi / 2 / _STEPS
    for step in range(_STEPS):
      first = self._guided(points, step * size)
      second = self._guided(points + size * first, (step + 1) * size)
      points = points + 0.5 * size * (first + second)
    return points

  def _guided(self, points, angle):
    angles, asked = torch.full([len(points)], angle), self._values
    nothing = torch.zeros_like(asked)
    free = self._network(points, angles, asked, nothing)
    told = self._network(points, angles, asked, torch.ones_like(asked))
    return free + _GUIDANCE * (told - free)


class _Velocity(nn.Module):
  """See `lc_keras.models.velocity`."""

  def __init__(self, arrays, depth):
    super().__init__()
    numbers = iter(range(0, 6 + 6 * depth + 2, 2))

    def dense():
      return latent.linear(arrays, "network", next(numbers))

    self._embedding = nn.Sequential(dense(), nn.SiLU(), dense(), nn.SiLU())
    self._entrance = dense()
    self._blocks = nn.ModuleList(
      nn.ModuleList([dense(), dense(), dense()]) for _ in range(depth)
    )
    number = next(numbers)
    scale, center = (arrays[f"network{number + i}"] for i in range(2))
    self._norm = nn.LayerNorm(len(scale), _EPSILON)
    with torch.no_grad():
      self._norm.weight.copy_(torch.from_numpy(scale))
      self._norm.bias.copy_(torch.from_numpy(center))
    self._exit = latent.linear(arrays, "network", number + 2)

  def forward(self, points, angles, values, mask):
    waves = 2.0 * torch.arange(1, _WAVES + 1)
    told = torch.cat(
      [torch.cos(angles[:, None] * waves), values * mask, mask], dim=1
    )
    told = self._embedding(told)
    features = self._entrance(points)
    for first, modulation, second in self._blocks:
      scale, shift = modulation(told).chunk(2, 1)
      norm = functional.layer_norm(features, features.shape[1:], eps=_EPSILON)
      hidden = first(norm) * (1.0 + scale) + shift
      features = features + second(functional.silu(hidden))
    return self._exit(self._norm(features))


if __name__ == "__main__":
  program.serve(__doc__, _Sampling)
