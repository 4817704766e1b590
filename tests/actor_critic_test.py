"""Tests of actor_critic: properties that hold whatever the recipe is."""

from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras import attributes
from lc_keras import latent_batches
from lc_keras import latents
from lc_keras import losses
from lc_keras.models import actor_critic
from lc_keras.models import attribute_critic
from lc_keras.models import flow_matching
from tests import testing

# Before anything starts TensorFlow.
testing.two_logical_cpus()

_LATENT, _TURNS = 4, 3
_FACES = attributes.Attributes(
  ("Bald", "Black_Hair", "Blond_Hair", "Male", "Smiling"),
  [("Bald", "Black_Hair", "Blond_Hair")],
)
_ATTRIBUTES = len(_FACES)


def _rows(rows=32, scale=0.3, size=_LATENT):
  """Returns latents whose signs are attributes 1 to 4."""
  random = np.random.default_rng(0)
  labels = random.integers(0, 2, [rows, _ATTRIBUTES]).astype(np.float32)
  labels[:, :2] = 0
  mean = random.normal(size=[rows, size])
  mean[:, :4] = np.abs(mean[:, :4]) * (2 * labels[:, 1:] - 1)
  return latents.Latents(
    mean.astype(np.float32), np.full([rows, size], scale, np.float32), labels
  )


def _batch(batch_size=7, seed=0, **options):
  """Returns one batch of three turns."""
  batches = latent_batches.at_random(
    _rows(**options), batch_size, turns=_TURNS, seed=seed
  )
  return next(iter(batches.take(1)))


def _read(moved):
  """Reads attributes 1 to 4 off the signs, as `_rows` wrote them."""
  return tf.concat([tf.fill(tf.shape(moved[:, :1]), -9.0), 4 * moved], axis=-1)


def _model(
  actor_optimizer=None, critic_optimizer=None, *, size=_LATENT, **options
):
  keras.utils.set_random_seed(0)
  model = actor_critic.ActorCritic(size, _ATTRIBUTES, 8, 2)
  settings = {
    "posterior_scale": tf.fill([size], 0.5),
    "excludes": _FACES.excludes,
    "read_attributes": lambda z: _read(z[:, :4]),
    "attribute_weight": 1.0,
    "jit_compile": False,
  }
  model.compile(
    actor_optimizer or keras.optimizers.SGD(0.1),
    critic_optimizer or keras.optimizers.SGD(0.1),
    **{**settings, **options},
  )
  return model


def _set_heads(model, target, raw_gate):
  """Makes both actors move every row alike."""
  for network in (model.actor, model.trained_actor):
    kernel, bias = network.trunk.layers[-1].get_weights()
    half = len(bias) // 2
    bias[:half], bias[half:] = target, raw_gate
    network.trunk.layers[-1].set_weights([0 * kernel, bias])


def _zero_critic(model):
  """Makes the critic flat: D = 1/2 everywhere."""
  model.critic.set_weights(
    [0 * weight for weight in model.critic.get_weights()]
  )


def _lessons(moved, count=9):
  """Returns requests of a teacher that moves whatever it is given alike."""
  random = np.random.default_rng(3)
  lessons = {}
  for name in ("prior", "real"):
    start = random.normal(size=[count, _LATENT]).astype(np.float32)
    lessons[name], lessons[f"{name}_goal"] = start, start + np.float32(moved)
    for part in ("values", "mask"):
      ask = random.integers(0, 2, [count, _ATTRIBUTES]).astype(np.float32)
      lessons[f"{name}_{part}"] = ask
  return lessons


def _evaluate(model, rows=None, batch_size=7, lessons=None):
  batches = latent_batches.in_order(rows or _rows(), batch_size)
  if lessons is not None:
    batches = batches.map(lambda batch: {**batch, "lessons": lessons})
  return model.evaluate(batches, return_dict=True, verbose=0)


def _draws(normal=None, uniform=None):
  """Makes every random number the same; batches must be drawn before."""
  values = {"stateless_normal": normal, "stateless_uniform": uniform}
  return mock.patch.multiple(
    tf.random,
    **{
      name: lambda shape, seed, value=value, **_: tf.fill(shape, value)
      for name, value in values.items()
      if value is not None
    },
  )


