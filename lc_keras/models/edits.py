"""Edits of latent vectors that follow a critic's gradient."""

from collections.abc import Callable

import tensorflow as tf

# An edit is a few steps downhill, of a random size: up to about as far as two
# people are from each other, in deviations along the principal axes of q(z).
_STEPS = 4
_STEP_SIZES = 0.3, 1.5


def lead(
  latents: tf.Tensor,
  error: Callable[[tf.Tensor], tf.Tensor],
  covariance: tf.Tensor,
  seed: tf.Tensor,
) -> tf.Tensor:
  """Moves latent vectors to where an error is small.

  Args:
    latents: [batch, latent_size], the start.
    error: Latents to [batch]; that of a row depends on the row alone.
    covariance: [latent_size, latent_size], see `latents.covariance`: moves are
      made where encoded images differ.
    seed: int32 [2], of the sizes of the moves.

  Returns:
    [batch, latent_size].
  """
  size = tf.random.stateless_uniform(
    [tf.shape(latents)[0], 1], seed, *_STEP_SIZES
  )
  for _ in range(_STEPS):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
      tape.watch(latents)
      values = error(latents)
    slope = tape.gradient(values, latents)
    direction = tf.matmul(slope, covariance)
    squared = tf.reduce_sum(slope * direction, axis=-1, keepdims=True)
    # `size` deviations along the principal axes, however steep it is.
    latents -= size * direction * tf.math.rsqrt(squared + 1e-12)
  return latents
