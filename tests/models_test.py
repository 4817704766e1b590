"""Tests of properties of every model; each model has its own tests, too."""

import dataclasses
from collections.abc import Callable, Mapping
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from absl.testing import parameterized

from lc_keras import recipes
from lc_keras.models import actor_critic
from lc_keras.models import attribute_model
from lc_keras.models import conditional_gan
from lc_keras.models import conditional_vae
from lc_keras.models import embedding_model
from lc_keras.models import flow_matching
from lc_keras.models import gan
from lc_keras.models import linear_directions
from lc_keras.models import pixel_classifier
from lc_keras.models import realism_model
from lc_keras.models import refined_vae
from lc_keras.models import search_actor
from lc_keras.models import storage
from lc_keras.models import stored_model
from lc_keras.models import vae
from lc_keras.models import value_actor
from lc_keras.models import value_model
from tests import testing

_SHAPE, _LATENT, _ATTRIBUTES, _TURNS = (8, 16, 1), 4, 5, 3


@dataclasses.dataclass(frozen=True)
class _Case:
  """A model, compiled with optimisers of a rate, and its data.

  Attributes:
    make: Makes the model.
    compile: Options of `compile`.
    batch: Names in a batch.
    inputs: Names of the arguments of a call.
    rate: A learning rate that suits its loss.
    networks: Names of the networks that an optimiser each updates.
    average: The attributes of the average and of the network that it follows.
    turns: Whether a batch of training has several turns.
    draws: Whether a step draws noise.
    validates: Whether it has a `test_step`.
  """

  make: Callable[[], stored_model.StoredModel]
  batch: str
  inputs: str
  compile: Mapping = dataclasses.field(default_factory=dict)
  rate: float = 0.1
  networks: tuple[str, ...] = ()
  average: tuple[str, str] | None = None
  turns: bool = False
  draws: bool = True
  validates: bool = True

  def build(self, *rates: float, eager=True) -> stored_model.StoredModel:
    keras.utils.set_random_seed(0)
    model = self.make()
    rates = rates or [self.rate] * max(1, len(self.networks))
    # Tracing a graph takes longer than a few steps.
    model.compile(
      *map(keras.optimizers.SGD, rates), run_eagerly=eager, **self.compile
    )
    return model

  def rows(self, count: int, training: bool = False) -> dict[str, np.ndarray]:
    rows = {name: _rows(count)[name] for name in self.batch.split()}
    if self.turns and training:
      rows = {n: np.stack([v] * _TURNS, axis=1) for n, v in rows.items()}
    return rows

  def call(self, model, count: int = 3) -> tf.Tensor:
    return model(*(_rows(count)[name] for name in self.inputs.split()))


def _rows(count):
  """Returns rows with all columns that any model reads."""
  random = np.random.default_rng(0)
  labels = random.integers(0, 2, [count, _ATTRIBUTES])
  rows = {
    "image": random.random([count, *_SHAPE]),
    "attributes": labels,
    "mask": np.ones([count, _ATTRIBUTES]),
    "mean": random.normal(size=[count, _LATENT]),
    "scale": np.full([count, _LATENT], 0.3),
    "angle": random.random(count),
    "value": labels[:, 0],
    "weight": random.uniform(0.5, 2.0, count),
    "embedding": random.normal(size=[count, 2]),
  }
  rows = {name: value.astype(np.float32) for name, value in rows.items()}
  focus = random.integers(0, _ATTRIBUTES, count)
  return {**rows, "focus": focus, "fold": np.arange(count) % 3}


def _read(latents):
  return tf.concat([latents, latents[:, :1]], axis=-1)


