"""A small actor and its critic for tests, with rows, requests and draws."""

import keras
import numpy as np
import tensorflow as tf

from lc_keras import recipes
from lc_keras.constraints import attributes
from lc_keras.data import latent_batches
from lc_keras.data import latents
from lc_keras.models import actor_critic

LATENT_SIZE, TURNS = 4, 3
_FACES = attributes.Attributes(
  ("Bald", "Black_Hair", "Blond_Hair", "Male", "Smiling"),
  [("Bald", "Black_Hair", "Blond_Hair")],
)
NUM_ATTRIBUTES = len(_FACES)


def some_rows(rows=32, scale=0.3):
  """Returns latents whose signs are attributes 1 to 4."""
  random = np.random.default_rng(0)
  labels = random.integers(0, 2, [rows, NUM_ATTRIBUTES]).astype(np.float32)
  labels[:, :2] = 0
  mean = random.normal(size=[rows, LATENT_SIZE])
  mean = np.abs(mean) * (2 * labels[:, 1:] - 1)
  scale = np.full([rows, LATENT_SIZE], scale, np.float32)
  return latents.Latents(mean.astype(np.float32), scale, labels)


def batch(batch_size=7, seed=0):
  """Returns one batch of three turns."""
  batches = latent_batches.at_random(
    some_rows(), batch_size, turns=TURNS, seed=seed
  )
  return next(iter(batches.take(1)))


def _read(moved):
  """Reads attributes 1 to 4 from the signs, see `some_rows`."""
  return tf.concat([tf.fill(tf.shape(moved[:, :1]), -9.0), 4 * moved], axis=-1)


def build(
  actor_optimizer=None,
  critic_optimizer=None,
  *,
  read_attributes=_read,
  embed=None,
  **settings,
):
  """Returns a model with a recipe of some settings."""
  keras.utils.set_random_seed(0)
  model = actor_critic.ActorCritic(LATENT_SIZE, NUM_ATTRIBUTES, 8, 2)
  model.compile(
    actor_optimizer or keras.optimizers.SGD(0.1),
    critic_optimizer or keras.optimizers.SGD(0.1),
    recipes.Actor(**{"attribute_weight": 1.0, **settings}),
    read_attributes=read_attributes,
    posterior_scale=tf.fill([LATENT_SIZE], 0.5),
    excludes=_FACES.excludes,
    embed=embed,
    # Tracing a graph takes longer than a few steps.
    run_eagerly=True,
  )
  return model


def set_heads(model, target, raw_gate):
  """Makes both actors move all rows equally."""
  for network in (model.actor, model.trained_actor):
    kernel, bias = network.trunk.layers[-1].get_weights()
    half = len(bias) // 2
    bias[:half], bias[half:] = target, raw_gate
    network.trunk.layers[-1].set_weights([0 * kernel, bias])


def zero_critic(model):
  """Makes the critic flat: D = 1/2 everywhere."""
  model.critic.set_weights(
    [0 * weight for weight in model.critic.get_weights()]
  )


def some_lessons(moved, count=9):
  """Returns lessons of a teacher that moves all rows equally."""
  random = np.random.default_rng(3)
  lessons = {}
  for name in ("prior", "real"):
    start = random.normal(size=[count, LATENT_SIZE]).astype(np.float32)
    lessons[name], lessons[f"{name}_moved"] = start, start + np.float32(moved)
    for part in ("values", "mask"):
      ask = random.integers(0, 2, [count, NUM_ATTRIBUTES]).astype(np.float32)
      lessons[f"{name}_{part}"] = ask
  return lessons


def evaluate(model, rows=None, batch_size=7, lessons=None):
  """Returns a model's validation metrics."""
  batches = latent_batches.in_order(rows or some_rows(), batch_size)
  if lessons is not None:
    batches = batches.map(lambda batch: {**batch, "lessons": lessons})
  return model.evaluate(batches, return_dict=True, verbose=0)
