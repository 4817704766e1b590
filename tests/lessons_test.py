"""Tests of lessons."""

import tracemalloc

import numpy as np
import tensorflow as tf

from lc_keras import priors
from lc_keras.constraints import attributes
from lc_keras.data import latent_batches
from lc_keras.data import latents
from lc_keras.samplers import lessons
from lc_keras.samplers import sampler

_FACES = attributes.Attributes(
  ("Bald", "Black_Hair", "Blond_Hair", "Male", "Smiling"),
  [("Bald", "Black_Hair", "Blond_Hair")],
)
_LATENT, _COUNT = 6, 40


class _Teacher(sampler.Transformer):
  """Adds the requested values, and 1 to edited rows."""

  def sample(self, constraint, seeds):
    return self._told(self._prior(seeds), constraint)

  def edit(self, latents, edit, seeds):
    weights = edit.asked.weights
    changed = tf.reduce_any(weights > 0.0, axis=-1, keepdims=True)
    moved = self._told(latents + 1.0, edit.shown).latents
    result = self._told(latents, edit.shown)
    return result._replace(latents=tf.where(changed, moved, latents))

  def transform(self, latents, constraint, seeds):
    # No row is without a request.
    asked = tf.reduce_any(constraint.weights > 0.0, axis=-1)
    with tf.control_dependencies([tf.debugging.assert_equal(asked, True)]):
      return super().transform(tf.identity(latents), constraint, seeds)

  def _told(self, start, constraint):
    push = constraint.values * constraint.mask
    push = tf.pad(push, [[0, 0], [0, self.latent_size - len(_FACES)]])
    return self._result(start + push, constraint, steps=7, start=start)


def _teacher(latent_size=_LATENT):
  return _Teacher(
    sampler.Judges(
      _FACES,
      lambda z, values, mask: -tf.reduce_sum(z**2, -1),
      lambda z: 9.0 * z[:, :5],
      tf.ones([latent_size]),
    )
  )


def _rows():
  random = np.random.default_rng(0)
  labels = random.integers(0, 2, [_COUNT, 5]).astype(np.float32)
  labels[:, :2] = 0
  mean = random.normal(size=[_COUNT, _LATENT])
  mean[:, :5] = np.abs(mean[:, :5]) * (2 * labels - 1)
  scale = np.full([_COUNT, _LATENT], 1e-3)
  return latents.Latents(
    mean.astype(np.float32), scale.astype(np.float32), labels
  )


def _make(count, seed=0):
  return lessons.make_lessons(
    lessons.make_batch_function(_teacher(), seed=seed),
    _rows(),
    count,
    seed=seed,
  )


class LessonsTest(tf.test.TestCase):
  def test_are_what_the_teacher_does(self):
    made = _make(100, seed=3)
    count = len(made["prior"])
    self.assertGreaterEqual(count, 100)
    for name, array in made.items():
      self.assertLen(array, count, name)
      self.assertEqual(array.dtype, np.float32, name)
    asked = np.pad(made["prior_values"] * made["prior_mask"], [(0, 0), (0, 1)])
    self.assertAllClose(made["prior_moved"], made["prior"] + asked, atol=1e-5)
    # The same draws of the prior that the teacher starts from.
    seeds = tf.range(count, dtype=tf.int64) + 3 * (1 << 32)
    self.assertAllClose(made["prior"], priors.sample_rows(seeds, _LATENT))

  def test_a_quarter_of_the_edits_asks_for_nothing(self):
    made = _make(100)
    stays = np.all(made["real_moved"] == made["real"], axis=1)
    self.assertAllClose(stays.mean(), 0.25)
    # The other edits request a change of an attribute.
    own = (made["real"][:, :5] > 0).astype(np.float32)
    differs = ((made["real_values"] != own) & (made["real_mask"] > 0)).any(1)
    self.assertAllEqual(differs, ~stays)

  def test_the_same_seed_gives_the_same(self):
    first, second, other = (_make(50, seed) for seed in (1, 1, 2))
    for name in first:
      self.assertAllEqual(first[name], second[name])
    self.assertNotAllClose(first["prior"], other["prior"])

  def test_are_held_once(self):
    wide, wanted = 4_000, 20
    rows = _rows()
    rows = latents.Latents(
      np.pad(rows.mean, [(0, 0), (0, wide)]),
      np.pad(rows.scale, [(0, 0), (0, wide)]),
      rows.attributes,
    )
    tracemalloc.start()
    make_batch = lessons.make_batch_function(_teacher(_LATENT + wide))
    made = lessons.make_lessons(make_batch, rows, wanted * _COUNT)
    _, peak = tracemalloc.get_traced_memory()
    size = sum(array.nbytes for array in made.values())
    self.assertLess(peak, 1.5 * size)
    # Each batch reads the arrays themselves, not a copy.
    batches = latent_batches.with_lessons(
      latent_batches.at_random(rows, 4), made, 7
    )
    made["real"][:] = 5.0
    for batch in batches.take(1):
      self.assertAllEqual(batch["lessons"]["real"], made["real"][:7])
    tracemalloc.stop()

  def test_batches_depend_on_their_number_alone(self):
    made = _make(50)
    batches = tf.data.Dataset.range(6).map(lambda n: {"mean": n})

    def from_step(start):
      taken = latent_batches.with_lessons(
        batches.skip(start), made, 7, seed=5, start_step=start
      )
      return list(taken.as_numpy_iterator())

    whole, rest = from_step(0), from_step(4)
    self.assertEqual([batch["mean"] for batch in whole], list(range(6)))
    for batch, again in zip(whole[4:], rest):
      self.assertAllEqual(batch["lessons"]["prior"], again["lessons"]["prior"])
    self.assertNotAllClose(
      whole[0]["lessons"]["prior"], whole[1]["lessons"]["prior"]
    )
    # A request stays paired with its answer.
    drawn = whole[0]["lessons"]
    row = np.flatnonzero((made["real"] == drawn["real"][2]).all(axis=1))[0]
    self.assertAllEqual(made["real_moved"][row], drawn["real_moved"][2])