_LATENTS = "mean scale attributes focus"
_NO_EXCLUSIONS = np.zeros([_ATTRIBUTES, _ATTRIBUTES], np.float32)
_ADVERSARIES = {
  "networks": ("trained_generator", "discriminator"),
  "average": ("generator", "trained_generator"),
}
_CASES = {
  "actor_critic": _Case(
    lambda: actor_critic.ActorCritic(_LATENT, _ATTRIBUTES, 8, 2),
    _LATENTS,
    "mean attributes mask",
    {
      "recipe": recipes.Actor(attribute_weight=1.0),
      "read_attributes": _read,
      "posterior_scale": np.full([_LATENT], 0.5, np.float32),
      "excludes": _NO_EXCLUSIONS,
    },
    networks=("trained_actor", "critic"),
    average=("actor", "trained_actor"),
    turns=True,
  ),
  "attribute_model": _Case(
    lambda: attribute_model.AttributeModel(
      _LATENT, _ATTRIBUTES, 16, 2, noise_scale=2.0
    ),
    _LATENTS,
    "mean",
    {
      "reread": lambda latents: 0.5 * latents,
      "covariance": np.eye(_LATENT, dtype=np.float32),
      "excludes": _NO_EXCLUSIONS,
      "edit_weight": 0.5,
    },
  ),
  "attribute_ensemble": _Case(
    lambda: attribute_model.AttributeModel(
      _LATENT, _ATTRIBUTES, 16, 1, members=2, scales=[1.5, 0.5]
    ),
    _LATENTS,
    "mean",
  ),
  "conditional_gan": _Case(
    lambda: conditional_gan.ConditionalGAN(
      _SHAPE, _LATENT, _ATTRIBUTES, "mlp_small"
    ),
    "image attributes",
    "mean attributes",
    **_ADVERSARIES,
  ),
  "conditional_vae": _Case(
    lambda: conditional_vae.ConditionalVAE(
      _SHAPE, _LATENT, _ATTRIBUTES, "mlp_small", observation_scale=0.3, beta=2.0
    ),
    "image attributes",
    "image attributes",
    rate=1e-3,
  ),
  "embedding_model": _Case(
    lambda: embedding_model.EmbeddingModel(
      _LATENT, 2, 16, 1, folds=3, dropout=0.0
    ),
    "mean scale embedding fold",
    "mean",
    validates=False,
  ),
  "flow_matching": _Case(
    lambda: flow_matching.FlowMatching(_LATENT, _ATTRIBUTES, 16, 2),
    _LATENTS,
    "mean angle attributes mask",
    average=("velocity", "trained_velocity"),
  ),
  "gan": _Case(
    lambda: gan.GAN(_SHAPE, _LATENT, "mlp_small"),
    "image",
    "mean",
    **_ADVERSARIES,
  ),
  "pixel_classifier": _Case(
    lambda: pixel_classifier.PixelClassifier(_SHAPE, _ATTRIBUTES, "mlp_small"),
    "image attributes",
    "image",
    draws=False,
  ),
  "realism_model": _Case(
    lambda: realism_model.RealismModel(_LATENT, 16, 2), "mean scale", "mean"
  ),
  "refined_vae": _Case(
    lambda: refined_vae.RefinedVAE(_SHAPE, _LATENT, "mlp_small", width=4),
    "image",
    "image",
  ),
  "search_actor": _Case(
    lambda: search_actor.SearchActor(_LATENT, _ATTRIBUTES, 16, 1),
    "mean scale focus",
    "mean attributes mask",
    {
      "loss_of_move": lambda start, moved, values, mask, seeds: tf.reduce_sum(
        tf.square(moved - start - values[:, :1]), axis=-1
      ),
      "read_attributes": lambda latents: tf.tile(latents[:, :1], [1, 5]),
      "excludes": np.zeros([_ATTRIBUTES, _ATTRIBUTES]),
    },
  ),
  "vae": _Case(
    lambda: vae.VAE(
      _SHAPE, _LATENT, "mlp_small", observation_scale=0.3, beta=2.0
    ),
    "image",
    "image",
    rate=1e-3,
  ),
  "value_actor": _Case(
    lambda: value_actor.ValueActor(_LATENT, 16, 1),
    "mean scale",
    "mean value",
    {
      "loss_of_move": lambda start, moved, value, seeds: tf.reduce_sum(
        tf.square(moved - start - value[:, tf.newaxis]), axis=-1
      ),
      "read_value": lambda latents: latents[:, 0],
    },
    validates=False,
  ),
  "value_model": _Case(
    lambda: value_model.ValueModel(_LATENT, 16, 1, folds=3),
    "mean scale value weight fold",
    "mean",
    validates=False,
  ),
}
_AVERAGED = [name for name, case in _CASES.items() if case.average]
_TWO = [name for name, case in _CASES.items() if case.networks]