class TrainStepTest(tf.test.TestCase, parameterized.TestCase):
  @parameterized.parameters(
    {},
    {"real_weight": 0.0},
    {"distance_weight": 0.0},
    {"attribute_weight": 0.0},
    {"prior_fraction": 0.5},
    {"wrong_weight": 0.0},
    {"masked_fraction": 0.0},
  )
  def test_reaches_every_trained_variable(self, **options):
    model = _model(**options)
    trained = [
      *model.trained_actor.trainable_variables,
      *model.critic.trainable_variables,
    ]
    before = [variable.numpy() for variable in trained]
    logs = model.train_step(_batch())
    for old, variable in zip(before, trained):
      self.assertNotAllEqual(old, variable, variable.path)
      self.assertAllInRange(variable, -1e3, 1e3)
    self.assertAllInRange([float(value) for value in logs.values()], 0.0, 1e3)

  def test_updates_the_critic_in_all_turns_but_the_last(self):
    model = _model()
    model.train_step(_batch())
    self.assertEqual(int(model.critic_optimizer.iterations), _TURNS - 1)
    self.assertEqual(int(model.optimizer.iterations), 1)

  def test_each_optimiser_has_its_own_network(self):
    still = keras.optimizers.SGD(0.0)
    model = _model(actor_optimizer=still)
    before = model.trained_actor.get_weights(), model.critic.get_weights()
    model.train_step(_batch())
    for old, new in zip(before[0], model.trained_actor.get_weights()):
      self.assertAllEqual(old, new)
    self.assertNotAllEqual(before[1][0], model.critic.get_weights()[0])

    model = _model(critic_optimizer=keras.optimizers.SGD(0.0))
    before = model.trained_actor.get_weights(), model.critic.get_weights()
    model.train_step(_batch())
    self.assertNotAllEqual(before[0][0], model.trained_actor.get_weights()[0])
    for old, new in zip(before[1], model.critic.get_weights()):
      self.assertAllEqual(old, new)

  def test_optimisers_are_built_before_the_first_step(self):
    # Under two replicas, a step cannot build them.
    model = _model(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3))
    trained = len(model.trained_actor.trainable_variables)
    self.assertGreaterEqual(len(model.optimizer.variables), 2 * trained)
    judged = len(model.critic.trainable_variables)
    self.assertGreaterEqual(len(model.critic_optimizer.variables), 2 * judged)

  def test_the_attribute_critic_stays_frozen_and_outside(self):
    frozen = attribute_critic.AttributeCritic(_LATENT, _ATTRIBUTES, 8, 2)
    model = _model(read_attributes=frozen)
    before = frozen.get_weights()
    weights = len(actor_critic.ActorCritic(_LATENT, _ATTRIBUTES, 8, 2).weights)
    model.train_step(_batch())
    for old, new in zip(before, frozen.get_weights()):
      self.assertAllEqual(old, new)
    self.assertLen(model.weights, weights)

  def test_fit_draws_afresh_every_step_and_validation_does_not(self):
    still = [keras.optimizers.SGD(0.0) for _ in range(2)]
    model = _model(*still)
    data = tf.data.Dataset.from_tensors(_batch())
    history = model.fit(
      data,
      validation_data=latent_batches.in_order(_rows(), 7),
      epochs=3,
      verbose=0,
    ).history
    for name in ("critic_loss", "penalty", "actor_loss", "distance"):
      self.assertLen(set(history[name]), 3, name)
    for name in ("actor_loss", "realism", "distance", "attribute_loss"):
      # The average of equal weights may differ from them in the last bit.
      values = np.round(history[f"val_{name}"], 5)
      self.assertLen(set(values), 1, name)

  def test_is_determined_by_the_step(self):
    first, second = _model(), _model()
    for model in (first, second):
      model.train_step(_batch())
      model.train_step(_batch(seed=1))
    for one, two in zip(first.get_weights(), second.get_weights()):
      self.assertAllEqual(one, two)

  def test_teaches_the_actor_what_is_asked(self):
    model = _model(
      keras.optimizers.Adam(1e-2, 0.0, 0.9),
      keras.optimizers.Adam(1e-3, 0.0, 0.9),
      distance_weight=0.0,
      average_decay=0.9,
    )
    before = _evaluate(model)["attribute_loss"]
    model.fit(
      latent_batches.at_random(_rows(), 32, turns=2),
      steps_per_epoch=100,
      verbose=0,
    )
    self.assertLess(_evaluate(model)["attribute_loss"], 0.7 * before)


