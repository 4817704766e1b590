"""Tests of training: a run that was stopped ends as one that was not."""

import contextlib
import csv
import io
import itertools
import json
import os
import pathlib
import signal
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from absl import flags
from absl.testing import parameterized
from PIL import Image

from lc_keras.constraints import attributes
from lc_keras.data import latent_batches
from lc_keras.data import latents
from lc_keras.models import actor_critic
from lc_keras.models import actor_critic_recipe
from lc_keras.models import attribute_model
from lc_keras.models import storage
from tests import testing
from trainers import attributes as attributes_job
from trainers import loop as loop_lib
from trainers import preemption
from trainers import runs
from trainers import training

# Before anything starts TensorFlow.
testing.two_logical_cpus()

_LATENT = 4
_NAMES = ("Bald", "Black_Hair", "Blond_Hair", "Male", "Smiling")
_FACES = attributes.Attributes(_NAMES, [_NAMES[:3]])
# Four epochs of two steps.
_FLAGS = ("--steps=8", "--steps_per_epoch=2", "--batch_size=4")


def _settings(*arguments):
  values = flags.FlagValues()
  attributes_job.define_flags(values)
  values(["job", "--run_dir=unused", *_FLAGS, *arguments])
  return values


def _rows(rows=24):
  """Returns latents whose signs are attributes; fewer are the first ones."""
  random = np.random.default_rng(0)
  mean = random.normal(size=[rows, _LATENT]).astype(np.float32)
  labels = np.concatenate([mean > 0, mean[:, :1] < 0], axis=1)
  scale = np.full_like(mean, 0.1)
  return latents.Latents(mean, scale, labels.astype(np.float32))


def _attribute_model(settings):
  model = attribute_model.AttributeModel(_LATENT, len(_FACES), 8, 2)
  optimizer = keras.optimizers.Adam(training.schedule(settings))
  optimizer.build(model.trainable_variables)
  model.compile(optimizer=optimizer, jit_compile=False)
  return model


def _actor_critic(settings):
  model = actor_critic.ActorCritic(_LATENT, len(_FACES), 8, 2)
  model.compile(
    *(keras.optimizers.Adam(training.schedule(settings)) for _ in range(2)),
    actor_critic_recipe.Recipe(
      posterior_scale=tf.fill([_LATENT], 0.5),
      excludes=_FACES.excludes,
      read_attributes=lambda z: tf.pad(z, [[0, 0], [0, 1]]),
      attribute_weight=1.0,
    ),
    jit_compile=False,
  )
  return model


def _state(model):
  """Returns all that a run goes on from: weights, moments, counts."""
  variables = [*model.weights, *model.optimizer.variables]
  if hasattr(model, "critic_optimizer"):
    variables += model.critic_optimizer.variables
  return {variable.path: variable.numpy() for variable in variables}


class _FitTest(tf.test.TestCase, parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir())

  def fit(
    self,
    *arguments,
    name="attributes",
    make=_attribute_model,
    batches=None,
    draw=dict,
    monitor="val_loss",
  ):
    """Fits in a stage folder, as a job does; returns the model."""
    settings = _settings(*arguments)
    run = runs.Run(str(self.folder), "tiny", "data", (8, 16, 1), _FACES)
    stage = runs.Stage(run, name, settings)
    keras.utils.set_random_seed(settings.seed)
    with training.strategy(settings.replicas).scope():
      model = make(settings)
    turns = 3 if make is _actor_critic else 1

    def from_step(step):
      return latent_batches.at_random(
        _rows(), settings.batch_size, turns=turns, start_step=step
      )

    training.fit(
      stage,
      model,
      settings,
      training=batches or from_step,
      validation=latent_batches.in_order(_rows(9), 4),
      monitor="val_attribute_loss" if turns > 1 else monitor,
      draw=draw,
    )
    return model

  def log(self, name="attributes"):
    with open(self.folder / name / "log.csv", newline="") as file:
      return list(csv.DictReader(file))

  def read_json(self, *parts):
    return json.loads(self.folder.joinpath(*parts).read_text())

  def names(self, name="attributes"):
    return sorted(path.name for path in (self.folder / name).iterdir())


def _interrupt_at(call):
  """Returns a function that is interrupted when it is called so often."""
  calls = itertools.count(1)

  def function(*arguments, **options):
    del arguments, options
    if next(calls) == call:
      raise KeyboardInterrupt
    return {}

  return function


