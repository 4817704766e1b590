"""Tests of control over a generator with a mapping, and of `same`."""

import copy

import numpy as np
import tensorflow as tf
from absl.testing import absltest
from absl.testing import parameterized

import lc_keras
from lc_keras import recipes
from lc_keras import training as training_lib
from lc_keras.learning import amortised_search
from lc_keras.learning import embedding
from lc_keras.samplers import objective
from lc_keras.samplers import rejection
from serving import endpoints
from serving import export
from tests import painted_mapping
from tests import programs
from trainers import attributes
from trainers import import_generator
from trainers import latents

_SMALL = {"steps": 4, "batch_size": 32, "width": 8, "depth": 1}


def _embed(images):
  """The embedding to keep: the brightness of the last rows."""
  return images[:, 3:, 0, 0]


class MappedControlTest(tf.test.TestCase, parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    generator = painted_mapping.generator()
    seeds = np.arange(90)
    images = generator.sample(seeds)
    top = np.where(seeds % 3, images[:, 0, 0, 0] > 0.5, np.nan)
    table = {"seed": seeds, "Top": top, "Next": images[:, 1, 0, 0] > 0.5}
    cls.control = lc_keras.LatentConstraints(generator)
    cls.histories = cls.control.fit(
      labels=table,
      verbose=0,
      recipes=(
        recipes.Attributes(**_SMALL),
        recipes.Flow(**_SMALL),
        recipes.Actor(**_SMALL, critic_steps=1),
        recipes.Realism(**_SMALL),
        recipes.SearchActor(**_SMALL),
      ),
    )
    cls.figures = cls.control.keep(_embed, count=200, steps=60, verbose=0)
    cls.latents = generator.draw(np.arange(500, 503)).numpy()
    cls.control.learn_encoder(count=100, steps=20, verbose=0)
    cls.images = generator.map(cls.latents)

  def test_fit_draws_labelled_latents_and_others(self):
    self.assertIn("realism", self.histories)
    parts = self.control.parts
    train, held = (parts.latents[name] for name in ("train", "validation"))
    self.assertEqual(len(train.labelled()) + len(held.labelled()), 90)
    self.assertGreater(len(train), 1000)
    self.assertEqual(parts.attributes.names, ("Top", "Next"))
    self.assertAllClose(train.scale[0], np.full(6, 0.1))

  def test_realism_is_judged_by_both_kinds(self):
    found = self.histories["realism"].history
    self.assertContainsSubset({"val_auc_normal", "val_auc_moved"}, found)
    judges = self.control.parts.judges()
    request = lc_keras.parse("Top", judges.attributes).rows(3)
    self.assertAllClose(
      judges.realism_logits(self.latents, request),
      self.control.parts.models["realism"](tf.constant(self.latents)),
    )

  def test_samples_start_from_mapped_draws(self):
    judges = self.control.parts.judges()
    request = lc_keras.parse("Top", judges.attributes).rows(2)
    seeds = tf.constant([3, 8], tf.int64)
    best = rejection.BestOfN(judges, 4).sample(request, seeds).latents
    draws = [None, 1, 2, 3]
    apart = [
      np.abs(judges.draws(seeds, draw) - best).max(axis=1) for draw in draws
    ]
    self.assertAllClose(np.min(apart, axis=0), [0.0, 0.0], atol=1e-5)
    self.assertLen(self.control.sample("Top", n=2).images, 2)

  def test_what_is_to_stay_is_read_in_latents(self):
    self.assertEqual(self.figures["axes"], 3)
    self.assertGreater(self.figures["explained"], 0.5)
    edited = self.control.transform(self.latents, "not Top", same=1.0)
    self.assertEqual(edited.images.shape, (3, 6, 8, 1))

  def test_the_actor_of_the_search_is_the_best_sampler(self):
    made = self.control.transform(self.latents, "not Top")
    self.assertAllInSet(made.steps, [0, 1])
    self.assertAllInSet(self.control.sample("Top", 2).steps, [0, 1])

  def test_it_learns_to_lower_the_loss_of_the_search(self):
    recipe = recipes.SearchActor(
      **_SMALL | {"steps": 40, "width": 32}, same_weight=1.0, warmup_steps=0
    )
    training = amortised_search.training(recipe, self.control.parts)
    before = training.model.evaluate(training.validation, verbose=0)
    training_lib.fit(training, recipe, verbose=0)
    after = training.model.evaluate(training.validation, verbose=0)
    self.assertLess(after, before)

  def test_it_keeps_only_an_embedding_that_was_learned(self):
    parts = copy.copy(self.control.parts)
    parts.models = {**parts.models}
    del parts.models[embedding.MODEL]
    recipe = recipes.SearchActor(**_SMALL, same_weight=1.0)
    with self.assertRaisesRegex(ValueError, "same_weight needs"):
      amortised_search.training(recipe, parts)

  def test_saved_and_loaded_all_is_the_same(self):
    folder = f"{self.create_tempdir().full_path}/saved"
    self.control.save(folder)
    loaded = lc_keras.load(folder)
    for given, how in (
      (self.latents, {"same": 2.0}),
      (self.images, {"same": 2.0}),
      (self.latents, {}),
    ):
      made, again = (
        one.transform(given, "Top", **how) for one in (self.control, loaded)
      )
      self.assertAllClose(again.latents, made.latents, atol=1e-4)

  def test_a_server_changes_latents_as_asked(self):
    models = export.choose_models(self.control.parts)
    function, _ = endpoints.build(models)["transform_latents"]
    top = tf.tile([[1.0, 0.0]], [3, 1])
    kept = np.float32([0.0, 2.0, 2.0])
    served = function(
      tf.constant(self.latents),
      top,
      top,
      tf.range(3, dtype=tf.int64),
      tf.ones([3]),
      kept,
    )
    best, search = (
      self.control.transform(self.latents, "Top", same=weight).latents
      for weight in (0.0, 2.0)
    )
    self.assertAllClose(
      served["latents"], np.concatenate([best[:1], search[1:]]), atol=1e-4
    )

  def test_a_server_takes_images_by_a_learned_encoder(self):
    signatures = endpoints.build(export.choose_models(self.control.parts))
    self.assertIn("transform", signatures)
    served = signatures["encode"][0](tf.constant(self.images))
    here = self.control.encode(self.images)
    self.assertAllClose(served["mean"], here, atol=1e-3)

  @parameterized.parameters(
    ({"labels": {"seed": [1, 2.5], "Top": [0, 1]}}, "2.5.*whole number"),
    ({"labels": {"Top": [0, 1]}, "latents": np.ones([2, 5])}, r"\[n, 6\]"),
  )
  def test_fit_refuses(self, given, message):
    control = lc_keras.LatentConstraints(self.control.generator)
    with self.assertRaisesRegex(ValueError, message):
      control.fit(**given)

  @parameterized.parameters(
    ({"same": -1.0}, "from 0 up"),
    ({"same": 1.0, "sampler": "flow"}, "does not support"),
  )
  def test_transform_refuses(self, given, message):
    with self.assertRaisesRegex(ValueError, message):
      self.control.transform(self.latents, "Top", **given)

  def test_an_embedding_is_of_all_images(self):
    with self.assertRaisesRegex(ValueError, "a vector of each"):
      embedding.learn(self.control.parts, np.ones([2, 3]), self.latents)


class JobsTest(absltest.TestCase):
  def test_a_run_is_about_a_table_of_seeds(self):
    folder = self.create_tempdir().full_path
    table = self.create_tempfile("labels.csv", "seed,Top\n").full_path
    with open(table, "a") as file:
      file.writelines(f"{seed},{seed % 2}\n" for seed in range(40))
    place = f"{painted_mapping.__name__}:"
    run = f"--run_dir={folder}/run"
    model = [f"--decoder={place}decode", f"--mapping={place}mapping"]
    programs.run(import_generator, run, *model, "--truncation=0.9")
    programs.run(latents, run, f"--seed_labels={table}")
    programs.run(attributes, run, "--steps=2", "--batch_size=8", "--width=8")

    parts = lc_keras.load(f"{folder}/run").parts
    self.assertEqual(parts.attributes.names, ("Top",))
    self.assertEqual(parts.mapping.truncation, 0.9)
    known = [len(parts.latents[name].labelled()) for name in parts.latents]
    self.assertEqual(sum(known), 40)


class KeepingTest(tf.test.TestCase):
  def test_an_edit_keeps_what_it_is_asked_to(self):
    # The attribute depends on both numbers; one of them is kept.
    judges = lc_keras.Judges(
      lc_keras.Attributes(["Large"]),
      critic=lambda z, values, mask: 3.0 + 0.0 * z[:, 0],
      attribute_critic=lambda z: 4.0 * (z[:, :1] + z[:, 1:2]),
      posterior_scale=tf.fill([3], 0.1),
      embedding=lambda z: z[:, :1],
    )
    search = lc_keras.GradientSearch(
      judges, objective.Objective(judges), learning_rate=0.05
    )
    start, seeds = -tf.ones([2, 3]), tf.range(2, dtype=tf.int64)
    request = lc_keras.Constraint(
      tf.ones([2, 1]), tf.ones([2, 1]), same=tf.constant([0.0, 9.0])
    )
    made = search.transform(start, request, seeds)
    self.assertAllEqual(made.converged, [True, True])
    moved = (made.latents - start).numpy()
    self.assertGreater(moved[0, 0], 0.9)
    self.assertLess(moved[1, 0], 0.2)

  def test_fitting_again_leaves_the_embedding(self):
    control = lc_keras.LatentConstraints(painted_mapping.generator())
    control.keep(_embed, count=60, steps=2, verbose=0)
    latents = control.generator.draw(np.arange(3))
    before = control.parts.judges().embedding(latents)
    control.fit(seed=1, verbose=0)
    self.assertAllEqual(control.parts.judges().embedding(latents), before)
