"""Makes the requests that train an actor and its critic, from latents.

Engel et al. 2018, section 4, with these changes, each a setting of
`recipes.Actor` that can restore the published recipe:

- the actor also learns requests on REAL latents ("this face, but smiling"),
  not only repairs of prior samples (`real_weight`);
- a request may leave attributes open (`masked_fraction`): of ten attributes,
  users may give one;
- a flow can be the actor's teacher (`imitation_weight`, `lessons`): its samples
  vary as much as real images; with a critic alone, the actor makes few
  different faces.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import tensorflow as tf

from lc_keras import recipes
from lc_keras.data import latents as latent_rows
from lc_keras.models import switching

# Maps prior samples to the latents that the actor is given.
Starts = Callable[[tf.Tensor], tf.Tensor]
Rows = Mapping[str, tf.Tensor]


class Request(NamedTuple):
  """A batch of requests.

  Attributes:
    start: [batch, latent_size], the latents to move.
    values: [batch, num_attributes] in {0, 1}, the targets.
    mask: [batch, num_attributes] in {0, 1}, 1 for targets the actor is given.
    read: Like `mask`, 1 for targets that the attribute critic checks.
    answer: [batch, latent_size], the teacher's answer; `start` without one.
  """

  start: tf.Tensor
  values: tf.Tensor
  mask: tf.Tensor
  read: tf.Tensor
  answer: tf.Tensor


class Comparison(NamedTuple):
  """Rows that the critic learns to tell apart, see `Critic.compare`.

  Attributes:
    real: [batch, latent_size], draws of q(z|x).
    start: [batch, latent_size], the latents that the actor makes fakes of.
    prior: [batch, latent_size], draws of p(z).
    own: [batch, num_attributes], the labels of real.
    fake_labels: [batch, num_attributes], the labels of the fakes.
    wrong: [batch, num_attributes], wrong labels for real.
    mask: [batch, num_attributes] in {0, 1}, 1 for labels the critic is given.
  """

  real: tf.Tensor
  start: tf.Tensor
  prior: tf.Tensor
  own: tf.Tensor
  fake_labels: tf.Tensor
  wrong: tf.Tensor
  mask: tf.Tensor


def comparison(
  rows: Rows, recipe: recipes.Actor, excludes: tf.Tensor, starts: Starts, seeds
) -> Comparison:
  """Makes the rows of an update of the critic.

  Args:
    rows: "mean", "scale" [batch, latent_size], "attributes" [batch,
      num_attributes] and "focus" [batch], see `latent_batches.at_random`.
    recipe: The settings.
    excludes: [num_attributes, num_attributes], see `Attributes.excludes`.
    starts: Maps prior samples to the latents that the actor is given.
    seeds: Seeds of the draws, at least seven.
  """
  real = latent_rows.sample(rows, seeds[0])
  own = rows["attributes"]
  wrong, mask = _wrong(rows, recipe, excludes, seeds[1], seeds[6])
  # A fake starts from the prior and has the row's own labels, or starts from
  # the real row and has wrong ones.
  prior = _prior(rows, seeds[2])
  start, fake_labels = starts(prior), own
  if recipe.real_weight:
    from_prior = _every_second(own)
    start = tf.where(from_prior, start, real)
    fake_labels = tf.where(from_prior, own, wrong)
  return Comparison(real, start, prior, own, fake_labels, wrong, mask)


def requests(
  rows: Rows, recipe: recipes.Actor, excludes: tf.Tensor, starts: Starts, seeds
) -> list[Request]:
  """Makes requests on prior samples and, with `real_weight`, on real rows.

  Args: as for `comparison`; with imitation, rows also have "lessons".
  """
  make = _from_lessons if recipe.imitation_weight else _published
  made = make(rows, recipe, excludes, starts, seeds)
  return list(made) if recipe.real_weight else [made[0]]


def _from_lessons(rows, recipe, excludes, starts, seeds):
  lessons = rows["lessons"]
  prior, real = (
    Request(
      lessons[name],
      lessons[f"{name}_values"],
      lessons[f"{name}_mask"],
      lessons[f"{name}_mask"],
      lessons[f"{name}_moved"],
    )
    for name in ("prior", "real")
  )
  return prior._replace(start=starts(prior.start)), real


def _published(rows, recipe, excludes, starts, seeds):
  own = rows["attributes"]
  wrong, mask = _wrong(rows, recipe, excludes, seeds[1], seeds[5])
  # Open attributes of a prior sample may take any value.
  start = starts(_prior(rows, seeds[2]))
  prior = Request(start, own, mask, mask, start)
  # A quarter of the rows request their own labels: the actor learns to stay.
  stay = _every_second(own) & _every_second(own, 2)
  asked = tf.where(stay, own, wrong)
  # Open attributes of a real row must not change.
  asked = tf.where(mask > 0.0, asked, own)
  start = latent_rows.sample(rows, seeds[0])
  return prior, Request(start, asked, mask, tf.ones_like(mask), start)


def _wrong(rows, recipe, excludes, seed, mask_seed):
  """Returns wrong labels for each row, and a mask of those requested.

  One switched attribute is the hardest negative, and resembles a request;
  another row's labels (the published choice) differ in many.
  """
  own = rows["attributes"]
  switched, about = switching.switch(own, rows["focus"], excludes)
  other = tf.random.stateless_uniform(tf.shape(own)[:1], seed)
  other = (other < 1.0 - recipe.switched_fraction)[:, tf.newaxis]
  wrong = tf.where(other, tf.roll(own, 1, axis=0), switched)
  return wrong, switching.random_mask(about, recipe.masked_fraction, mask_seed)


def _prior(rows, seed):
  return tf.random.stateless_normal(tf.shape(rows["mean"]), seed)


def _every_second(rows, stride=1):
  """Returns a [batch, 1] mask: True for every second run of `stride` rows."""
  positions = tf.range(tf.shape(rows)[0])
  return (positions // stride % 2 == 0)[:, tf.newaxis]