class AverageTest(tf.test.TestCase):
  def test_starts_as_the_trained_actor_and_is_not_trained(self):
    model = _model()
    for mean, trained in zip(model.actor.weights, model.trained_actor.weights):
      self.assertAllEqual(mean, trained)
    self.assertEmpty(model.actor.trainable_variables)

  def test_without_decay_is_the_trained_actor(self):
    model = _model(average_decay=0.0)
    for seed in range(3):
      model.train_step(_batch(seed=seed))
    for mean, trained in zip(model.actor.weights, model.trained_actor.weights):
      self.assertAllEqual(mean, trained)

  def test_follows_the_trained_actor(self):
    model = _model(average_decay=0.9)
    start = model.actor.get_weights()[0]
    model.train_step(_batch())
    first = model.actor.get_weights()[0]
    trained = model.trained_actor.get_weights()[0]
    # Between where it was and what it follows, at one share for all.
    moved = np.abs(trained - start) > 1e-4 * np.ptp(trained)
    share = (first - start)[moved] / (trained - start)[moved]
    self.assertAllInRange(share, 0.05, 1.0 + 1e-3)
    self.assertAllClose(share, np.full_like(share, share[0]), atol=1e-2)
    model.optimizer.learning_rate = 0.0
    model.fit(tf.data.Dataset.from_tensors(_batch()).repeat(60), verbose=0)
    self.assertAllClose(
      model.actor.get_weights()[0], trained, atol=0.05 * np.ptp(trained - start)
    )

  def test_is_what_is_called_and_validated(self):
    model = _model()
    _set_heads(model, target=0.0, raw_gate=-100.0)  # The identity.
    model.trained_actor.set_weights(
      [weight + 1.0 for weight in model.trained_actor.get_weights()]
    )
    batch = _batch()
    labels = batch["attributes"][:, 0]
    moved = model(batch["mean"][:, 0], labels, tf.ones_like(labels))
    self.assertAllClose(moved, batch["mean"][:, 0])
    self.assertAllClose(_evaluate(model)["distance"], 0.0)


