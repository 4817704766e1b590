"""Predicts another network's embedding of an image from its latent vector."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from lc_keras import losses
from lc_keras import priors
from lc_keras.models import architectures
from lc_keras.models import layers
from lc_keras.models import stored_model

# Training noise in units of the posterior's scale, and its limit, the prior's.
_NOISE, _MOST_NOISE = 3.0, 1.0


class EmbeddingModel(stored_model.StoredModel):
  """e(z): the mean of several networks, each trained without one fold of rows.

  An edit that keeps e(z) keeps what the embedding describes, such as a person's
  identity, without decoding an image.

  >>> model = EmbeddingModel(8, 3, width=16, depth=1)
  >>> model(tf.zeros([5, 8])).shape
  TensorShape([5, 3])
  """

  REPORTS = ("loss",)

  def __init__(
    self,
    latent_size: int,
    size: int,
    width: int = 512,
    depth: int = 1,
    folds: int = 5,
    scales: Sequence[float] | None = None,
    dropout: float = 0.5,
    **kwargs,
  ):
    """Creates and builds the networks.

    Args:
      latent_size: Size of z.
      size: Size of the embedding.
      width: Units of every hidden layer.
      depth: Number of hidden layers.
      folds: Number of networks.
      scales: See `architectures.on_latents`.
      dropout: See there. Without it, the networks overfit few images.
      **kwargs: For `keras.Model`.
    """
    super().__init__(**kwargs)
    self.networks = layers.Mean(
      [
        architectures.on_latents(
          latent_size, width, depth, size, scales, dropout
        )
        for _ in range(folds)
      ]
    )
    self.built = True

  def call(self, latents: tf.Tensor) -> tf.Tensor:
    """Returns embeddings [batch, size] of latents [batch, latent_size]."""
    return self.networks(latents)

  def by_member(self, latents: tf.Tensor, training: bool = False) -> tf.Tensor:
    """Returns the embeddings of each network, [batch, folds, size]."""
    return self.networks.by_member(latents, training)

  def train_step(self, batch: Mapping[str, tf.Tensor]) -> dict:
    """See base class.

    Args:
      batch: "mean" and "scale" [batch, latent_size], "embedding" [batch, size],
        and "fold" int [batch], the network that must not see the row.
    """
    noise = tf.random.stateless_normal(
      tf.shape(batch["mean"]), priors.step_seed(self.optimizer.iterations)
    )
    noise *= tf.minimum(_NOISE * batch["scale"], _MOST_NOISE)
    seen = 1.0 - tf.one_hot(batch["fold"], len(self.networks.members))
    with tf.GradientTape() as tape:
      errors = losses.embedding_distance(
        self.by_member(batch["mean"] + noise, training=True),
        batch["embedding"][:, tf.newaxis],
      )
      values = tf.reduce_mean(seen * errors, axis=-1)
      loss = tf.nn.compute_average_loss(values)
    gradients = tape.gradient(loss, self.trainable_variables)
    self.optimizer.apply(gradients, self.trainable_variables)
    return self._report(loss=values)