def _draw():
  return {"seen": Image.fromarray(np.eye(64, dtype=np.uint8)).convert("RGB")}


class _ResumeTest(_FitTest):
  def _assert_alike(self, first, second):
    """Asserts that two runs ended alike, bit for bit."""
    (one, model_one), (two, model_two) = first, second
    state, other = _state(model_one), _state(model_two)
    self.assertEqual(len(state), len(other))
    for (path, value), again in zip(state.items(), other.values()):
      self.assertAllEqual(value, again, path)
    self.assertEqual(self.log(one), self.log(two))
    best_one, best_two = (
      storage.load(str(self.folder / name)).get_weights() for name in (one, two)
    )
    for value, again in zip(best_one, best_two, strict=True):
      self.assertAllEqual(value, again)
    done_one, done_two = (self.read_json(n, "done.json") for n in (one, two))
    self.assertEqual(done_one["best"], done_two["best"])


class ResumeTest(_ResumeTest):
  @parameterized.named_parameters(
    ("attribute_model", _attribute_model), ("actor_critic", _actor_critic)
  )
  def test_a_run_stopped_while_drawing_ends_as_if_it_had_not_been(self, make):
    whole = self.fit(name="whole", make=make)
    with self.assertRaises(KeyboardInterrupt):
      self.fit(name="stopped", make=make, draw=_interrupt_at(3))
    self.assertIn("checkpoint-4", self.names("stopped"))
    self.assertNotIn("done.json", self.names("stopped"))
    stopped = self.fit(name="stopped", make=make)
    self._assert_alike(("whole", whole), ("stopped", stopped))
    self.assertEqual(
      [row["step"] for row in self.log("stopped")], ["2", "4", "6", "8"]
    )

  def test_a_run_stopped_between_steps_ends_as_if_it_had_not_been(self):
    whole = self.fit(name="whole")
    # Twice: in the first epoch, of which nothing is kept, and in the third.
    for update in (1, 6):
      bar = mock.Mock()
      bar.update = _interrupt_at(update)
      with (
        mock.patch.object(training.tqdm, "tqdm", return_value=bar),
        self.assertRaises(KeyboardInterrupt),
      ):
        self.fit(name="stopped")
    stopped = self.fit(name="stopped")
    self._assert_alike(("whole", whole), ("stopped", stopped))

  def test_a_half_written_checkpoint_is_ignored(self):
    whole = self.fit(name="whole")
    with self.assertRaises(KeyboardInterrupt):
      self.fit(name="stopped", draw=_interrupt_at(3))
    half = self.folder / "stopped" / ".tmp-1-checkpoint-3"
    half.mkdir()
    (half / "model.weights.h5").write_bytes(b"half")
    stopped = self.fit(name="stopped")
    self._assert_alike(("whole", whole), ("stopped", stopped))

  def test_a_finished_run_takes_no_further_step(self):
    first = self.fit()
    before = self.log()
    again = self.fit()
    self.assertEqual(self.log(), before)
    for one, two in zip(first.get_weights(), again.get_weights()):
      self.assertAllEqual(one, two)

  def test_seconds_add_up_over_attempts(self):
    with (
      mock.patch.object(runs.Stage, "seconds", 1000.0),
      self.assertRaises(KeyboardInterrupt),
    ):
      self.fit(draw=_interrupt_at(3))
    self.fit()
    done = self.read_json("attributes", "done.json")
    self.assertBetween(done["seconds"], 1000.0, 1600.0)

  def test_moments_that_cannot_be_restored_are_an_error(self):
    # Keras only warns, and would go on from zeroed moments.
    with self.assertRaises(KeyboardInterrupt):
      self.fit(draw=_interrupt_at(3))

    def unbuilt(settings):
      model = _attribute_model(settings)
      model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
      return model

    with self.assertRaisesRegex(ValueError, "Skipping variable loading"):
      self.fit(make=unbuilt)


