"""Tests that unknown labels are used nowhere, and are no error."""

import keras
import numpy as np
import tensorflow as tf

from lc_keras import losses
from lc_keras import parts as parts_module
from lc_keras.constraints import attributes as attribute_sets
from lc_keras.data import arrays
from lc_keras.data import latent_batches
from lc_keras.data import latent_cache
from lc_keras.data import latents
from lc_keras.evaluation import protocol
from lc_keras.evaluation import scores
from lc_keras.models import attribute_model
from lc_keras.models import flow_matching
from lc_keras.models import linear_directions
from lc_keras.models import pixel_classifier

_NAN = np.nan
_ROWS = 64


def _latents(share=0.3, seed=0):
  """Returns rows whose labels are the signs of their latents, some unknown."""
  random = np.random.default_rng(seed)
  mean = random.normal(size=[_ROWS, 4]).astype(np.float32)
  labels = np.float32(mean[:, :2] > 0)
  labels[random.random(labels.shape) < share] = _NAN
  return latents.Latents(mean, np.full_like(mean, 0.1), labels)


class MissingLabelsTest(tf.test.TestCase):
  def test_the_loss_is_of_the_known_labels_alone(self):
    logits = tf.constant([[1.0, -2.0, 3.0], [1.0, 2.0, 3.0]])
    labels = tf.constant([[1.0, _NAN, 0.0], [_NAN, _NAN, _NAN]])
    with tf.GradientTape() as tape:
      tape.watch(logits)
      values = losses.attribute_cross_entropy(logits, labels)
    known = losses.attribute_cross_entropy(
      tf.constant([[1.0, 3.0]]), tf.constant([[1.0, 0.0]])
    )
    self.assertAllClose(values, [float(known[0]), 0.0])
    gradient = tape.gradient(values, logits).numpy()
    self.assertAllEqual(gradient[0, 1:2], [0.0])
    self.assertAllEqual(gradient[1], [0.0, 0.0, 0.0])
    masked = losses.attribute_cross_entropy(logits, labels, [[1.0, 1.0, 0.0]])
    self.assertAllClose(masked[0], np.log1p(np.exp(-1.0)))

  def test_balanced_rows_have_the_label_that_they_were_drawn_for(self):
    batch = next(
      iter(latent_batches.at_random(_latents(), 48, balanced_fraction=1.0))
    )
    labels, focus = batch["attributes"].numpy(), batch["focus"].numpy()
    self.assertFalse(np.isnan(labels[np.arange(48), focus]).any())

  def test_a_cache_keeps_it_and_counts_the_others(self):
    rows = _latents()
    folder = self.create_tempdir().full_path + "/cache"
    latent_cache.write(folder, {"train": rows}, {})
    found = latent_cache.read_manifest(folder)["attribute_frequencies"]
    self.assertAllClose(found, np.nanmean(rows.attributes, axis=0))
    read = latent_cache.read(folder, "train")
    np.testing.assert_array_equal(read.attributes, rows.attributes)

  def test_models_of_latents_train(self):
    rows = _latents()
    batch = next(iter(latent_batches.at_random(rows, 32)))
    critic = attribute_model.AttributeModel(4, 2, width=8, depth=1)
    critic.compile(
      keras.optimizers.Adam(),
      reread=tf.identity,
      covariance=np.eye(4),
      excludes=np.zeros([2, 2]),
      edit_weight=0.5,
    )
    flow = flow_matching.FlowMatching(4, 2, 8, 1)
    flow.whitening.adapt(rows)
    flow.compile(keras.optimizers.Adam(), average_decay=0.5)
    for model in (critic, flow):
      told = model.train_step(batch)
      self.assertTrue(
        np.isfinite([float(value) for value in told.values()]).all()
      )
      for weight in model.trainable_variables:
        self.assertTrue(np.isfinite(weight.numpy()).all())
    directions = linear_directions.LinearDirections.estimate(rows)
    signs = np.sign(directions.normals.numpy()[:, :2])
    self.assertAllEqual(np.diag(signs), [1.0, 1.0])

  def test_a_classifier_trains_and_counts_what_it_can_check(self):
    images = np.zeros([6, 4, 4, 1], np.float32)
    labels = np.float32([[1, _NAN]] * 6)
    data = arrays.source(images, labels, ["A", "B"])
    model = pixel_classifier.PixelClassifier((4, 4, 1), 2, "mlp_small")
    model.compile(keras.optimizers.Adam(0.1))
    (batch,) = data.batches("all", 6)
    for _ in range(3):
      model.reset_metrics()
      told = model.train_step(batch)
    self.assertEqual(float(told["accuracy"]), 1.0)

  def test_where_requests_need_a_label_the_attribute_critic_reads_it(self):
    rows = _latents()

    class Critic:
      def critic(self, mean):
        return tf.constant(mean[:, :2])

    parts = parts_module.Parts(
      None,
      attribute_sets.Attributes(["A", "B"]),
      models={"attributes": Critic()},
      latents={"train": rows},
    )
    self.assertAllEqual(
      parts.labelled("train").attributes, rows.mean[:, :2] > 0
    )
    whole = _latents(share=0.0)
    parts.latents["train"] = whole
    self.assertIs(parts.labelled("train"), whole)

  def test_scores_leave_it_out(self):
    read = [[0.9, 0.1], [0.9, 0.9], [0.2, 0.2]]
    labels = [[1, 0], [_NAN, 1], [0, _NAN]]
    found = scores.attribute_scores(read, labels, ["A", "B"], resamples=20)
    self.assertEqual(found["accuracy"], 1.0)
    self.assertEqual(found["attributes"]["A"]["support"], 1)
    self.assertEqual(found["intervals"]["accuracy"], [1.0, 1.0])
    majority = scores.majority_scores(labels, labels, ["A", "B"])
    self.assertEqual(majority["count"], 3)
    with self.assertRaisesRegex(ValueError, "B of row 1 is 0.25; round"):
      scores.attribute_scores(read, [[1, 0], [0, 0.25], [0, 0]], ["A", "B"])

  def test_held_out_rows_with_degrees_and_gaps_become_requests(self):
    class Judge:
      def probabilities(self, images):
        return np.tile([[0.2, 0.9]], [len(images), 1])

    split = protocol.Split.read(
      np.zeros([3, 2, 2, 1]),
      np.array([[0.7, 0.2], [_NAN, _NAN], [0, 1]]),
      Judge(),
    )
    self.assertAllEqual(split.labels, [[1, 0], [0, 1], [0, 1]])
    self.assertAllEqual(split.known, [[1, 0], [_NAN, _NAN], [0, 1]])
