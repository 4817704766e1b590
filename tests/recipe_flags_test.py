"""Tests of the flags that are derived from recipes."""

import dataclasses

from absl import flags
from absl.testing import absltest
from absl.testing import parameterized

from lc_keras import recipes
from tests import programs
from trainers import actor
from trainers import jobs
from trainers import recipe_flags

_RECIPES = (
  recipes.VAE,
  recipes.GAN,
  recipes.ConditionalGAN,
  recipes.Classifier,
  recipes.Realism,
  recipes.Attributes,
  recipes.Flow,
  recipes.Actor,
  recipes.Constraint,
  recipes.Encoder,
  recipes.Rule,
  recipes.SearchActor,
)


def _parse(recipe, *arguments):
  values = flags.FlagValues()
  recipe_flags.define(values, recipe)
  values(["job", *arguments])
  return values


@parameterized.parameters(*_RECIPES)
class RecipeFlagsTest(parameterized.TestCase):
  def test_without_flags_it_is_the_default_recipe(self, recipe):
    self.assertEqual(recipe_flags.read(_parse(recipe), recipe), recipe())

  def test_every_field_has_a_flag_and_is_documented(self, recipe):
    values = _parse(recipe)
    text = " ".join(recipe.__doc__.split())
    for field in dataclasses.fields(recipe):
      self.assertIn(field.name, values)
      self.assertEndsWith(values[field.name].help, field.metadata["text"])
      self.assertIn(f"{field.name}: {field.metadata['text']}", text)

  def test_a_flag_sets_its_field_and_no_other(self, recipe):
    for field in dataclasses.fields(recipe):
      argument, value = _other_value(field)
      read = recipe_flags.read(
        _parse(recipe, f"--{field.name}={argument}"), recipe
      )
      self.assertEqual(read, recipe(**{field.name: value}))

  def test_bounds_refuse_with_a_sentence(self, recipe):
    for field in dataclasses.fields(recipe):
      for name, beyond in (("low", -1), ("high", 1)):
        bound = field.metadata[name]
        if bound is None:
          continue
        with self.assertRaisesRegex(flags.Error, f"--{field.name}=.* is not "):
          _parse(recipe, f"--{field.name}={bound + beyond}")
        with self.assertRaisesRegex(ValueError, f"{field.name} must be .*got"):
          recipe(**{field.name: bound + beyond})
      if field.metadata["choices"]:
        with self.assertRaisesRegex(flags.Error, "should be one of"):
          _parse(recipe, f"--{field.name}=?")


def _other_value(field):
  """Returns a flag's text and its value, not the default, within bounds."""
  known, default = field.metadata, field.default
  if isinstance(default, bool):
    return str(not default).lower(), not default
  if known["choices"]:
    return known["choices"][-1], known["choices"][-1]
  if isinstance(default, str) or field.type == str | None:
    return "mlp", "mlp"
  low, high = known["low"] or 0, known["high"]
  value = high / 4 if isinstance(high, float) or high == 1 else low + 3
  return str(value), value


class SeveralTest(absltest.TestCase):
  def test_a_flag_is_given_for_all_or_for_each(self):
    def read(count, *arguments):
      values = flags.FlagValues()
      recipe_flags.define(values, recipes.Rule, several=True)
      values(["job", *arguments])
      return recipe_flags.read_several(values, recipes.Rule, count)

    self.assertEqual(read(2), [recipes.Rule()] * 2)
    self.assertEqual(
      read(2, "--rule=a.keras", "--rule_class=3", "--rule_class=5"),
      [recipes.Rule(rule="a.keras", rule_class=one) for one in "35"],
    )
    with self.assertRaisesRegex(ValueError, "--threshold is given 2 times for"):
      read(3, "--threshold=1", "--threshold=2")


class TableTest(absltest.TestCase):
  def test_jobs_stand_in_an_order_in_which_they_can_be_run(self):
    seen = set()
    for name, entry in jobs.JOBS.items():
      self.assertContainsSubset(entry.needs, seen)
      seen.add(name)

  def test_what_leads_to_a_job_has_all_that_it_needs(self):
    self.assertEqual(
      jobs.with_needs("actor", "classifier"),
      ["data", "vae", "latents", "classifier", "attributes", "flow", "actor"],
    )

  def test_an_actor_is_named_by_its_distance_weight(self):
    for flag, stage in (
      ("--seed=1", "actor_0.1"),
      ("--distance_weight=0", "actor_0"),
      ("--stage=actor_mine", "actor_mine"),
    ):
      values = programs.parsed(actor, "--run_dir=mine", flag)
      self.assertEqual(actor.stage(values), stage)