class StopTest(_ResumeTest):
  def _stop(self, *arguments, at=None, **options):
    """Fits until SIGTERM comes after a step of this attempt, or validating."""

    def tell(*arguments, **options):
      del arguments, options
      os.kill(os.getpid(), signal.SIGTERM)

    calls = itertools.count(1)
    bar = mock.Mock()
    bar.update = lambda: tell() if next(calls) == at else None
    validate = loop_lib.Loop.validate

    def told(*arguments):
      tell()
      yield from validate(*arguments)

    if at is None:
      moment = mock.patch.object(loop_lib.Loop, "validate", told)
    else:
      moment = mock.patch.object(training.tqdm, "tqdm", return_value=bar)
    with moment, self.assertRaises(preemption.Terminated) as stopped:
      self.fit(*arguments, name="stopped", **options)
    self.assertEqual(stopped.exception.code, 75)
    return self.names("stopped")

  def test_a_run_told_to_stop_ends_as_if_it_had_not_been(self):
    flags = ("--replicas=2", "--steps=12", "--steps_per_epoch=4")
    whole = self.fit(*flags, name="whole")
    for step, moment, at in (
      (2, "within an epoch", 1),
      (4, "after an epoch's steps", 1),
      (4, "while validating what had been stopped", None),
      (8, "while validating", 4),
    ):
      with self.subTest(moment):
        names = self._stop(*flags, at=at)
        self.assertIn(f"checkpoint-{step}-unfinished", names)
    stopped = self.fit(*flags, name="stopped")
    self._assert_alike(("whole", whole), ("stopped", stopped))

  def test_two_that_are_trained_in_turns_stop_together(self):
    flags = ("--steps_per_epoch=4",)
    whole = self.fit(*flags, name="whole", make=_actor_critic)
    names = self._stop(*flags, make=_actor_critic, at=1)
    self.assertIn("checkpoint-2-unfinished", names)
    stopped = self.fit(*flags, name="stopped", make=_actor_critic)
    self._assert_alike(("whole", whole), ("stopped", stopped))


class DamageTest(_FitTest):
  def setUp(self):
    super().setUp()
    with self.assertRaises(KeyboardInterrupt):
      self.fit(draw=_interrupt_at(4))
    self.stage = self.folder / "attributes"
    self.newest = self.stage / "checkpoint-6"

  def _refused(self):
    with self.assertRaises(runs.UserError) as refused:
      self.fit()
    return str(refused.exception)

  @parameterized.parameters(
    ("model.weights.h5", "bytes instead of"),
    ("best.weights.h5", "another checksum"),
    ("manifest.json", "cannot be read"),
  )
  def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    self, name, what
  ):
    damaged = self.newest / name
    whole = damaged.read_bytes()
    damaged.write_bytes(
      whole[:-1] + b"?" if what == "another checksum" else whole[:-9]
    )
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
      self.fit()
    self.assertIn(f"{self.newest} is damaged: {name}", said.getvalue())
    self.assertIn(what, said.getvalue())
    self.assertIn("going on from checkpoint-4", said.getvalue())
    self.assertIn("damaged-checkpoint-6", self.names())
    self.assertLen(self.log(), 4)

  def test_refuses_to_begin_again_when_all_are_damaged(self):
    for path in self.stage.glob("checkpoint-*/state.json"):
      path.unlink()
    refused = self._refused()
    for number in (4, 6):
      self.assertIn(f"checkpoint-{number}: state.json is missing", refused)
    self.assertIn("checkpoint-6", self.names())

  def test_refuses_other_formats_and_keeps_them(self):
    manifest = self.newest / "manifest.json"
    known = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**known, "format": 3}))
    self.assertRegex(self._refused(), "has format 3, .* newer version")
    manifest.unlink()
    (self.newest / "state.json").write_text('{"epochs": 3, "rows": []}')
    self.assertRegex(self._refused(), "older format.*delete")
    self.assertIn("checkpoint-6", self.names())

  def test_the_best_is_put_back(self):
    best = self.stage / "best.weights.h5"
    whole = best.read_bytes()
    best.write_bytes(b"half")
    with self.assertRaises(KeyboardInterrupt):
      self.fit(draw=_interrupt_at(1))
    self.assertEqual(best.read_bytes(), whole)

  def test_keeps_as_many_as_it_is_told(self):
    self.fit("--keep_checkpoints=1")
    self.assertEqual(
      [name for name in self.names() if "checkpoint" in name], ["checkpoint-8"]
    )


