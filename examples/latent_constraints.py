"""Latent constraints in one file, for readers of the paper.

Engel, Hoffman, Roberts, "Latent Constraints: Learning to Generate Conditionally
from Unconditional Generative Models", ICLR 2018, arXiv 1711.05772.

  python -m examples.latent_constraints  # 150 seconds of CPU, runs/faces.png

A VAE learns faces without labels and is frozen; its prior has holes. Faces are
encoded once. A critic D(z, y) learns to tell encoded faces with their labels
from other pairs, and an actor G(z, y) to move any z to where D accepts it: a
draw of the prior becomes a sample, an encoded face becomes an edit.
"""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from lc_keras import losses
from lc_keras import plotting
from lc_keras.data.toon_faces import factors
from lc_keras.data.toon_faces import looks
from lc_keras.data.toon_faces import renderer

tfd, nn = tfp.distributions, keras.layers
NAMES = ["Smiling", "Male", "Eyeglasses"]
SIZE, SIGMA_X, LAMBDA_DISTANCE, CRITIC_STEPS = 64, 0.1, 0.05, 3


class VAE(keras.Model):
  """p(x|z) p(z) and q(z|x), trained on the negative ELBO, in nats."""

  def __init__(self):
    super().__init__()
    options = {"padding": "same", "activation": "relu"}
    down = [nn.Conv2D(48, 4, 4, **options), nn.Conv2D(96, 4, 2, **options)]
    self.encoder = keras.Sequential([*down, nn.Flatten(), nn.Dense(2 * SIZE)])
    up = [nn.Dense(4 * 4 * 96, "relu"), nn.Reshape([4, 4, 96])]
    up += [nn.Conv2DTranspose(48, 4, 2, **options)]
    self.decoder = keras.Sequential([*up, nn.Conv2DTranspose(3, 4, 4, "same")])
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
    self.compile(keras.optimizers.Adam(1e-3, 0.0, 0.9))
    self.critic_optimizer = keras.optimizers.Adam(1e-3, 0.0, 0.9)
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
      self.update_critic(*self.draw(mean, scale, labels)[:3], labels)
    _, start, asked, is_face = self.draw(mean, scale, labels)
    with tf.GradientTape() as tape:
      moved = self.move(start, asked)
      realism = losses.critic_cross_entropy(self.judge(moved, asked), True)
      distance = losses.latent_distance(moved, start, self.posterior_scale)
      loss = tf.reduce_mean(realism + LAMBDA_DISTANCE * is_face * distance)
    variables = self.actor.trainable_variables
    self.optimizer.apply(tape.gradient(loss, variables), variables)
    return {"realism": tf.reduce_mean(realism)}

  def draw(self, mean, scale, labels):
    """Returns faces, starts (half prior, half faces), requests, is_face."""
    real = mean + scale * tf.random.normal(tf.shape(mean))
    is_face = tf.random.uniform([tf.shape(mean)[0], 1]) < 0.5
    start = tf.where(is_face, real, tf.random.normal(tf.shape(mean)))
    asked = tf.where(is_face, tf.roll(labels, 1, axis=0), labels)
    return real, start, asked, tf.cast(is_face[:, 0], tf.float32)

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


def main(out="runs/faces.png", count=6000, vae_epochs=24, epochs=30):
  keras.utils.set_random_seed(0)
  drawn = factors.sample(0, 0, count)
  images = renderer.render(drawn, looks.STUDIO).astype(np.float32) / 255
  images = images.reshape(count, 32, 2, 32, 2, 3).mean(axis=(2, 4))  # By half.
  columns = [factors.NAMES.index(name) for name in NAMES]
  labels, vae = drawn.labels[:, columns].astype(np.float32), VAE()
  vae.compile(keras.optimizers.Adam(2e-3))
  vae.fit(images, batch_size=64, epochs=vae_epochs, verbose=2)
  codes = vae.encode(images)
  mean, scale = codes.mean().numpy(), codes.stddev().numpy()
  model = ActorCritic(scale.mean(axis=0))
  rows = tf.data.Dataset.from_tensor_slices((mean, scale, labels))
  rows = rows.shuffle(count).batch(128, drop_remainder=True).prefetch(2)
  model.fit(rows, epochs=epochs, shuffle=False, verbose=2)
  prior, faces = tf.random.normal([8, SIZE]), tf.constant(mean[:8])
  women = model.move(prior, tf.tile([[1.0, 0.0, 1.0]], [8, 1]))
  shown = {"prior": prior, "women, smile,\nglasses": women, "faces": faces}
  for name, column in zip(NAMES, np.eye(len(NAMES))):
    shown[f"{name}\nswitched"] = model.move(faces, np.abs(labels[:8] - column))
  pixels = np.stack([vae.decode(latents).mean() for latents in shown.values()])
  plotting.save(plotting.grid(pixels, list(shown), scale=3), out)


if __name__ == "__main__":
  main()
