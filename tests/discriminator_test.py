"""Tests of discriminator."""

import numpy as np
import tensorflow as tf

from lc_keras.models import discriminator

_SHAPE, _ATTRIBUTES = (8, 16, 1), 5


def _images(rows):
  random = np.random.default_rng(0)
  return tf.constant(random.random([rows, *_SHAPE]), tf.float32)


def _labels(rows):
  random = np.random.default_rng(1)
  return tf.constant(random.integers(0, 2, [rows, _ATTRIBUTES]), tf.float32)


class DiscriminatorTest(tf.test.TestCase):
  def setUp(self):
    super().setUp()
    self.model = discriminator.Discriminator(_SHAPE, _ATTRIBUTES, "mlp")

  def test_gives_a_logit_a_row(self):
    self.assertEqual(self.model(_images(3), _labels(3)).shape, [3])
    self.assertEqual(self.model.evidence(_images(3)).shape, [3, 6])

  def test_an_attribute_counts_for_or_against(self):
    evidence = tf.constant([[0.5, 1.0, 10.0, 100.0, 1000.0, 10000.0]])
    for labels, logit in (
      ([1, 1, 1, 1, 1], 11111.5),
      ([0, 0, 0, 0, 0], -11110.5),
      ([1, 0, 0, 0, 0], -11108.5),
      ([1, 0.5, 0.5, 0.5, 0.5], 1.5),  # Half is to say nothing.
    ):
      judged = self.model.judge(evidence, tf.constant([labels], tf.float32))
      self.assertAllClose(judged, [logit])

  def test_without_attributes_it_judges_images_alone(self):
    model = discriminator.Discriminator(_SHAPE, 0, "mlp")
    logits = model(_images(3), tf.zeros([3, 0]))
    self.assertAllEqual(logits, model.evidence(_images(3))[:, 0])

  def test_gradients_reach_every_variable_and_the_image(self):
    images = _images(3)
    with tf.GradientTape() as tape:
      tape.watch(images)
      loss = tf.reduce_sum(self.model(images, _labels(3)) ** 2)
    variables = [images, *self.model.trainable_variables]
    for gradient in tape.gradient(loss, variables):
      self.assertGreater(tf.norm(gradient), 0.0)


if __name__ == "__main__":
  tf.test.main()
