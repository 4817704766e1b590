"""What p(z) is, and where random numbers come from.

All draws are stateless. A step draws with a seed made of its number and its
replica, so that a resumed run draws what the uninterrupted one would have
drawn; a served row draws with its own seed, so that it does not depend on the
rows it is batched with.
"""

import math

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions

# How much wider than the prior what it must be told from is.
_FAR_OUT = 1.5


def standard_normal(latent_size: int) -> tfd.Distribution:
  """Returns the prior p(z) = N(0, I), event shape [latent_size]."""
  return tfd.MultivariateNormalDiag(
    loc=tf.zeros([latent_size]), scale_diag=tf.ones([latent_size])
  )


def realism_logits(latents: tf.Tensor) -> tf.Tensor:
  """Returns log N(z; 0, I) - log N(z; 0, s^2 I), [batch]: typical, or far out?

  The prior as its own critic, for generators that were made for it (a GAN):
  above 0 for what is rather a draw of it than one of a prior that is half as
  wide again.

  Args:
    latents: [batch, latent_size].
  """
  latent_size = latents.shape[-1]
  squares = tf.reduce_sum(tf.square(latents), axis=-1)
  shrunk = 0.5 * (1.0 - 1.0 / _FAR_OUT**2) * squares
  return latent_size * math.log(_FAR_OUT) - shrunk


def step_seed(step: tf.Tensor, stream: int = 0) -> tf.Tensor:
  """Returns a seed that differs per step, replica and stream.

  Args:
    step: Scalar, the number of updates made so far.
    stream: Tells apart the draws of one step; different models and purposes
      use different streams.

  Returns:
    int32 [2], for `seed=` of stateless functions and of tfp.
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
    draw: Scalar integer that tells apart the draws of rows that need several;
      None is one more, different from all that have a number.

  Returns:
    float32 [batch, latent_size].
  """

  def one(seed):
    seed = seed if draw is None else tf.random.fold_in(seed, draw)
    return tf.random.stateless_normal([latent_size], seed)

  # One int64 as two int32 words, which is what a stateless seed is.
  words = tf.bitcast(seeds, tf.int32)
  return tf.map_fn(
    one, words, fn_output_signature=tf.TensorSpec([latent_size], tf.float32)
  )
