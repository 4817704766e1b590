"""Tests of training: stopped and resumed runs equal undisturbed ones."""

import csv
import itertools
import json
import os
import pathlib
import signal
import types
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from absl import flags
from absl.testing import parameterized
from PIL import Image

from lc_keras import parts
from lc_keras import recipes
from lc_keras import training as trainings
from lc_keras.constraints import attributes
from lc_keras.data import latents
from lc_keras.models import actor_critic
from lc_keras.models import attribute_model
from lc_keras.models import storage
from trainers import loop as loops
from trainers import preemption
from trainers import stages
from trainers import training

_LATENT = 4
_NAMES = ("Bald", "Black_Hair", "Blond_Hair", "Male", "Smiling")
_FACES = attributes.Attributes(_NAMES, [_NAMES[:3]])
# Two epochs of four steps.
_SMALL = {
  "steps": 8,
  "steps_per_epoch": 4,
  "batch_size": 4,
  "width": 8,
  "depth": 1,
}
_MORE = {"actor": {"critic_steps": 1, "attribute_weight": 1.0}}
_KINDS = {
  "attributes": (recipes.Attributes, attribute_model.training),
  "actor": (recipes.Actor, actor_critic.training),
}


def _recipe(kind="attributes", **changes):
  return _KINDS[kind][0](**_SMALL | _MORE.get(kind, {}) | changes)


def _rows(rows=24):
  """Returns latents whose signs are attributes; `count` takes the first."""
  random = np.random.default_rng(0)
  mean = random.normal(size=[rows, _LATENT]).astype(np.float32)
  labels = np.concatenate([mean > 0, mean[:, :1] < 0], axis=1)
  scale = np.full_like(mean, 0.1)
  return latents.Latents(mean, scale, labels.astype(np.float32))


def _begin(recipe, kind="attributes", held_out=9):
  """Returns the training of a kind on `_rows`."""
  keras.utils.set_random_seed(1)
  critic = attribute_model.AttributeModel(_LATENT, len(_FACES), 8, 2)
  known = parts.Parts(
    None,
    _FACES,
    models={"attributes": critic},
    latents={"train": _rows(), "validation": _rows(held_out)},
  )
  return _KINDS[kind][1](recipe, known)


def _state(model):
  """Returns the state of a training: weights, moments, counts."""
  variables = [*model.weights, *model.optimizer.variables]
  if hasattr(model, "critic_optimizer"):
    variables += model.critic_optimizer.variables
  return [variable.numpy() for variable in variables]


class _FitTest(tf.test.TestCase, parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir())

  def fit(
    self,
    name="attributes",
    kind="attributes",
    *,
    replicas=1,
    draw=dict,
    change=lambda begun: begun,
    **changes,
  ):
    """Fits in a stage folder, as a job does; returns the model."""
    run = types.SimpleNamespace(path=lambda name: str(self.folder / name))
    stage = stages.Stage(run, name, flags.FlagValues())
    recipe = _recipe(kind, **changes)
    with training.strategy(replicas).scope():
      begun = change(_begin(recipe, kind))
    training.fit(stage, begun, recipe, keep_checkpoints=2, draw=draw)
    return begun.model

  def log(self, name="attributes"):
    with open(self.folder / name / "log.csv", newline="") as file:
      return list(csv.DictReader(file))

  def done(self, name="attributes"):
    return json.loads((self.folder / name / "done.json").read_text())

  def names(self, name="attributes"):
    return sorted(path.name for path in (self.folder / name).iterdir())

  def end(self, name, model):
    """Returns the results of a run, without its seconds."""
    best = storage.load(str(self.folder / name)).get_weights()
    return [_state(model), best, self.log(name), self.done(name)["best"]]

  def assert_alike(self, one, two):
    """Asserts that two runs have equal results, bit for bit."""
    tf.nest.map_structure(np.testing.assert_array_equal, one, two)


def _interrupt_at(call):
  """Returns a function that raises KeyboardInterrupt at its n-th call."""
  calls = itertools.count(1)

  def function(*arguments, **options):
    del arguments, options
    if next(calls) == call:
      raise KeyboardInterrupt
    return {}

  return function


def _draw():
  return {"seen": Image.fromarray(np.eye(64, dtype=np.uint8)).convert("RGB")}


def _spoilt(spoil):
  """Returns a function that makes a training spoil batches, by number."""

  def change(begun):
    return begun._replace(
      batches=lambda step: begun.batches(step).enumerate(step).map(spoil)
    )

  return change


