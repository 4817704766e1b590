"""Tests of the linear sampler: only requested scores change."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras.constraints import attributes
from lc_keras.constraints import constraint as constraints
from lc_keras.models import linear_directions
from lc_keras.samplers import linear
from lc_keras.samplers import sampler

_LATENT = 7
_FACES = attributes.Attributes(
  ("Bald", "Black_Hair", "Blond_Hair", "Male", "Smiling"),
  [("Bald", "Black_Hair", "Blond_Hair")],
)
_BALD, _BLACK, _BLOND, _MALE, _SMILING = range(5)
_MARGIN = 2.0
# Covariance of latents, increasing with the dimension.
_COVARIANCE = np.diag(np.arange(1.0, 1.0 + _LATENT))


def _directions(normals=None):
  model = linear_directions.LinearDirections(_LATENT, len(_FACES))
  random = np.random.default_rng(0)
  if normals is None:
    normals = random.normal(size=[len(_FACES), _LATENT])
  biases = random.normal(size=[len(_FACES)])
  model.set_weights([normals, biases, normals @ _COVARIANCE])
  return model


def _sampler(directions, margin=_MARGIN):
  judges = sampler.Judges(
    _FACES,
    critic=lambda latents, values, mask: tf.reduce_sum(values * mask, -1),
    attribute_critic=lambda latents: latents[:, : len(_FACES)],
    posterior_scale=tf.fill([_LATENT], 0.5),
  )
  return linear.LinearDirection(judges, directions, margin)


def _latents(rows=3):
  random = np.random.default_rng(1)
  return tf.constant(random.normal(size=[rows, _LATENT]), tf.float32)


def _ask(rows=3, **asked):
  values, weights = np.zeros([2, rows, len(_FACES)], np.float32)
  for name, on in asked.items():
    values[:, _FACES.index(name)] = on
    weights[:, _FACES.index(name)] = 0.5
  return constraints.Constraint(tf.constant(values), tf.constant(weights))


def _seeds(rows=3):
  return tf.range(rows, dtype=tf.int64)


class LinearDirectionTest(tf.test.TestCase, parameterized.TestCase):
  def test_transform_reaches_the_margin_and_keeps_the_rest(self):
    directions, latents = _directions(), _latents()
    # No row has a requested attribute.
    directions.biases.assign([-9.0, 9.0, 0.0, 0.0, 9.0])
    result = _sampler(directions).transform(
      latents, _ask(Black_Hair=0, Smiling=0), _seeds()
    )
    before, after = directions(latents), directions(result.latents)
    for column in (_BLACK, _SMILING):
      self.assertAllClose(after[:, column], [-_MARGIN] * 3, atol=1e-4)
    for column in (_BALD, _BLOND, _MALE):
      self.assertAllClose(after[:, column], before[:, column], atol=1e-4)
    self.assertAllEqual(result.steps, [1, 1, 1])
    self.assertAllGreater(result.distance, 0.0)

  def test_transform_takes_the_most_probable_move(self):
    directions, latents = _directions(), _latents(1)
    directions.biases.assign([-9.0] * 5)
    result = _sampler(directions).transform(latents, _ask(1, Male=1), _seeds(1))
    normals = directions.normals.numpy()
    missing = np.zeros(5)
    missing[_MALE] = _MARGIN - directions(latents).numpy()[0, _MALE]
    # The smallest change after whitening.
    root = np.sqrt(_COVARIANCE)
    least = root @ np.linalg.lstsq(normals @ root, missing, rcond=None)[0]
    self.assertAllClose(result.latents[0] - latents[0], least, atol=1e-4)

  def test_what_is_asked_on_turns_off_what_it_rules_out(self):
    directions, latents = _directions(), _latents()
    directions.biases.assign([-9.0, 9.0, 9.0, 0.0, 0.0])
    result = _sampler(directions).transform(latents, _ask(Bald=1), _seeds())
    scores = directions(result.latents)
    self.assertAllClose(scores[:, _BALD], [_MARGIN] * 3, atol=1e-4)
    self.assertAllClose(scores[:, _BLACK], [-_MARGIN] * 3, atol=1e-4)
    self.assertAllClose(scores[:, _BLOND], [-_MARGIN] * 3, atol=1e-4)
    self.assertAllClose(
      scores[:, _MALE], directions(latents)[:, _MALE], atol=1e-4
    )

  @parameterized.parameters(True, False)
  def test_a_satisfied_row_is_left_to_the_bit(self, on):
    directions, side = _directions(), 1.0 if on else -1.0
    # Only the middle row is beyond the margin.
    normal = directions.normals.numpy()[_MALE]
    scores = side * np.array([1.0, 3.0, -3.0], np.float32)
    latents = np.outer(scores / (normal @ normal), normal)
    latents -= directions.biases[_MALE] * normal / (normal @ normal)
    latents = tf.constant(latents, tf.float32)
    result = _sampler(directions).transform(latents, _ask(Male=on), _seeds())
    # The last row moves from 3 on the other side; its rounding depends on the
    # processor.
    self.assertAllClose(
      directions(result.latents)[:, _MALE],
      side * np.array([2.0, 3.0, 2.0]),
      atol=2e-5,
    )
    self.assertAllEqual(result.latents[1], latents[1])
    self.assertAllEqual(result.steps, [1, 0, 1])
    self.assertNotAllClose(result.latents[0], latents[0])
    self.assertAllEqual(result.distance[1], 0.0)

  def test_a_request_for_nothing_moves_nothing(self):
    latents = _latents()
    result = _sampler(_directions()).transform(latents, _ask(), _seeds())
    self.assertAllEqual(result.latents, latents)
    self.assertAllEqual(result.steps, [0, 0, 0])

  def test_sample_moves_the_prior_one_way(self):
    directions = _directions()
    directions.biases.assign([0.0, 0.0, 0.0, 0.0, -99.0])
    method = _sampler(directions)
    free = method.sample(_ask(), _seeds()).latents
    result = method.sample(_ask(Smiling=1), _seeds())
    self.assertAllClose(
      directions(result.latents)[:, _SMILING], [_MARGIN] * 3, atol=1e-3
    )
    moves = (result.latents - free).numpy()
    way = directions.moves.numpy()[_SMILING]
    across = moves - np.outer(moves @ way, way) / (way @ way)
    self.assertAllClose(across, np.zeros_like(moves), atol=1e-3)

  def test_attributes_of_one_direction_do_not_break_it(self):
    normals = np.random.default_rng(0).normal(size=[5, _LATENT])
    normals[_SMILING] = normals[_MALE]
    normals[_BLOND] = 0.0  # Never seen in training.
    result = _sampler(_directions(normals)).transform(
      _latents(), _ask(Male=1), _seeds()
    )
    self.assertAllInRange(result.latents, -1e2, 1e2)

  def test_the_margin_is_a_dial_of_each_row(self):
    directions, latents = _directions(), _latents()
    directions.biases.assign([0.0, 0.0, 0.0, -9.0, 0.0])
    method = _sampler(directions, tf.constant([0.0, 1.0, 5.0]))
    result = method.transform(latents, _ask(Male=1), _seeds())
    self.assertAllClose(
      directions(result.latents)[:, _MALE], [0.0, 1.0, 5.0], atol=1e-4
    )
