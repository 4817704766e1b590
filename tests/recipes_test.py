"""Tests of recipes: their values are checked; see also recipe_flags_test."""

from absl.testing import parameterized

from lc_keras import recipes


class RecipesTest(parameterized.TestCase):
  @parameterized.parameters(
    (recipes.Flow, {"steps": 0}, "steps must be from 1 up; got 0"),
    (recipes.Actor, {"masked_fraction": 1.5}, r"in \[0, 1\]; got 1.5"),
    (recipes.Actor, {"penalty_weight": float("nan")}, "from 0 up; got nan"),
    (recipes.VAE, {"schedule": "linear"}, "one of cosine, log; got 'linear'"),
  )
  def test_values_are_checked(self, kind, settings, message):
    with self.assertRaisesRegex(ValueError, message):
      kind(**settings)

  def test_an_inherited_default_can_differ(self):
    self.assertEqual(recipes.GAN().batch_size, 64)
    self.assertEqual(recipes.OnImages().batch_size, 256)
    self.assertEqual(recipes.Training().batch_size, 128)
    with self.assertRaisesRegex(ValueError, "batch_size must be from 1 up"):
      recipes.GAN(batch_size=0)

  @parameterized.parameters(
    ({"steps": 100}, 10, 10),
    ({"steps": 7}, 1, 7),
    ({"steps": 21}, 3, 7),
    ({"steps": 25, "steps_per_epoch": 10}, 10, 3),
    ({"steps": 5, "steps_per_epoch": 10}, 5, 1),
  )
  def test_epochs_cover_the_steps(self, settings, epoch, epochs):
    recipe = recipes.Training(**settings)
    self.assertEqual((recipe.epoch, recipe.epochs), (epoch, epochs))
