"""The pixel classifier, which scores results."""

from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from lc_keras import losses
from lc_keras import recipes
from lc_keras import training as trainings
from lc_keras.models import adam
from lc_keras.models import architectures
from lc_keras.models import stored_model


class PixelClassifier(stored_model.StoredModel):
  """One logit per attribute from an image.

  Engel et al. 2018, appendix. Its features also serve as the space in which
  images are compared.

  >>> import tensorflow as tf
  >>> import lc_keras
  >>> classifier = lc_keras.PixelClassifier((8, 16, 1), 2, "mlp")
  >>> tuple(classifier(tf.zeros([3, 8, 16, 1])).shape)
  (3, 2)
  """

  REPORTS = ("loss", "accuracy")

  def __init__(
    self,
    image_shape: Sequence[int],
    num_attributes: int,
    architecture: str,
    **kwargs,
  ):
    """Creates and builds the classifier.

    Args:
      image_shape: (height, width, channels).
      num_attributes: Number of logits.
      architecture: A name in `architectures.NAMES`.
      **kwargs: For `keras.Model`.
    """
    super().__init__(**kwargs)
    self.image_shape = tuple(image_shape)
    networks = architectures.get(architecture, self.image_shape)
    self.features = architectures.stack(
      self.image_shape, networks.classifier(self.image_shape), name="features"
    )
    size = self.features.output_shape[-1]
    self.head = architectures.stack(
      (size,), [architectures.dense(size, num_attributes)], name="head"
    )
    *_, last = self.features.layers
    is_map = isinstance(last, keras.layers.Flatten)
    self._channels = last.input.shape[-1] if is_map else size
    self.built = True

  def call(self, images):
    """Returns logits [batch, num_attributes] of images in [0, 1]."""
    return tf.cast(self.head(self.features(images)), tf.float32)

  def logits_and_features(
    self, images: tf.Tensor
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns logits, and the features in which images are compared.

    Args:
      images: [batch, *image_shape] in [0, 1].

    Returns:
      [batch, num_attributes], and [batch, d]: features of a map are averaged
      over its positions, as those of Inception are for an FID.
    """
    features = self.features(images)
    maps = tf.reshape(features, [tf.shape(images)[0], -1, self._channels])
    return self.head(features), tf.reduce_mean(maps, axis=1)

  def train_step(self, batch: Mapping[str, tf.Tensor]) -> dict:
    """See base class. Uses "image" and "attributes"."""
    with tf.GradientTape() as tape:
      logits = self(batch["image"])
      values = losses.attribute_cross_entropy(logits, batch["attributes"])
      loss = tf.nn.compute_average_loss(values)
    gradients = tape.gradient(loss, self.trainable_variables)
    self.optimizer.apply(gradients, self.trainable_variables)
    return self._report_readings(values, logits, batch["attributes"])

  def test_step(self, batch: Mapping[str, tf.Tensor]) -> dict:
    """See base class."""
    logits = self(batch["image"])
    values = losses.attribute_cross_entropy(logits, batch["attributes"])
    return self._report_readings(values, logits, batch["attributes"])


def training(recipe: recipes.Classifier, data) -> trainings.Training:
  """Returns the training of a classifier on images and labels.

  Args:
    recipe: The settings.
    data: `arrays.Source`, whose attributes the classifier reads.
  """
  keras.utils.set_random_seed(recipe.seed)
  with trainings.precision(recipe):
    model = PixelClassifier(
      data.image_shape, len(data.attributes), recipe.architecture
    )
  model.compile(adam.Adam(trainings.learning_rate(recipe)))
  return trainings.on_images(model, recipe, data)