class FitTest(_FitTest):
  def test_leaves_a_run_that_can_be_read(self):
    self.fit(draw=_draw)
    self.assertEqual(
      self.names(),
      [
        "best.weights.h5",
        "checkpoint-6",
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
    done = self.read_json("attributes", "done.json")
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

  def test_shows_scalars_and_pictures_to_tensorboard(self):
    self.fit(draw=_draw)
    (events,) = self.folder.glob("attributes/tensorboard/*")
    seen = {
      (value.tag, event.step)
      for event in tf.compat.v1.train.summary_iterator(str(events))
      for value in event.summary.value
    }
    for tag, step in itertools.product(["val_loss", "seen"], [2, 4, 6, 8]):
      self.assertIn((tag, step), seen)

  def test_keeps_the_best_by_validation(self):
    def misled_later(step):
      def mislead(number, batch):
        labels = batch["attributes"]
        wrong = tf.where(number >= 20, 1.0 - labels, labels)
        return {**batch, "attributes": wrong}

      batches = latent_batches.at_random(_rows(), 4, start_step=step)
      return batches.enumerate(step).map(mislead)

    last = self.fit(
      "--steps=40",
      "--steps_per_epoch=10",
      "--learning_rate=0.03",
      batches=misled_later,
    )
    losses = [float(row["val_loss"]) for row in self.log()]
    self.assertEqual(np.argmin(losses), 1)
    best = self.read_json("attributes", "done.json")["best"]
    self.assertEqual(
      best, {"value": min(losses), "step": 20, "monitor": "val_loss"}
    )
    kept = storage.load(str(self.folder / "attributes"))
    self.assertNotAllClose(kept.get_weights()[0], last.get_weights()[0])
    kept.compile(keras.optimizers.SGD(), jit_compile=False)
    logs = kept.evaluate(
      latent_batches.in_order(_rows(9), 4), return_dict=True, verbose=0
    )
    self.assertAllClose(logs["loss"], min(losses), rtol=1e-5)

  def test_keeps_the_last_where_nothing_says_which_is_best(self):
    last = self.fit(monitor=None)
    self.assertEqual(
      self.read_json("attributes", "done.json")["best"],
      {"value": None, "step": 8, "monitor": None},
    )
    kept = storage.load(str(self.folder / "attributes"))
    for old, new in zip(last.get_weights(), kept.get_weights()):
      self.assertAllEqual(old, new)

  @parameterized.parameters(
    ("attributes", "loss"),
    # oneDNN's ReLU makes zeros of NaN: the loss stays a number.
    ("mean", "a weight"),
  )
  def test_stops_at_nan_and_keeps_the_last_checkpoint(self, spoilt, seen):
    def broken_later(step):
      def spoil(number, batch):
        values = tf.where(number >= 4, np.nan, batch[spoilt])
        return {**batch, spoilt: values}

      batches = latent_batches.at_random(_rows(), 4, start_step=step)
      return batches.enumerate(step).map(spoil)

    with self.assertRaisesRegex(
      runs.UserError, f"diverged before step 6: .*{seen}.*--learning_rate"
    ):
      self.fit(batches=broken_later)
    self.assertIn("checkpoint-4", self.names())
    self.assertNotIn("checkpoint-6", self.names())
    self.assertNotIn("done.json", self.names())
    self.assertLen(self.log(), 2)
    kept = storage.load(str(self.folder / "attributes"))
    for weight in kept.get_weights():
      self.assertAllInRange(weight, -10.0, 10.0)

  def test_makes_ten_epochs_if_not_told(self):
    self.fit("--steps=20", "--steps_per_epoch=0")
    self.assertEqual(
      [row["step"] for row in self.log()], [str(2 * n) for n in range(1, 11)]
    )

  def test_fewer_steps_than_an_epoch_are_one(self):
    self.fit("--steps=3", "--steps_per_epoch=100")
    self.assertEqual([row["step"] for row in self.log()], ["3"])

  @parameterized.named_parameters(
    ("attribute_model", _attribute_model), ("actor_critic", _actor_critic)
  )
  def test_trains_on_two_replicas(self, make):
    model = self.fit("--replicas=2", make=make)
    self.assertLen(self.log(), 4)
    self.assertAllEqual(model.optimizer.iterations, 8)
    for row in self.log():
      self.assertAllInRange([float(value) for value in row.values()], 0, 1e3)
    loaded = storage.load(str(self.folder / "attributes"))
    self.assertLen(loaded.weights, len(model.weights))

  def test_does_what_keras_fit_does(self):
    for replicas in ("--replicas=1", "--replicas=2"):
      ours = self.fit(replicas, name=f"ours{replicas}")
      settings = _settings(replicas)
      keras.utils.set_random_seed(settings.seed)
      with training.strategy(settings.replicas).scope():
        theirs = _attribute_model(settings)
      history = theirs.fit(
        latent_batches.at_random(_rows(), settings.batch_size),
        steps_per_epoch=2,
        epochs=4,
        # Keras shares out a last batch that is smaller in another way.
        validation_data=latent_batches.in_order(_rows(8), 4),
        shuffle=False,
        verbose=0,
      ).history
      for one, two in zip(_state(ours).values(), _state(theirs).values()):
        self.assertAllEqual(one, two)
      losses = [float(row["loss"]) for row in self.log(f"ours{replicas}")]
      self.assertEqual(losses, history["loss"])

  def test_metrics_survive_another_number_of_replicas(self):
    settings = _settings("--replicas=2")
    with training.strategy(2).scope():
      model = _attribute_model(settings)
    loop = loop_lib.Loop(model, latent_batches.at_random(_rows(), 4))
    loop.set_metrics(None)
    loop.train()
    figures, metrics = loop.figures(), loop.metrics()
    self.assertEqual({len(part) for part in metrics}, {2})
    loop.set_metrics(None)
    self.assertNotEqual(loop.figures(), figures)
    for before in (metrics, [part.sum(0, keepdims=True) for part in metrics]):
      loop.set_metrics(before)
      self.assertAllClose(loop.figures(), figures)


class ScheduleTest(tf.test.TestCase):
  def _rates(self, *arguments, steps):
    schedule = training.schedule(_settings(*arguments))
    return [float(schedule(step)) for step in steps]

  def test_is_constant_if_no_final_rate_is_given(self):
    rates = self._rates(
      "--steps=100", "--learning_rate=0.5", steps=[0, 50, 100]
    )
    self.assertAllClose(rates, [0.5] * 3)

  def test_warms_up_then_goes_to_the_final_rate(self):
    for shape in ("cosine", "log"):
      rates = self._rates(
        "--steps=110",
        "--warmup_steps=10",
        "--learning_rate=1",
        "--final_learning_rate=0.01",
        f"--schedule={shape}",
        steps=range(121),
      )
      self.assertAllClose(rates[:11], [*np.arange(1, 11) / 10, 1.0])
      self.assertTrue(np.all(np.diff(rates[10:111]) < 0))
      self.assertAllClose(rates[110:], [0.01] * 11)

  def test_cosine_and_log_pass_through_their_middles(self):
    common = ("--steps=100", "--learning_rate=1", "--final_learning_rate=0.01")
    self.assertAllClose(self._rates(*common, steps=[50]), [0.505])
    self.assertAllClose(
      self._rates(*common, "--schedule=log", steps=[50]), [0.1]
    )

  def test_an_optimiser_with_several_updates_a_step_ends_with_the_steps(self):
    # A critic whose rate fell with its own updates stopped learning after a
    # fraction of the run, and the actor left the data without being told.
    settings = _settings(
      "--steps=40",
      "--learning_rate=0.5",
      "--final_learning_rate=0",
      "--warmup_steps=8",
    )
    actor = training.schedule(settings)
    critic = training.schedule(settings, updates_per_step=5)
    for step in (8, 20, 33, 40):
      self.assertAllClose(actor(step), critic(5 * step))
    self.assertGreater(float(critic(40)), 0.4)

  def test_log_needs_a_rate_above_zero(self):
    with self.assertRaisesRegex(runs.UserError, "--final_learning_rate"):
      training.schedule(_settings("--schedule=log", "--final_learning_rate=0"))


class StrategyTest(tf.test.TestCase):
  def test_has_the_replicas_asked_for(self):
    self.assertEqual(training.strategy(0).num_replicas_in_sync, 1)
    self.assertEqual(training.strategy(1).num_replicas_in_sync, 1)
    self.assertEqual(training.strategy(2).num_replicas_in_sync, 2)

  def test_says_so_when_there_are_fewer(self):
    training.strategy(1)
    with self.assertRaisesRegex(runs.UserError, "--replicas=3.* 2 logical"):
      training.strategy(3)


if __name__ == "__main__":
  tf.test.main()
