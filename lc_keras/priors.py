"""The prior p(z), and stateless random draws.

A step draws with a seed made of its number and its replica, so that a resumed
run draws the same numbers as an uninterrupted one. A served row draws with its
own seed, so that it does not depend on the rows of its batch.
"""

import math

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions

# Deviation of the distribution that `realism_logits` compares the prior with.
_FAR_OUT = 1.5


def standard_normal(latent_size: int) -> tfd.Distribution:
  """Returns the prior p(z) = N(0, I), event shape [latent_size].

  >>> from lc_keras import priors
  >>> priors.standard_normal(4).sample(3, seed=0).shape
  TensorShape([3, 4])
  """
  return tfd.MultivariateNormalDiag(
    loc=tf.zeros([latent_size]), scale_diag=tf.ones([latent_size])
  )


def realism_logits(latents: tf.Tensor) -> tf.Tensor:
  """Returns log N(z; 0, I) - log N(z; 0, s^2 I), [batch], with s = 1.5.

  The prior as a critic, for generators that were trained on it (a GAN): above 0
  for latents that are likelier under the prior than under N(0, s^2 I).

  Args:
    latents: [batch, latent_size].

  >>> import tensorflow as tf
  >>> from lc_keras import priors
  >>> priors.realism_logits(tf.constant([[0.5, -1.0], [3.0, 3.0]])).numpy() > 0
  array([ True, False])
  """
  latent_size = latents.shape[-1]
  squares = tf.reduce_sum(tf.square(latents), axis=-1)
  shrunk = 0.5 * (1.0 - 1.0 / _FAR_OUT**2) * squares
  return latent_size * math.log(_FAR_OUT) - shrunk


def step_seed(step: tf.Tensor, stream: int = 0) -> tf.Tensor:
  """Returns a seed that differs per step, replica and stream.

  Args:
    step: Scalar, the number of updates made so far.
    stream: Distinguishes the draws of one step; each model and purpose has its
      own stream.

  Returns:
    int32 [2], for `seed=` of stateless functions and of tfp.

  >>> import tensorflow as tf
  >>> from lc_keras import priors
  >>> priors.step_seed(tf.constant(7), stream=3).numpy()
  array([7, 3], dtype=int32)
  """
  context = tf.distribute.get_replica_context()
  replica = 0 if context is None else context.replica_id_in_sync_group
  # 1,009 streams a replica: a prime, larger than any stream in use.
  return tf.stack(
    [tf.cast(step, tf.int32), tf.cast(replica, tf.int32) * 1009 + stream]
  )


def sample_rows(
  seeds: tf.Tensor, latent_size: int, draw: tf.Tensor | int | None = None
) -> tf.Tensor:
  """Draws from the prior, row i from seeds[i] alone.

  Args:
    seeds: int64 [batch]; all 64 bits count.
    latent_size: Size of a latent vector.
    draw: Scalar integer that distinguishes several draws of a row; None is
      another draw, different from all numbered ones.

  Returns:
    float32 [batch, latent_size].

  >>> import tensorflow as tf
  >>> from lc_keras import priors
  >>> rows = priors.sample_rows(tf.constant([7, 7, 8], tf.int64), 4).numpy()
  >>> bool((rows[0] == rows[1]).all()), bool((rows[0] == rows[2]).any())
  (True, False)
  """

  def one(seed):
    seed = seed if draw is None else tf.random.fold_in(seed, draw)
    return tf.random.stateless_normal([latent_size], seed)

  # A stateless seed is two int32 words, here those of the int64.
  words = tf.bitcast(seeds, tf.int32)
  return tf.map_fn(
    one, words, fn_output_signature=tf.TensorSpec([latent_size], tf.float32)
  )
