"""Latent constraints in one file, for readers of the paper.

Engel, Hoffman, Roberts, "Latent Constraints: Learning to Generate Conditionally
from Unconditional Generative Models", ICLR 2018, arXiv 1711.05772.

  python examples/latent_constraints.py  # Minutes to half an hour

A VAE learns faces without labels and is frozen; its prior has holes. Faces are
encoded once. A critic D(z, y) learns to tell encoded faces with their labels
from all else, and an actor G(z, y) to move any z to where D agrees: from a draw
of the prior it samples, from an encoded face it edits.
"""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from PIL import Image

from lc_keras import losses
from lc_keras.data.toon_faces import factors
from lc_keras.data.toon_faces import looks
from lc_keras.data.toon_faces import renderer

tfd, nn = tfp.distributions, keras.layers
NAMES = ["Smiling", "Male", "Eyeglasses"]
SIZE, SIGMA_X, LAMBDA_DISTANCE, CRITIC_STEPS = 64, 0.1, 0.1, 5
DOWN = (48, 8, 4), (96, 4, 2), (192, 4, 2)  # filters, kernel, stride


class VAE(keras.Model):
  """p(x|z) p(z) and q(z|x), trained on the negative ELBO, in nats."""

  def __init__(self):
    super().__init__()
    options = {"padding": "same", "activation": "relu"}
    down = [nn.Conv2D(n, k, s, **options) for n, k, s in DOWN]
    self.encoder = keras.Sequential([*down, nn.Flatten(), nn.Dense(2 * SIZE)])
    up = [nn.Dense(8 * 8 * 96, "relu"), nn.Reshape([8, 8, 96])]
    up += [nn.Conv2DTranspose(64, 4, 2, **options)]
    self.decoder = keras.Sequential([*up, nn.Conv2DTranspose(3, 8, 4, "same")])
    self.prior = tfd.MultivariateNormalDiag(tf.zeros(SIZE), tf.ones(SIZE))

  def encode(self, images):
    mean, raw_scale = tf.split(self.encoder(images), 2, axis=-1)
    return tfd.MultivariateNormalDiag(mean, tf.nn.softplus(raw_scale) + 1e-5)

  def decode(self, latents):
    pixels = tfd.Normal(tf.sigmoid(self.decoder(latents)), SIGMA_X)
    return tfd.Independent(pixels, 3)

  def train_step(self, images):
    with tf.GradientTape() as tape:
      posterior = self.encode(images)
      likelihood = self.decode(posterior.sample()).log_prob(images)
      rate = tfd.kl_divergence(posterior, self.prior)
      loss = tf.reduce_mean(losses.negative_elbo(likelihood, rate))
    variables = self.trainable_variables
    self.optimizer.apply(tape.gradient(loss, variables), variables)
    return {"loss": loss, "rate": tf.reduce_mean(rate)}


def network(outputs):
  first = keras.Input([SIZE + len(NAMES)]), nn.Dense(256, "relu")
  return keras.Sequential([*first, nn.Dense(256, "relu"), nn.Dense(outputs)])