class ResumeTest(_FitTest):
  def test_an_actor_stopped_while_drawing_ends_as_if_it_had_not_been(self):
    whole = self.end("whole", self.fit("whole", "actor"))
    with (
      mock.patch.object(stages.Stage, "seconds", 1000.0),
      self.assertRaises(KeyboardInterrupt),
    ):
      self.fit("stopped", "actor", draw=_interrupt_at(2))
    self.assertIn("checkpoint-4", self.names("stopped"))
    self.assertNotIn("done.json", self.names("stopped"))
    stopped = self.fit("stopped", "actor")
    self.assert_alike(whole, self.end("stopped", stopped))
    self.assertEqual([row["step"] for row in self.log("stopped")], ["4", "8"])
    with self.subTest("seconds add up over attempts"):
      self.assertGreaterEqual(self.done("stopped")["seconds"], 1000.0)

  def test_a_run_stopped_between_steps_ends_as_if_it_had_not_been(self):
    whole = self.end("whole", self.fit("whole"))
    # Twice: in the first epoch, before any checkpoint, and in the second.
    for update in (1, 6):
      bar = mock.Mock()
      bar.update = _interrupt_at(update)
      with (
        mock.patch.object(training.tqdm, "tqdm", return_value=bar),
        self.assertRaises(KeyboardInterrupt),
      ):
        self.fit("stopped")
    self.assert_alike(whole, self.end("stopped", self.fit("stopped")))
    with self.subTest("a finished run takes no further step"):
      with mock.patch.object(loops.Loop, "train", side_effect=AssertionError):
        again = self.fit("stopped")
      self.assert_alike(whole, self.end("stopped", again))

  def test_a_run_told_to_stop_ends_as_if_it_had_not_been(self):
    whole = self.end("whole", self.fit("whole"))
    for step, moment, at in (
      (2, "within an epoch", 1),
      (4, "after an epoch's steps", 1),
      (4, "while validating what had been stopped", None),
      (8, "while validating", 4),
    ):
      with self.subTest(moment):
        self._stop("stopped", at)
        self.assertIn(f"checkpoint-{step}-unfinished", self.names("stopped"))
    self.assert_alike(whole, self.end("stopped", self.fit("stopped")))

  def _stop(self, name, at):
    """Fits until SIGTERM comes after a step, or during validation."""

    def tell():
      os.kill(os.getpid(), signal.SIGTERM)

    calls = itertools.count(1)
    bar = mock.Mock()
    bar.update = lambda: tell() if next(calls) == at else None
    validate = loops.Loop.validate

    def told(*arguments):
      tell()
      yield from validate(*arguments)

    if at is None:
      moment = mock.patch.object(loops.Loop, "validate", told)
    else:
      moment = mock.patch.object(training.tqdm, "tqdm", return_value=bar)
    with moment, self.assertRaises(preemption.Terminated) as stopped:
      self.fit(name)
    self.assertEqual(stopped.exception.code, 75)


