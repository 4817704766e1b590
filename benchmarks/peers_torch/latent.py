"""The cycle of `benchmarks.latent_space` in usual PyTorch."""

import os
import sys
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks import tasks


class _Conditioned(nn.Module):
  """A trunk on z, concatenated with a linear embedding of a request."""

  def __init__(self, arrays, name):
    super().__init__()
    self.embedding = _linear(arrays, name, 0)
    self.trunk = _trunk(arrays, name, 2)

  def forward(self, latents, values, mask):
    told = self.embedding(torch.cat([values * mask, mask], 1))
    return self.trunk(torch.cat([latents, told], 1))


class _Cycle:
  """A cycle of several updates of the critic and one of the actor."""

  def __init__(self, case, folder, compiled):
    del case  # The arrays have all sizes.
    arrays = dict(np.load(os.path.join(folder, "arrays.npz")))
    self._actor = _Conditioned(arrays, "actor")
    self._critic = _Conditioned(arrays, "critic")
    self._read = _trunk(arrays, "read", 0).requires_grad_(False)
    self._rows = [
      torch.from_numpy(arrays[name]) for name in ("mean", "scale", "attributes")
    ]
    self._average = [p.detach().clone() for p in self._actor.parameters()]
    self._optimizers = [
      torch.optim.Adam(
        network.parameters(), 1e-4, (0.0, 0.9), eps=1e-7, fused=True
      )
      for network in (self._actor, self._critic)
    ]
    networks = nn.ModuleList([self._actor, self._critic])
    self.parameters = sum(p.numel() for p in networks.parameters())
    self.items = self._rows[0].shape[1] - 1
    self.flops = 0.0
    self._judge = self._compared
    if compiled:
      # Not the critic: torch.compile does not support second derivatives.
      self._actor = torch.compile(self._actor)

  def loss(self):
    """See `tasks.Task`."""
    mean, _, attributes = (rows[:, 0] for rows in self._rows)
    mask, wrong = torch.ones_like(attributes), attributes.roll(1, 0)
    fake = _moved(self._actor, mean, wrong, mask).detach()
    mix = torch.full([len(mean), 1], 0.5)
    everyone = torch.ones(len(mean))
    return self._judge(
      mean, fake, mix, attributes, attributes, wrong, mask, everyone
    ).detach()

  def run(self, steps):
    """See `tasks.Task`."""
    for _ in range(steps):
      for turn in range(self.items):
        self._update_critic(*(rows[:, turn] for rows in self._rows))
      self._update_actor(*(rows[:, -1] for rows in self._rows))

  def _compared(self, real, fake, mix, own, wanted, wrong, mask, is_wrong):
    logits = self._critic(
      torch.cat([real, fake, real]),
      torch.cat([own, wanted, wrong]),
      mask.repeat(3, 1),
    )
    right, made, mistaken = logits.squeeze(1).chunk(3)
    between = (mix * real + (1.0 - mix) * fake).requires_grad_(True)
    (slopes,) = torch.autograd.grad(
      self._critic(between, wanted, mask).sum(), between, create_graph=True
    )
    norms = torch.sqrt(slopes.square().sum(1) + 1e-12)
    values = functional.softplus(-right) + functional.softplus(made)
    values = values + is_wrong * functional.softplus(mistaken)
    return (values + 10.0 * (norms - 1.0).square()).mean()

  def _update_critic(self, mean, scale, own):
    real = mean + scale * torch.randn_like(mean)
    wrong, mask = own.roll(1, 0), torch.ones_like(own)
    every_second = (torch.arange(len(own)) % 2 == 0)[:, None]
    prior = torch.randn_like(mean)
    wanted = torch.where(every_second, own, wrong)
    with torch.no_grad():
      start = torch.where(every_second, prior, real)
      raw = torch.rand(len(own), 1) < 0.1
      fake = torch.where(raw, prior, _moved(self._actor, start, wanted, mask))
    is_wrong = (wrong != own).any(1).float()
    mix = torch.rand(len(own), 1)
    loss = self._judge(real, fake, mix, own, wanted, wrong, mask, is_wrong)
    self._step(1, loss, self._critic)

  def _update_actor(self, mean, scale, own):
    wanted = torch.cat([own, own.roll(1, 0)])
    mask = torch.ones_like(wanted)
    real = mean + scale * torch.randn_like(mean)
    start = torch.cat([torch.randn_like(mean), real])
    ends = _moved(self._actor, start, wanted, mask)
    logits = self._critic(ends, wanted, mask).squeeze(1)
    distance = (torch.log1p((ends - start).square()) / 0.25).mean(1)
    with torch.no_grad():
      # A metric, as in lc_keras; not part of the loss.
      functional.binary_cross_entropy_with_logits(self._read(ends), wanted)
    loss = (functional.softplus(-logits) + 0.1 * distance).mean()
    self._step(0, loss, self._actor)
    with torch.no_grad():
      torch._foreach_lerp_(self._average, list(self._actor.parameters()), 0.001)

  def _step(self, number, loss, network):
    self._optimizers[number].zero_grad(set_to_none=True)
    loss.backward(inputs=list(network.parameters()))
    self._optimizers[number].step()


def _moved(
  actor: nn.Module,
  latents: torch.Tensor,
  values: torch.Tensor,
  mask: torch.Tensor,
) -> torch.Tensor:
  """Returns the latents that an actor moves to, see `lc_keras.models.actor`."""
  target, gate = actor(latents, values, mask).chunk(2, 1)
  gate = torch.sigmoid(gate)
  return (1.0 - gate) * latents + gate * target


def _linear(arrays: Mapping, name: str, number: int) -> nn.Linear:
  """Returns a layer with the kernel "<name><number>" and the next as bias."""
  kernel, bias = arrays[f"{name}{number}"], arrays[f"{name}{number + 1}"]
  layer = nn.utils.skip_init(nn.Linear, *kernel.shape)
  with torch.no_grad():
    layer.weight.copy_(torch.from_numpy(kernel.T.copy()))
    layer.bias.copy_(torch.from_numpy(bias))
  return layer


def _trunk(arrays, name, first):
  layers = []
  while f"{name}{first}" in arrays:
    layers += [_linear(arrays, name, first), nn.ReLU()]
    first += 2
  return nn.Sequential(*layers[:-1])


if __name__ == "__main__":
  tasks.serve(
    lambda case, folder: _Cycle(case, folder, "--compile" in sys.argv),
    torch.from_numpy,
  )