class ActorLossTest(tf.test.TestCase):
  def test_the_distance_is_a_mean_over_dimensions(self):
    # Summed, lambda_dist would be latent_size times too strong.
    for size in (4, 64):
      model = _model(size=size, posterior_scale=tf.ones([size]))
      _set_heads(model, target=1.0, raw_gate=100.0)
      rows = _rows(7, scale=0.0, size=size)
      rows.mean[:] = 0.0
      with _draws(normal=0.0):
        distance = _evaluate(model, rows)["distance"]
      self.assertAllClose(distance, np.log(2.0), rtol=1e-5)

  def test_sigma_bar_divides_the_distance(self):
    distances = []
    for scale in (1.0, 0.5):
      model = _model(posterior_scale=tf.fill([_LATENT], scale))
      distances.append(_evaluate(model)["distance"])
    self.assertAllClose(4 * distances[0], distances[1], rtol=1e-5)

  def test_each_term_has_its_weight(self):
    def logs(**weights):
      return _evaluate(
        _model(**{"distance_weight": 0.0, "attribute_weight": 0.0, **weights})
      )

    bare = logs()
    self.assertAllClose(
      logs(distance_weight=0.1)["actor_loss"] - bare["actor_loss"],
      0.1 * bare["distance"],
      rtol=1e-3,
    )
    self.assertAllClose(
      logs(attribute_weight=2.0)["actor_loss"] - bare["actor_loss"],
      2.0 * bare["attribute_loss"],
      rtol=1e-3,
    )

  def test_of_real_rows_what_is_open_has_to_stay(self):
    spied = mock.Mock(wraps=losses)
    with mock.patch.object(actor_critic, "losses", spied):
      _model(masked_fraction=1.0).test_step(
        {name: value[:, 0] for name, value in _batch().items()}
      )
    (call,) = spied.attribute_cross_entropy.call_args_list
    of_prior, of_real = zip(*(tf.split(part, 2) for part in call.args))
    # Of a prior sample, only what is asked for is looked at.
    self.assertLess(tf.reduce_mean(of_prior[2]), 1.0)
    self.assertAllEqual(of_real[2], tf.ones_like(of_real[2]))
    own = _batch()["attributes"][:, 0]
    open_ = of_prior[2] == 0.0
    self.assertAllEqual(of_real[1][open_], own[open_])

  def test_lessons_say_where_a_row_belongs(self):
    model = _model(teacher_weight=2.0, attribute_weight=0.0)
    _zero_critic(model)
    _set_heads(model, target=0.0, raw_gate=-100.0)  # The identity.
    rows = {name: value[:, 0] for name, value in _batch().items()}
    logs = model.test_step({**rows, "lessons": _lessons(moved=0.5)})
    self.assertAllClose(logs["imitation_loss"], 0.25)
    # The distance, too, is taken from there, and not from the start.
    self.assertAllClose(logs["distance"], np.log(1.25) / 0.5**2, rtol=1e-5)
    self.assertAllClose(
      logs["actor_loss"],
      np.log(2.0) + 0.1 * logs["distance"] + 2.0 * 0.25,
      rtol=1e-5,
    )

  def test_lessons_teach(self):
    optimizers = keras.optimizers.Adam(0.01), keras.optimizers.Adam(0.01)
    model = _model(*optimizers, teacher_weight=10.0, attribute_weight=0.0)
    before = _evaluate(model, lessons=_lessons(moved=0.5))["imitation_loss"]
    # As a graph: 60 steps in Python would take four times as long.
    train_step = tf.function(model.train_step)
    for seed in range(60):
      batch = dict(_batch(32, seed=seed))
      train_step({**batch, "lessons": _lessons(moved=0.5)})
    after = _evaluate(model, lessons=_lessons(moved=0.5))["imitation_loss"]
    self.assertLess(after, 0.7 * before)

  def test_imitates_a_flow_from_the_start(self):
    rows = _rows(400)
    flow = flow_matching.FlowMatching(_LATENT, _ATTRIBUTES, 6, 1)
    flow.whitening.adapt(rows)
    model = actor_critic.ActorCritic(
      _LATENT, _ATTRIBUTES, 8, 2, flow_sizes=(6, 1)
    )
    model.imitate(flow)
    prior = np.random.default_rng(0).normal(size=[9, _LATENT])
    prior = prior.astype(np.float32)
    noise = flow.whitening.noise(prior)
    self.assertAllClose(
      model.begin(prior), flow.whitening.undo(noise), atol=1e-5
    )
    for network in (model.actor, model.trained_actor):
      for weight, own in zip(network.network.weights, flow.velocity.weights):
        self.assertAllEqual(weight, own)

  def test_prior_samples_begin_with_the_moments_of_the_rows(self):
    model, rows = _model(), _rows(400)
    prior = np.random.default_rng(0).normal(size=[5000, _LATENT])
    prior = prior.astype(np.float32)
    self.assertAllClose(model.begin(prior), prior)
    model.whitening.adapt(rows)
    begun = model.begin(prior).numpy()
    self.assertAllClose(begun.mean(0), rows.mean.mean(0), atol=0.1)
    covariance = np.cov(rows.mean.T) + np.diag((rows.scale**2).mean(0))
    self.assertAllClose(np.cov(begun.T), covariance, atol=0.1)

  def test_a_critic_that_cannot_tell_gives_log_two(self):
    model = _model(distance_weight=0.0, attribute_weight=0.0)
    _zero_critic(model)
    logs = _evaluate(model)
    self.assertAllClose(logs["actor_loss"], np.log(2.0))
    self.assertAllClose(logs["realism"], 0.5)


