"""Edits of latent vectors that follow a critic's gradient."""

from collections.abc import Callable

import tensorflow as tf

from lc_keras import losses

# An edit is a few gradient steps of one random size, in standard deviations
# along the principal axes of q(z); the longest about as far as two people are
# apart.
_STEPS = 4
_STEP_SIZES = 0.3, 1.5

# Share of the attributes that a random edit targets.
_TARGET_SHARE = 0.3


def random_edit(
  latents: tf.Tensor,
  critic: Callable[[tf.Tensor], tf.Tensor],
  covariance: tf.Tensor,
  seed: tf.Tensor,
) -> tf.Tensor:
  """Moves latent vectors as a gradient search for random attributes would.

  Args:
    latents: [batch, latent_size], the start.
    critic: Maps latents to logits [batch, num_attributes].
    covariance: See `descend`.
    seed: int32 [2], seed of the targets and of the sizes of the moves.
  """
  shape = tf.shape(critic(latents))
  uniform = tf.random.stateless_uniform(tf.concat([[2], shape], 0), seed)
  targets = tf.round(uniform[0])
  # At least one.
  mask = uniform[1] <= tf.maximum(
    tf.reduce_min(uniform[1], axis=-1, keepdims=True), _TARGET_SHARE
  )
  mask = tf.cast(mask, tf.float32)
  return descend(
    latents,
    lambda z: losses.attribute_cross_entropy(critic(z), targets, mask),
    covariance,
    seed,
  )


def descend(
  latents: tf.Tensor,
  error: Callable[[tf.Tensor], tf.Tensor],
  covariance: tf.Tensor,
  seed: tf.Tensor,
) -> tf.Tensor:
  """Moves latent vectors downhill on an error.

  Args:
    latents: [batch, latent_size], the start.
    error: Maps latents to [batch]; the error of a row depends on it alone.
    covariance: [latent_size, latent_size], see `latents.covariance`: moves
      follow directions in which encoded images differ.
    seed: int32 [2], seed of the sizes of the moves.

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
    # `size` deviations along the principal axes, whatever the slope.
    latents -= size * direction * tf.math.rsqrt(squared + 1e-12)
  return latents
