"""A VAE in PyTorch: the training step of `benchmarks.vae_step`."""

import json
import math
import os
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks import tasks
from benchmarks.peers_torch import networks

# As in `lc_keras.models.vae`.
_SMALLEST_SCALE = 1e-5
_OBSERVATION_SCALE = 0.1


class _Step:
  """Steps of the usual training loop: loss, backward, Adam."""

  def __init__(self, case, folder, compiled):
    with open(os.path.join(folder, "layers.json"), encoding="utf-8") as file:
      layers = json.load(file)
    arrays = np.load(os.path.join(folder, "arrays.npz"))
    mirrored = networks.is_mirrored(layers["encoder"] + layers["decoder"])
    self.encoder, self.decoder = (
      networks.stack(layers[name], arrays, name, mirrored)
      for name in ("encoder", "decoder")
    )
    self.images = networks.images(arrays["images"], mirrored)
    self._noise = torch.from_numpy(arrays["noise"])
    modules = nn.ModuleList([self.encoder, self.decoder])
    self.parameters = sum(p.numel() for p in modules.parameters())
    self.items = len(self.images)
    self.flops = 0.0  # The Keras worker counts them.
    self._optimizer = torch.optim.Adam(
      modules.parameters(), lr=1e-4, eps=1e-7, fused=True
    )
    self._loss = torch.compile(self._terms) if compiled else self._terms

  def posterior(self, images):
    """Returns the mean and the scale of q(z|x)."""
    mean, raw_scale = self.encoder(images).chunk(2, dim=1)
    return mean, functional.softplus(raw_scale) + _SMALLEST_SCALE

  def _terms(self, images, noise):
    """Returns the metrics of a step: loss, distortion, rate, squared error."""
    mean, scale = self.posterior(images)
    pixels = torch.sigmoid(self.decoder(mean + scale * noise))
    error = networks.square_error(pixels, images)
    count = images[0].numel()
    constant = count * math.log(_OBSERVATION_SCALE * math.sqrt(2.0 * math.pi))
    distortion = 0.5 / _OBSERVATION_SCALE**2 * error + constant
    rate = 0.5 * (mean**2 + scale**2 - 2.0 * scale.log() - 1.0).sum(1)
    loss = (distortion + rate).mean()
    return loss, distortion.mean(), rate.mean(), error.mean() / count

  def loss(self):
    """See `tasks.Task`."""
    with torch.no_grad():
      return self._terms(self.images, self._noise)[0]

  def run(self, steps):
    """See `tasks.Task`."""
    for _ in range(steps):
      noise = torch.randn_like(self._noise)
      loss, *_ = self._loss(self.images, noise)
      self._optimizer.zero_grad(set_to_none=True)
      loss.backward()
      self._optimizer.step()


if __name__ == "__main__":
  tasks.serve(
    lambda case, folder: _Step(case, folder, "--compile" in sys.argv),
    torch.from_numpy,
  )
