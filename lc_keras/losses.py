"""The losses of latent constraints, as pure functions.

Every function returns one value per example, shape [batch]; the reduction over
the batch happens in one visible place, the train step.

Equations are those of Engel, Hoffman, Roberts (ICLR 2018,
https://arxiv.org/abs/1711.05772) with their misprints corrected, as the
comments say.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf


def negative_elbo(
  log_likelihood: tf.Tensor, kl_divergence: tf.Tensor, beta: float = 1.0
) -> tf.Tensor:
  """Returns beta * KL(q(z|x) || p(z)) - log p(x|z).

  Args:
    log_likelihood: [batch], log p(x|z) in nats, summed over pixels and
      channels.
    kl_divergence: [batch], in nats.
    beta: Weight of the rate; 1 is the evidence lower bound.

  Returns:
    [batch], in nats.

  >>> import numpy as np
  >>> from lc_keras import losses
  >>> losses.negative_elbo(np.array([-3.0]), np.array([1.0]), beta=2.0)
  array([5.])
  """
  return beta * kl_divergence - log_likelihood


def critic_cross_entropy(logits: tf.Tensor, is_real: bool) -> tf.Tensor:
  """Returns L_{c=1} = -log D or L_{c=0} = -log(1 - D), with D = sigmoid(logit).

  The paper prints L_{c=0} = -(1 - log D), which has no lower bound; this is
  the loss behind its figures.

  Args:
    logits: [batch], the critic's output.
    is_real: Whether the latents are real.

  Returns:
    [batch], in nats.

  >>> import tensorflow as tf
  >>> from lc_keras import losses
  >>> losses.critic_cross_entropy(tf.zeros([2]), is_real=True).numpy()
  array([0.6931472, 0.6931472], dtype=float32)
  """
  labels = tf.ones_like(logits) if is_real else tf.zeros_like(logits)
  return tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)


def attribute_cross_entropy(
  logits: tf.Tensor, attributes: tf.Tensor, mask: tf.Tensor | None = None
) -> tf.Tensor:
  """Returns the cross-entropy of the attributes, as a weighted average.

  Args:
    logits: [batch, num_attributes].
    attributes: [batch, num_attributes] in [0, 1]; NaN is left out.
    mask: [batch, num_attributes], weights from 0 up; a row of zeros has loss 0.
      None weights all known attributes alike.

  Returns:
    [batch], in nats per attribute.

  >>> import tensorflow as tf
  >>> from lc_keras import losses
  >>> logits, attributes = tf.constant([[0.0, 9.0]]), tf.constant([[1.0, 0.0]])
  >>> losses.attribute_cross_entropy(logits, attributes, [[1.0, 0.0]]).numpy()
  array([0.6931472], dtype=float32)
  """
  known = ~tf.math.is_nan(attributes)
  losses = tf.nn.sigmoid_cross_entropy_with_logits(
    labels=tf.where(known, attributes, 0.0), logits=logits
  )
  known = tf.cast(known, losses.dtype)
  losses *= known
  if mask is None:
    return tf.math.divide_no_nan(
      tf.reduce_mean(losses, axis=-1), tf.reduce_mean(known, axis=-1)
    )
  mask *= known
  return tf.math.divide_no_nan(
    tf.reduce_sum(mask * losses, axis=-1), tf.reduce_sum(mask, axis=-1)
  )


def gradient_penalty(gradients: tf.Tensor) -> tf.Tensor:
  """Returns (||grad_z D(z)||_2 - 1)^2, after Gulrajani et al. (2017).

  Args:
    gradients: [batch, latent_size], d logit / d z of the critic, at points
      between a REAL row and its FAKE row. (The paper's released code draws them
      between real and real by mistake.)

  Returns:
    [batch].

  >>> import tensorflow as tf
  >>> from lc_keras import losses
  >>> losses.gradient_penalty(tf.constant([[3.0, 4.0]])).numpy()
  array([16.], dtype=float32)
  """
  # The square root has no gradient at zero: a critic that is flat somewhere
  # must not turn the whole update into NaN.
  norms = tf.sqrt(tf.reduce_sum(tf.square(gradients), axis=-1) + 1e-12)
  return tf.square(norms - 1.0)


def zero_centred_penalty(discriminator, images: tf.Tensor) -> tf.Tensor:
  """Returns R_1 = 1/2 ||grad_x D(x)||_2^2, after Mescheder et al. (2018).

  "Which training methods for GANs do actually converge?",
  https://arxiv.org/abs/1801.04406, equation 9.

  Args:
    discriminator: Maps images to logits [batch].
    images: [batch, height, width, channels], REAL ones.

  Returns:
    [batch].

  >>> import tensorflow as tf
  >>> from lc_keras import losses
  >>> total = lambda images: tf.reduce_sum(images, axis=[1, 2, 3])
  >>> losses.zero_centred_penalty(total, tf.zeros([1, 2, 3, 1])).numpy()
  array([3.], dtype=float32)
  """
  with tf.GradientTape(watch_accessed_variables=False) as tape:
    tape.watch(images)
    logits = discriminator(images)
  gradients = tape.gradient(logits, images)
  return 0.5 * tf.reduce_sum(tf.square(gradients), axis=[1, 2, 3])


def latent_distance(
  latents: tf.Tensor, originals: tf.Tensor, posterior_scale: tf.Tensor
) -> tf.Tensor:
  """Returns L_dist: mean over dimensions of log(1 + (z' - z)^2) / sigma_bar^2.

  A dimension that the encoder uses has a small sigma_bar and is expensive to
  move; an unused one (sigma_bar near 1) is cheap. A MEAN over dimensions:
  summed, a weight of 0.1 would be latent_size times too strong.

  Args:
    latents: [batch, latent_size], z'.
    originals: [batch, latent_size], z.
    posterior_scale: [latent_size], sigma_bar, the encoder's scale averaged
      over the training set.

  Returns:
    [batch].

  >>> import tensorflow as tf
  >>> from lc_keras import losses
  >>> moved, scale = tf.constant([[1.0, 0.0]]), tf.constant([0.5, 1.0])
  >>> losses.latent_distance(moved, tf.zeros([1, 2]), scale).numpy()
  array([1.3862944], dtype=float32)
  """
  squares = tf.square(latents - originals)
  return tf.reduce_mean(
    tf.math.log1p(squares) / tf.square(posterior_scale), axis=-1
  )


def embedding_distance(embedded: tf.Tensor, original: tf.Tensor) -> tf.Tensor:
  """Returns the squared distance of two embeddings, [batch].

  Args:
    embedded: [batch, n], of the moved latents.
    original: [batch, n], of the latents before the move.

  >>> import tensorflow as tf
  >>> from lc_keras import losses
  >>> losses.embedding_distance(tf.ones([1, 3]), tf.zeros([1, 3])).numpy()
  array([3.], dtype=float32)
  """
  return tf.reduce_sum(tf.square(embedded - original), axis=-1)


def noisy_readings(
  critic: Callable[[tf.Tensor], tf.Tensor],
  latents: tf.Tensor,
  noise: Sequence[tf.Tensor],
  *,
  with_clean: bool,
) -> list[tf.Tensor]:
  """Evaluates an attribute critic on noisy copies of latents.

  A request that holds in all copies holds with some margin.

  Args:
    critic: Maps latents to logits [batch, num_attributes].
    latents: [batch, latent_size].
    noise: For each copy, [batch, latent_size].
    with_clean: Whether the latents without noise come first.

  Returns:
    Logits [batch, num_attributes] of each copy.
  """
  copies = [latents] if with_clean else []
  copies += [latents + part for part in noise]
  # One evaluation for all copies.
  return tf.split(critic(tf.concat(copies, axis=0)), len(copies))
