"""Our side of what is measured of a VAE: a training step, an encoding pass.

Started by `vae_step` and `encoding`; what it is told to build is in `cases`.
"""

import itertools
import json
import os

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from benchmarks import networks
from benchmarks import tasks
from lc_keras.data import latents
from lc_keras.models import adam
from lc_keras.models import vae
from trainers import loop
from trainers import training


class _Step:
  """Steps of a VAE, as the trainer makes them."""

  def __init__(self, case, folder):
    keras.utils.set_random_seed(0)
    batch, latent_size = case["batch"], case["latent_size"]
    shape = case["image_shape"]
    with training.strategy(1).scope():
      self._model = vae.VAE(shape, latent_size, case["architecture"])
      optimizer = adam.Adam(1e-4)
      optimizer.build(self._model.trainable_variables)
      self._model.compile(optimizer=optimizer, jit_compile=False)
    images = np.random.default_rng(0).random((batch, *shape), np.float32)
    self._images = images
    batches = tf.data.Dataset.from_tensors({"image": images}).repeat()
    self._loop = loop.Loop(self._model, batches)
    encoder = networks.describe(self._model.encoder)
    decoder = networks.describe(self._model.decoder)
    self.parameters = self._model.count_params()
    self.items = batch
    self.flops = batch * (
      networks.training_flops(encoder, first=True)
      + networks.training_flops(decoder, first=False)
    )
    prior = tfp.distributions.MultivariateNormalDiag(
      tf.zeros([batch, latent_size]), tf.ones([latent_size])
    )
    # What `test_step` draws.
    noise = prior.sample(seed=(0, 0)).numpy()
    np.savez(
      os.path.join(folder, "arrays.npz"),
      images=images,
      noise=noise,
      **networks.weights("encoder", self._model.encoder),
      **networks.weights("decoder", self._model.decoder),
    )
    with open(
      os.path.join(folder, "layers.json"), "w", encoding="utf-8"
    ) as file:
      json.dump({"encoder": encoder, "decoder": decoder}, file)

  def loss(self):
    """See `tasks.Task`."""
    return self._model.test_step({"image": self._images})["loss"]

  def run(self, steps):
    """See `tasks.Task`."""
    tasks.train(self._loop, steps)


class _Encoding(_Step):
  """Batches through `latents.encode`."""

  def __init__(self, case, folder):
    super().__init__(case, folder)
    layers = networks.describe(self._model.encoder)
    self.flops = self.items * sum(networks.forward_flops(layers))
    batches = tf.data.Dataset.from_tensors(
      {"image": self._images, "attributes": np.zeros([len(self._images), 1])}
    ).repeat()
    # One pass all along: beginning another one compiles.
    self._pieces = latents.encode(self._model, batches)

  def run(self, steps):
    """See `tasks.Task`."""
    list(itertools.islice(self._pieces, steps))


def _build(case, folder):
  return {"step": _Step, "encoding": _Encoding}[case["work"]](case, folder)


if __name__ == "__main__":
  tasks.serve(_build, tf.constant)
