"""Tests of learned_constraints: their files, and judges with them."""

import os
import shutil

import keras
import numpy as np
import tensorflow as tf

from lc_keras.constraints import constraint
from lc_keras.learning import constraint_names
from lc_keras.learning import learned_constraints
from lc_keras.models import value_actor
from lc_keras.models import value_model
from tests import analytic_judges

_GENERATOR = "0123456789abcdef"


def _learned(name="Heavy", seed=0, continuous=False, acts=False):
  keras.utils.set_random_seed(seed)
  model = value_model.ValueModel(analytic_judges.LATENT_SIZE, 8, 1, 2)
  model.calibrate(2.0, -1.0)
  return learned_constraints.LearnedConstraint(
    name,
    model,
    {"generator": _GENERATOR, "continuous": continuous},
    value_actor.ValueActor(analytic_judges.LATENT_SIZE, 8, 1) if acts else None,
  )


class LearntTest(tf.test.TestCase):
  def test_what_was_written_is_read(self):
    folder = self.create_tempdir().full_path
    written = _learned()
    learned_constraints.write(folder, written)
    learned_constraints.write(folder, _learned("Also-this", 1, continuous=True))
    self.assertEqual(constraint_names.names(folder), ["Also-this", "Heavy"])
    read = learned_constraints.read(folder, "Heavy", _GENERATOR)
    latents = analytic_judges.latents(5)
    self.assertAllEqual(read.model(latents), written.model(latents))
    self.assertFalse(read.continuous)
    self.assertTrue(
      learned_constraints.read(folder, "Also-this", _GENERATOR).continuous
    )

  def test_an_actor_is_kept_beside_the_critic(self):
    folder = self.create_tempdir().full_path
    written = _learned(acts=True)
    learned_constraints.write(folder, written)
    learned_constraints.write(folder, _learned("Light"))
    read = learned_constraints.read(folder, "Heavy", _GENERATOR)
    latents, value = analytic_judges.latents(5), tf.linspace(0.0, 1.0, 5)
    self.assertAllEqual(
      read.actor(latents, value), written.actor(latents, value)
    )
    self.assertIsNone(
      learned_constraints.read(folder, "Light", _GENERATOR).actor
    )
    # Learned again without an actor, it has none.
    learned_constraints.write(folder, _learned("Heavy"))
    self.assertIsNone(
      learned_constraints.read(folder, "Heavy", _GENERATOR).actor
    )

  def test_an_actor_moves_what_asks_for_it_and_is_not_there(self):
    acts, does_not = _learned(acts=True), _learned("Light", 1)
    latents = analytic_judges.latents(4)
    read = tf.sigmoid(acts.model(latents))
    count = len(analytic_judges.ATTRIBUTES)
    values = np.zeros([4, count + 2], np.float32)
    weights = np.zeros_like(values)
    # Open, switched, on, and as it reads already.
    values[:, count] = [1.0, 0.0, 1.0, read[3]]
    values[1, count] = 1.0 - np.round(read[1])
    weights[1:, count] = 1.0
    weights[:, -1] = 1.0
    asked = constraint.Constraint(tf.constant(values), tf.constant(weights))
    moved = learned_constraints.advance([acts, does_not])(latents, asked)
    self.assertAllEqual(moved[0], latents[0])
    # A single row is rounded differently.
    self.assertAllClose(
      moved[1],
      acts.actor(latents[1:2], asked.values[1:2, count])[0],
      rtol=0.0,
      atol=1e-6,
    )
    self.assertAllEqual(moved[3], latents[3])
    self.assertAllEqual(
      learned_constraints.advance([does_not])(latents, asked), latents
    )

  def test_one_of_the_same_name_is_replaced_and_others_stay(self):
    folder = self.create_tempdir().full_path
    for name, seed in (("Heavy", 0), ("Light", 1), ("Heavy", 2)):
      learned_constraints.write(folder, _learned(name, seed))
    latents = analytic_judges.latents(5)
    for name, seed in (("Light", 1), ("Heavy", 2)):
      self.assertAllEqual(
        learned_constraints.read(folder, name, _GENERATOR).model(latents),
        _learned(name, seed).model(latents),
      )

  def test_another_generator_is_refused_with_the_reason(self):
    folder = self.create_tempdir().full_path
    learned_constraints.write(folder, _learned())
    with self.assertRaisesRegex(
      ValueError, "'Heavy' .* was learned for the generator 0123456789ab, and"
    ):
      learned_constraints.read(folder, "Heavy", "fedcba")

  def test_damage_and_absence_are_named(self):
    folder = self.create_tempdir().full_path
    self.assertEqual(constraint_names.names(folder), [])
    with self.assertRaisesRegex(FileNotFoundError, "it has none"):
      learned_constraints.read(folder, "Heavy", _GENERATOR)
    for seed, name in enumerate(("Heavy", "Light")):
      learned_constraints.write(folder, _learned(name, seed))
    with self.assertRaisesRegex(FileNotFoundError, "it has Heavy, Light"):
      learned_constraints.read(folder, "Haevy", _GENERATOR)
    weights = [
      os.path.join(folder, constraint_names.FOLDER, name, "best.weights.h5")
      for name in ("Light", "Heavy")
    ]
    shutil.copy(*weights)
    with self.assertRaisesRegex(ValueError, "Heavy.* is damaged"):
      learned_constraints.read(folder, "Heavy", _GENERATOR)
    learned_constraints.write(folder, _learned(acts=True))
    path = os.path.join(
      folder, constraint_names.FOLDER, "Heavy", "actor", "best.weights.h5"
    )
    with open(path, "r+b") as file:
      file.truncate(100)
    with self.assertRaisesRegex(ValueError, "Heavy.* is damaged"):
      learned_constraints.read(folder, "Heavy", _GENERATOR)

  def test_names_that_requests_cannot_spell_are_refused(self):
    for name in ("", "../up", "two words", "9th", "a=b", ".hidden"):
      with self.assertRaisesRegex(ValueError, "cannot be a constraint's name"):
        learned_constraints.write(
          self.create_tempdir().full_path, _learned(name)
        )

  def test_judges_learn_a_column(self):
    known = analytic_judges.JUDGES
    new = [_learned("Heavy"), _learned("Tall", 1, continuous=True)]
    new[0].manifest["margin"] = [0.1, 0.3]
    judges = learned_constraints.extend(known, new)
    count = len(known.attributes)
    self.assertEqual(
      judges.attributes.names, (*known.attributes.names, "Heavy", "Tall")
    )
    self.assertEqual(judges.attributes.continuous, ("Tall",))
    # The run's attributes have no margin, nor has a manifest without one.
    self.assertAllClose(judges.margin[:, :count], tf.zeros([2, count]))
    self.assertAllClose(judges.margin[:, count], [0.1, 0.3])
    self.assertAllClose(judges.margin[:, count + 1], [0.0, 0.0])
    self.assertAllEqual(judges.attributes.excludes[count:], np.zeros([2, 7]))
    latents = analytic_judges.latents(4)
    read = judges.attribute_critic(latents)
    self.assertAllEqual(read[:, :count], known.attribute_critic(latents))
    self.assertAllEqual(read[:, count], new[0].model(latents))
    self.assertAllEqual(read[:, count + 1], new[1].model(latents))
    narrow = analytic_judges.ask(4, Male=1.0)
    wide = constraint.Constraint(
      *(tf.pad(t, [[0, 0], [0, 2]]) for t in (narrow.values, narrow.weights))
    )
    self.assertAllEqual(
      judges.realism_logits(latents, wide),
      known.realism_logits(latents, narrow),
    )

  def test_a_name_that_is_taken_is_refused(self):
    with self.assertRaisesRegex(ValueError, "'Smiling' already"):
      learned_constraints.extend(analytic_judges.JUDGES, [_learned("smiling")])