class ActorCritic(keras.Model):
  """D(z, y) as a logit, and G(z, y) = (1 - gate) * z + gate * dz."""

  def __init__(self, posterior_scale):
    super().__init__()
    self.critic, self.actor = network(1), network(2 * SIZE)
    self.posterior_scale = tf.constant(posterior_scale)
    self.compile(keras.optimizers.Adam(3e-4, 0.0, 0.9))
    self.critic_optimizer = keras.optimizers.Adam(3e-4, 0.0, 0.9)
    self.optimizer.build(self.actor.trainable_variables)
    self.critic_optimizer.build(self.critic.trainable_variables)

  def judge(self, latents, labels):
    return self.critic(tf.concat([latents, labels], -1))[:, 0]

  def move(self, latents, labels):
    target, gate = tf.split(self.actor(tf.concat([latents, labels], -1)), 2, -1)
    return latents + tf.sigmoid(gate) * (target - latents)

  def train_step(self, batch):
    mean, scale, labels = batch
    for _ in range(CRITIC_STEPS):
      self.update_critic(*self.draw(mean, scale, labels), labels)
    _, start, asked = self.draw(mean, scale, labels)
    with tf.GradientTape() as tape:
      moved = self.move(start, asked)
      realism = losses.critic_cross_entropy(self.judge(moved, asked), True)
      distance = losses.latent_distance(moved, start, self.posterior_scale)
      loss = tf.reduce_mean(realism + LAMBDA_DISTANCE * distance)
    variables = self.actor.trainable_variables
    self.optimizer.apply(tape.gradient(loss, variables), variables)
    return {"realism": tf.reduce_mean(realism)}

  def draw(self, mean, scale, labels):
    """Returns encoded faces, the actor's starts, and labels asked of them."""
    real = mean + scale * tf.random.normal(tf.shape(mean))
    # Half start from the prior, half from a face that has other labels.
    from_prior = tf.random.uniform([tf.shape(mean)[0], 1]) < 0.5
    start = tf.where(from_prior, tf.random.normal(tf.shape(mean)), real)
    return real, start, tf.where(from_prior, labels, tf.roll(labels, 1, 0))

  def update_critic(self, real, start, asked, labels):
    fake, wrong = self.move(start, asked), tf.roll(labels, 1, axis=0)
    apart = tf.cast(tf.reduce_any(wrong != labels, -1), tf.float32)
    between = fake + tf.random.uniform([tf.shape(real)[0], 1]) * (real - fake)
    with tf.GradientTape() as tape:
      with tf.GradientTape() as inner:
        inner.watch(between)
        logits = self.judge(between, asked)
      loss = 10.0 * losses.gradient_penalty(inner.gradient(logits, between))
      loss += losses.critic_cross_entropy(self.judge(real, labels), True)
      loss += losses.critic_cross_entropy(self.judge(fake, asked), False)
      on_wrong = losses.critic_cross_entropy(self.judge(real, wrong), False)
      loss = tf.reduce_mean(loss + apart * on_wrong)
    variables = self.critic.trainable_variables
    self.critic_optimizer.apply(tape.gradient(loss, variables), variables)


def main(out="faces.png", count=6000, vae_epochs=24, epochs=60):
  drawn = factors.sample(0, 0, count)
  images = renderer.render(drawn, looks.STUDIO).astype(np.float32) / 255
  columns = [factors.NAMES.index(name) for name in NAMES]
  labels, vae = drawn.labels[:, columns].astype(np.float32), VAE()
  vae.compile(keras.optimizers.Adam(1e-3))
  vae.fit(images, batch_size=64, epochs=vae_epochs, verbose=2)
  codes = [vae.encode(part) for part in np.array_split(images, 20)]
  mean = np.concatenate([code.mean() for code in codes])
  scale = np.concatenate([code.stddev() for code in codes])
  model = ActorCritic(scale.mean(axis=0))
  rows = tf.data.Dataset.from_tensor_slices((mean, scale, labels))
  rows = rows.shuffle(count).batch(64, drop_remainder=True).prefetch(2)
  model.fit(rows, epochs=epochs, verbose=2)
  prior, start = tf.random.normal([8, SIZE]), tf.constant(mean[:8])
  women = tf.tile([[1.0, 0.0, 1.0]], [8, 1])  # They smile, and wear glasses.
  latents = [prior, model.move(prior, women), start]
  for column in np.eye(len(NAMES)):  # Each attribute switched, one at a time.
    latents.append(model.move(start, np.abs(labels[:8] - column)))
  shown = np.vstack([np.hstack(vae.decode(row).mean()) for row in latents])
  Image.fromarray(np.uint8(255 * shown)).save(out)


if __name__ == "__main__":
  main()
