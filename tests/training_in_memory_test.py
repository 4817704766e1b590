"""Tests that trainers and training in memory give equal models."""

import contextlib
import io
import os
import pathlib
from unittest import mock

import numpy as np
import tensorflow as tf
from absl import flags

from lc_keras import parts
from lc_keras import recipes
from lc_keras import run_folder
from lc_keras import training as trainings
from lc_keras.data import latent_cache
from lc_keras.generators import generator
from lc_keras.models import actor_critic
from lc_keras.models import attribute_model
from lc_keras.models import flow_matching
from lc_keras.models import storage
from lc_keras.samplers import lessons
from tests import faces_run
from trainers import actor
from trainers import attributes
from trainers import flow
from trainers import latents
from trainers import training

_SIZES = {
  "width": 8,
  "depth": 1,
  "steps": 2,
  "steps_per_epoch": 2,
  "batch_size": 7,
  "seed": 3,
}
# Without edits: they use the decoder, whose large matrix products threads do
# not always sum in the same order.
_ATTRIBUTES = recipes.Attributes(noise_scale=2.0, **_SIZES)
_FLOW = recipes.Flow(balanced_fraction=0.5, **_SIZES)
_ACTOR = recipes.Actor(
  imitation_weight=1.0,
  attribute_weight=1.0,
  lessons=7,
  critic_steps=1,
  **_SIZES,
)


class TrainingInMemoryTest(tf.test.TestCase):
  def test_has_the_same_seeds_and_so_the_same_weights(self):
    folder = pathlib.Path(self.create_tempdir())
    self.run_dir, self.data_dir = str(folder / "run"), str(folder / "data")
    faces_run.write(self.run_dir, self.data_dir, attributes=False)
    tf.io.gfile.rmtree(os.path.join(self.run_dir, "latents"))
    self._run(latents)
    self._run(attributes, _ATTRIBUTES)
    self._run(flow, _FLOW)
    self._run(actor, _ACTOR)

    cache = os.path.join(self.run_dir, "latents", "cache")
    made = parts.Parts(
      generator.load(self.run_dir),
      run_folder.attributes_of(run_folder.read_about(self.run_dir)),
      latents={
        split: latent_cache.read(cache, split).take(slice(None))
        for split in ("train", "validation")
      },
    )
    made.models["attributes"] = self._fit(
      attribute_model.training(_ATTRIBUTES, made), _ATTRIBUTES
    )
    made.models["flow"] = self._fit(flow_matching.training(_FLOW, made), _FLOW)
    given = lessons.of_flow(made, _ACTOR)
    made.models["actor_0.1"] = self._fit(
      actor_critic.training(_ACTOR, made, lessons=given), _ACTOR
    )
    for name, model in made.models.items():
      trained = storage.load(os.path.join(self.run_dir, name))
      # A model of another generator would be refused.
      self.assertEqual(trained.made_for, generator.fingerprint(self.run_dir))
      for one, other in zip(
        trained.get_weights(), model.get_weights(), strict=True
      ):
        self.assertTrue(np.isfinite(one).all())
        self.assertAllEqual(one, other, name)

  def _fit(self, begun, recipe):
    trainings.fit(begun, recipe, verbose=0)
    return begun.model

  def _run(self, job, recipe=None):
    """Runs `python -m trainers.<job>` here, with the recipe's flags."""
    values = flags.FlagValues()
    job.define_flags(values)
    values(["job", f"--run_dir={self.run_dir}", f"--data_dir={self.data_dir}"])
    for name, value in vars(recipe).items() if recipe else ():
      values[name].value = value
    fit = training.fit
    with (
      contextlib.redirect_stderr(io.StringIO()),
      # Without pictures, which do not affect weights.
      mock.patch.object(
        training, "fit", lambda *a, **k: fit(*a, **k | {"draw": dict})
      ),
    ):
      job.run_job(values)