class ModelsTest(tf.test.TestCase, parameterized.TestCase):
  def _fit(self, model, case, steps=1, **options):
    data = tf.data.Dataset.from_tensors(case.rows(11, training=True))
    return model.fit(data.repeat(steps), verbose=0, **options).history

  def test_every_model_is_tested(self):
    classes = {type(case.make()).__name__ for case in _CASES.values()}
    fitted = {"Encoder", "LinearDirections"}  # In closed form.
    self.assertEqual(classes | fitted, {*storage._MODULES})

  @parameterized.parameters(*_CASES)
  def test_a_step_returns_exactly_the_metrics(self, name):
    case = _CASES[name]
    model = case.build()
    names = [metric.name for metric in model.metrics]
    batch = tf.nest.map_structure(tf.constant, case.rows(8, training=True))
    self.assertEqual(list(model.train_step(batch)), names)
    if case.validates:
      batch = tf.nest.map_structure(tf.constant, case.rows(8))
      self.assertEqual(list(model.test_step(batch)), names)

  @parameterized.parameters(*_CASES)
  def test_training_reaches_every_trained_variable(self, name):
    case = _CASES[name]
    model = case.build()
    before = model.get_weights()
    # In the first step, gradients are zero where a network starts at zero.
    logs = self._fit(model, case, steps=3)
    averages = getattr(model, case.average[0]).weights if case.average else []
    moving = {id(v) for v in (*model.trainable_variables, *averages)}
    self.assertNotEmpty(model.trainable_variables)
    for old, variable in zip(before, model.weights, strict=True):
      if id(variable) in moving:
        self.assertNotAllEqual(old, variable, variable.path)
        self.assertAllInRange(variable, -1e2, 1e2)
      else:
        self.assertAllEqual(old, variable, variable.path)
    self.assertAllInRange([values[0] for values in logs.values()], 0.0, 1e4)

  @parameterized.parameters(*_CASES)
  def test_training_draws_afresh_and_validation_does_not(self, name):
    case = _CASES[name]
    model = case.build(*[0.0] * max(1, len(case.networks)))
    options = {}
    if case.validates:
      rows = tf.data.Dataset.from_tensors(case.rows(11))
      options["validation_data"] = rows
    history = self._fit(model, case, epochs=3, **options)
    loss = "loss" if "loss" in history else next(iter(history))
    self.assertLen(set(history[loss]), 3 if case.draws else 1)
    if case.validates:
      # An average of equal weights may differ from them in the last bit.
      self.assertLen(set(np.round(history[f"val_{loss}"], 4)), 1)

  @parameterized.parameters(*_CASES)
  def test_two_replicas_make_the_update_of_one(self, name):
    case = _CASES[name]
    # Replicas draw their own noise, and some losses read neighbouring rows:
    # with the same draws and rows, both replicas compute the same.
    half = case.rows(8, training=True)
    batch = {key: np.concatenate([value] * 2) for key, value in half.items()}
    fixed = mock.patch.object(
      tfp.distributions.MultivariateNormalDiag,
      "sample",
      lambda self, seed: self.mean() + 0.3 * self.stddev(),
    )
    with testing.draws(normal=0.3, uniform=0.5), fixed:
      one = testing.weights_after_one_step(case.build, batch)
      # In a graph, too.
      two = testing.weights_after_one_step(
        lambda: case.build(eager=False), batch, testing.two_replica_strategy()
      )
    for first, second in zip(one, two, strict=True):
      self.assertAllClose(first, second, rtol=1e-3, atol=1e-5)
    start = case.build().get_weights()
    self.assertFalse(all(map(np.array_equal, one, start)))

  @parameterized.parameters(*_CASES)
  def test_optimisers_are_built_before_the_first_step(self, name):
    # On two replicas, a step cannot build them.
    case = _CASES[name]
    keras.utils.set_random_seed(0)
    model = case.make()
    optimizers = [
      keras.optimizers.Adam(1e-3) for _ in case.networks or ("all",)
    ]
    model.compile(*optimizers, **case.compile)
    networks = [getattr(model, name) for name in case.networks] or [model]
    for optimizer, network in zip(optimizers, networks, strict=True):
      trained = network.trainable_variables
      # Two moments each, the iterations and the rate.
      self.assertLen(optimizer.variables, 2 * len(trained) + 2)

  @parameterized.parameters(*_TWO)
  def test_each_optimiser_has_its_own_network(self, name):
    case = _CASES[name]
    for still in range(2):
      rates = [case.rate] * 2
      rates[still] = 0.0
      model = case.build(*rates)
      networks = [getattr(model, network) for network in case.networks]
      before = [network.get_weights() for network in networks]
      self._fit(model, case)
      for position, (old, network) in enumerate(zip(before, networks)):
        same = all(map(np.array_equal, old, network.get_weights()))
        self.assertEqual(same, position == still)

  @parameterized.parameters(*_AVERAGED)
  def test_the_average_follows_and_is_called_and_validated(self, name):
    case = _CASES[name]
    model = case.build()
    average, trained = (getattr(model, network) for network in case.average)
    self.assertAllClose(average.get_weights(), trained.get_weights(), atol=0)
    self.assertEmpty(average.trainable_variables)
    self._fit(model, case)
    # The first average keeps a tenth.
    start = getattr(case.build(), case.average[0]).get_weights()
    for old, mean, new in zip(
      start,
      average.get_weights(),
      trained.get_weights(),
    ):
      self.assertAllClose(mean, 0.1 * old + 0.9 * new, rtol=1e-3, atol=1e-5)

    def judged():
      batch = tf.nest.map_structure(tf.constant, case.rows(11))
      logs = model.test_step(batch)
      for metric in model.metrics:
        metric.reset_state()
      return case.call(model).numpy(), {k: float(v) for k, v in logs.items()}

    for metric in model.metrics:
      metric.reset_state()
    made, logs = judged()
    trained.set_weights([weight + 1.0 for weight in trained.get_weights()])
    again, later = judged()
    self.assertAllEqual(made, again)
    # The critic's metrics are of fakes by the trained actor.
    for report in {*logs} - {"critic_loss", "penalty"}:
      self.assertEqual(logs[report], later[report], report)

  @parameterized.parameters("conditional_vae", "gan", "refined_vae", "vae")
  def test_events_are_latents_and_images(self, name):
    model, rows = _CASES[name].build(), _rows(3)
    own = [rows["attributes"]] if name.startswith("conditional") else []
    likelihood = model.decode(100 * rows["mean"], *own)
    self.assertAllInRange(likelihood.mean(), 0.0, 1.0)
    found = [(likelihood, [3], _SHAPE), (model.prior, [], [_LATENT])]
    if name != "gan":
      posterior = model.encode(rows["image"], *own)
      found.append((posterior, [3], [_LATENT]))
      reconstruction = model.decode(posterior.mean(), *own).mean()
      self.assertAllClose(model(rows["image"], *own), reconstruction)
    self.assertEqual(hasattr(model, "encode"), name != "gan")
    for distribution, batch, event in found:
      self.assertEqual(distribution.batch_shape, batch)
      self.assertEqual(distribution.event_shape, event)

  @parameterized.parameters(*_CASES)
  def test_is_loaded_as_it_was_saved(self, name):
    case = _CASES[name]
    model = case.build()
    # After training, an average differs from the network that it follows.
    self._fit(model, case)
    folder = self.create_tempdir().full_path
    storage.save(model, folder)
    loaded = storage.load(folder)
    self.assertIs(type(loaded), type(model))
    self.assertEqual(loaded.arguments, model.arguments)
    for first, second in zip(model.weights, loaded.weights, strict=True):
      self.assertAllEqual(first, second)
    self.assertAllEqual(case.call(loaded), case.call(model))

  @parameterized.parameters(*_CASES)
  def test_rows_do_not_mix(self, name):
    case = _CASES[name]
    model, random = case.build(), np.random.default_rng(0)
    # A fresh flow is zero everywhere.
    model.set_weights(
      [w + 0.1 * random.normal(size=w.shape) for w in model.get_weights()]
    )
    together, order = case.call(model, 7), [3, 1, 6, 0, 2, 5, 4]
    inputs = [_rows(7)[name][order] for name in case.inputs.split()]
    self.assertNotAllClose(together, tf.gather(together, order))
    self.assertAllClose(
      model(*inputs), tf.gather(together, order), rtol=1e-4, atol=1e-5
    )


class LinearDirectionsTest(tf.test.TestCase):
  def test_is_loaded_as_it_was_saved(self):
    model = linear_directions.LinearDirections(_LATENT, _ATTRIBUTES)
    random = np.random.default_rng(0)
    model.set_weights([random.normal(size=w.shape) for w in model.weights])
    folder = self.create_tempdir().full_path
    storage.save(model, folder)
    latents = _rows(3)["mean"]
    self.assertAllEqual(storage.load(folder)(latents), model(latents))