class FitTest(_FitTest):
  def test_leaves_a_run_that_can_be_read(self):
    self.fit(draw=_draw)
    done = self.done()
    self.assertEqual(
      self.names(),
      [
        "best-4",
        "best-8",
        "best.weights.h5",
        "checkpoint-4",
        "checkpoint-8",
        "done.json",
        "flags.cfg",
        "lock",
        "log.csv",
        "model.json",
        "pictures",
        "tensorboard",
      ],
    )
    self.assertEqual(done["steps"], 8)
    self.assertEqual(
      done["parameters"],
      storage.load(str(self.folder / "attributes")).count_params(),
    )
    self.assertEqual(
      sorted(path.name for path in self.folder.glob("attributes/pictures/*")),
      ["curves.png", "seen.png"],
    )
    for row in self.log():
      self.assertEqual(
        set(row), {"step", "loss", "accuracy", "val_loss", "val_accuracy"}
      )
      self.assertAllInRange([float(value) for value in row.values()], 0, 9)
    # TensorBoard shows scalars and pictures.
    (events,) = self.folder.glob("attributes/tensorboard/*")
    seen = {
      (value.tag, event.step)
      for event in tf.compat.v1.train.summary_iterator(str(events))
      for value in event.summary.value
    }
    for tag, step in itertools.product(["val_loss", "seen"], [4, 8]):
      self.assertIn((tag, step), seen)

  def test_keeps_the_best_by_validation(self):
    def mislead(number, batch):
      labels = batch["attributes"]
      wrong = tf.where(number >= 20, 1.0 - labels, labels)
      return {**batch, "attributes": wrong}

    last = self.fit(
      steps=40,
      steps_per_epoch=10,
      learning_rate=0.03,
      change=_spoilt(mislead),
    )
    losses = [float(row["val_loss"]) for row in self.log()]
    self.assertEqual(np.argmin(losses), 1)
    best = self.done()["best"]
    self.assertEqual(
      best, {"value": min(losses), "step": 20, "monitor": "val_loss"}
    )
    kept = storage.load(str(self.folder / "attributes"))
    self.assertNotAllClose(kept.get_weights()[0], last.get_weights()[0])
    begun = _begin(_recipe())
    begun.model.set_weights(kept.get_weights())
    logs = begun.model.evaluate(begun.validation, return_dict=True, verbose=0)
    self.assertAllClose(logs["loss"], min(losses), rtol=1e-5)

  def test_keeps_the_last_where_nothing_says_which_is_best(self):
    last = self.fit(change=lambda begun: begun._replace(monitor=None))
    self.assertEqual(
      self.done()["best"],
      {"value": None, "step": 8, "monitor": None},
    )
    kept = storage.load(str(self.folder / "attributes"))
    for old, new in zip(last.get_weights(), kept.get_weights()):
      self.assertAllEqual(old, new)

  @parameterized.parameters(
    # A label of NaN is unknown, and no error.
    ("attributes", np.inf, "loss"),
    # oneDNN's ReLU turns NaN into 0: the loss stays finite.
    ("mean", np.nan, "a weight"),
  )
  def test_stops_at_nan_and_keeps_the_last_checkpoint(
    self, spoilt, value, seen
  ):
    def spoil(number, batch):
      values = tf.where(number >= 4, value, batch[spoilt])
      return {**batch, spoilt: values}

    with self.assertRaisesRegex(
      ValueError, f"diverged before step 8: .*{seen}.*--learning_rate"
    ):
      self.fit(change=_spoilt(spoil))
    self.assertIn("checkpoint-4", self.names())
    self.assertNotIn("checkpoint-8", self.names())
    self.assertNotIn("done.json", self.names())
    self.assertLen(self.log(), 1)
    kept = storage.load(str(self.folder / "attributes"))
    for weight in kept.get_weights():
      self.assertAllInRange(weight, -10.0, 10.0)

  def test_two_replicas_do_what_keras_fit_does(self):
    # Keras distributes a smaller last batch differently.
    def whole_batches(begun):
      return begun._replace(validation=_begin(recipe, held_out=8).validation)

    recipe = _recipe()
    ours = self.fit(replicas=2, change=whole_batches)
    with training.strategy(2).scope():
      theirs = _begin(recipe, held_out=8)
    history = trainings.fit(theirs, recipe, verbose=0).history
    for name in ("loss", "val_loss"):
      ours_by_epoch = [float(row[name]) for row in self.log()]
      self.assertEqual(ours_by_epoch, history[name])
    kept = storage.load(str(self.folder / "attributes"))
    for one, two in zip(kept.get_weights(), theirs.model.get_weights()):
      self.assertAllEqual(one, two)
    self.assertAllEqual(ours.optimizer.iterations, 8)

  def test_metrics_survive_another_number_of_replicas(self):
    with training.strategy(2).scope():
      begun = _begin(_recipe())
    loop = loops.Loop(begun.model, begun.batches(0))
    loop.set_metrics(None)
    loop.train()
    figures, metrics = loop.figures(), loop.metrics()
    self.assertEqual({len(part) for part in metrics}, {2})
    loop.set_metrics(None)
    self.assertNotEqual(loop.figures(), figures)
    for before in (metrics, [part.sum(0, keepdims=True) for part in metrics]):
      loop.set_metrics(before)
      self.assertAllClose(loop.figures(), figures)


class LearningRateTest(tf.test.TestCase, parameterized.TestCase):
  def _rates(self, at, **changes):
    schedule = trainings.learning_rate(_recipe(**changes))
    return [float(schedule(step)) for step in at]

  def test_is_constant_if_no_final_rate_is_given(self):
    rates = self._rates([0, 50, 100], steps=100, learning_rate=0.5)
    self.assertAllClose(rates, [0.5] * 3)

  @parameterized.parameters(("cosine", 0.505), ("log", 0.1))
  def test_warms_up_then_goes_to_the_final_rate(self, shape, middle):
    rates = self._rates(
      range(121),
      steps=110,
      warmup_steps=10,
      learning_rate=1.0,
      final_learning_rate=0.01,
      schedule=shape,
    )
    self.assertAllClose(rates[:11], [*np.arange(1, 11) / 10, 1.0])
    self.assertTrue(np.all(np.diff(rates[10:111]) < 0))
    self.assertAllClose(rates[60], middle)
    self.assertAllClose(rates[110], 0.01)

  def test_an_optimiser_with_several_updates_a_step_ends_with_the_steps(self):
    # With a rate that falls with the critic's own updates, the critic stopped
    # learning early, and the actor left the data unnoticed.
    recipe = _recipe(
      steps=40, learning_rate=0.5, final_learning_rate=0.0, warmup_steps=8
    )
    actor = trainings.learning_rate(recipe)
    critic = trainings.learning_rate(recipe, updates_per_step=5)
    for step in (8, 20, 33, 40):
      self.assertAllClose(actor(step), critic(5 * step))
    self.assertGreater(float(critic(40)), 0.4)

  def test_log_needs_a_rate_above_zero(self):
    recipe = _recipe(schedule="log", final_learning_rate=0.0)
    with self.assertRaisesRegex(ValueError, "final learning rate above zero"):
      trainings.learning_rate(recipe)


class StrategyTest(tf.test.TestCase):
  def test_says_so_when_there_are_fewer(self):
    training.strategy(1)
    with self.assertRaisesRegex(ValueError, "--replicas=3.* 2 logical"):
      training.strategy(3)