class CriticLossTest(tf.test.TestCase, parameterized.TestCase):
  def _loss(self, labels, masked_fraction=0.0, **draws):
    """Returns the flat critic's loss, log 2 for each block that counts."""
    still = [keras.optimizers.SGD(0.0) for _ in range(2)]
    model = _model(*still, penalty_weight=0.0, masked_fraction=masked_fraction)
    _zero_critic(model)
    batch = dict(_batch())
    batch["focus"] = tf.zeros_like(batch["focus"])
    batch["attributes"] = tf.broadcast_to(labels, batch["attributes"].shape)
    with _draws(**draws):
      return float(model.train_step(batch)["critic_loss"])

  def test_has_three_blocks(self):
    labels = np.zeros([7, 1, _ATTRIBUTES], np.float32)
    labels[::2, :, 4] = 1  # Neighbours differ, but for the last and the first.
    labels[0, :, 3] = 1
    self.assertAllClose(self._loss(labels, uniform=0.0), 3 * np.log(2.0))

  def test_wrong_labels_that_are_right_are_left_out(self):
    # All rows have the same labels, and wrong ones are those of another row.
    labels = np.array([0, 0, 1, 0, 1], np.float32)
    self.assertAllClose(self._loss(labels, uniform=0.0), 2 * np.log(2.0))

  def test_wrong_labels_that_differ_in_what_is_open_are_left_out(self):
    # Asked for is the focus alone, in which no row differs from another.
    labels = np.zeros([7, 1, _ATTRIBUTES], np.float32)
    labels[::2, :, 4] = 1
    loss = self._loss(labels, masked_fraction=1.0, uniform=0.0)
    self.assertAllClose(loss, 2 * np.log(2.0))

  def test_the_penalty_is_taken_between_real_and_fake(self):
    # The paper's code takes it between real and real.
    model = _model(prior_fraction=1.0)
    batch = dict(_batch())
    row = tf.range(1.0, 8.0)[:, tf.newaxis, tf.newaxis]
    batch["mean"] = tf.broadcast_to(row, batch["mean"].shape)
    batch["scale"] = tf.zeros_like(batch["scale"])
    taken = []

    compare = model.critic.compare

    def spy(real, fake, mix, *labels):
      taken.append(np.array(mix * real + (1.0 - mix) * fake))
      return compare(real, fake, mix, *labels)

    with (
      _draws(normal=-1.0),
      mock.patch.object(model.critic, "compare", spy),
    ):
      model.train_step(batch)
    self.assertLen(taken, _TURNS - 1)
    for points in taken:
      # Real row i is i in every dimension, every fake is -1.
      share = (points + 1) / (np.arange(1, 8)[:, np.newaxis] + 1)
      self.assertAllInRange(share, 0.0, 1.0)
      # One share a row: on the line between the two, not in the box.
      self.assertAllClose(share, np.repeat(share[:, :1], _LATENT, axis=1))
      self.assertGreater(np.ptp(share[:, 0]), 0.1)
    self.assertNotAllClose(taken[0], taken[1])

  def test_a_flat_critic_gets_finite_gradients(self):
    model = _model()
    _zero_critic(model)
    logs = model.train_step(_batch())
    self.assertAllClose(logs["penalty"], 1.0, atol=0.1)
    for weight in model.get_weights():
      self.assertAllInRange(weight, -1e3, 1e3)

  @parameterized.parameters(-1e4, 1e4)
  def test_is_bounded_below_however_sure_the_critic_is(self, logit):
    model = _model(penalty_weight=0.0)
    _zero_critic(model)
    weights = model.critic.get_weights()
    weights[-1][:] = logit
    model.critic.set_weights(weights)
    logs = model.train_step(_batch())
    self.assertAllInRange(float(logs["critic_loss"]), 0.0, 1e5)


class ReplicasTest(tf.test.TestCase):
  def test_two_replicas_make_the_update_of_one(self):
    # Replicas draw their own noise, and a "wrong" label may be a neighbour's:
    # make all draws the same, and neighbours of no account.
    batch = {name: value.numpy() for name, value in _batch(16).items()}
    with _draws(normal=0.3, uniform=0.5):
      one = testing.weights_after_one_step(_model, batch)
      two = testing.weights_after_one_step(
        _model, batch, testing.two_replica_strategy()
      )
    for weight, first, second in zip(_model().weights, one, two):
      self.assertAllClose(first, second, atol=1e-6)
      if not weight.path.startswith("whitening"):
        self.assertNotAllClose(first, weight, atol=1e-5)

  def test_two_replicas_validate_like_one(self):
    def make():
      model = _model()
      # The same for a row wherever it stands.
      _set_heads(model, target=1.0, raw_gate=0.0)
      return model

    rows = _rows(16, scale=0.0)
    with _draws(normal=0.3, uniform=0.5):
      one = _evaluate(make(), rows, 8)
      with testing.two_replica_strategy().scope():
        model = make()
      two = _evaluate(model, rows, 8)
    self.assertAllClose(one, two, rtol=1e-5)


if __name__ == "__main__":
  tf.test.main()
