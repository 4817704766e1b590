"""Importance resampling: prior draws, weighted by a density ratio."""

from collections.abc import Callable

import tensorflow as tf
import tensorflow_probability as tfp

from lc_keras.samplers import candidates as candidate_samplers
from lc_keras.samplers import sampler

tfd = tfp.distributions

# Draw number of the resampling's noise; those of candidates start at 0.
_GUMBEL_DRAW = -1


class ImportanceResampling(candidate_samplers.CandidateSampler):
  """NCP-VAE: Aneja, Schwing, Kautz and Vahdat (2021), arXiv 2010.02917.

  The prior, corrected by the density ratio r(z) = q(z) / p(z), is the marginal
  posterior. One of n prior draws is chosen with a probability in proportion to

      r(z)^realism_weight * p(c|z)

  where p(c|z) = exp(-attribute energy) says how well the constraint is met
  (the paper has none). As n grows, rows become samples of q(z|c).

  >>> import tensorflow as tf
  >>> import lc_keras
  >>> attributes = lc_keras.Attributes(["Smiling", "Male"])
  >>> judges = lc_keras.Judges(
  ...   attributes,
  ...   critic=lambda z, values, mask: 3.0 - z[:, 2] ** 2,
  ...   attribute_critic=lambda z: 9.0 * z[:, :2],
  ...   posterior_scale=tf.fill([3], 0.1),
  ... )
  >>> rows = lc_keras.parse("Smiling, not Male", attributes).rows(4)
  >>> seeds = tf.range(4, dtype=tf.int64)
  >>> density = lc_keras.RealismModel(latent_size=3, width=16, depth=1)
  >>> sampler = lc_keras.ImportanceResampling(judges, density, 16)
  >>> tuple(sampler.sample(rows, seeds).latents.shape)
  (4, 3)
  """

  def __init__(
    self,
    judges: sampler.Judges,
    density_critic: Callable[[tf.Tensor], tf.Tensor],
    candidates: int = 64,
  ):
    """Creates the sampler.

    Args:
      judges: The critics.
      density_critic: Maps latents to log r(z), [batch]; a `RealismModel`.
      candidates: Draws per row, at least 1.

    Raises:
      ValueError: There are no candidates.
    """
    super().__init__(judges, candidates)
    self._density_critic = density_critic

  def _scores(self, constraint, seeds):
    gumbel = _gumbel_rows(seeds, self._candidates)

    def score(drawn, number):
      log_weight = constraint.realism_weight * self._density_critic(drawn)
      log_weight -= self.judges.attribute_energy(drawn, constraint)
      # Gumbel-max trick: the largest of log weights with Gumbel noise is a draw
      # in proportion to the weights.
      return log_weight + gumbel[:, number]

    return score


def _gumbel_rows(seeds, count):
  """Draws standard Gumbel noise, [batch, count]."""
  noise = tfd.Gumbel(0.0, 1.0)
  return tf.map_fn(
    lambda seed: noise.sample(
      count, seed=tf.random.fold_in(seed, _GUMBEL_DRAW)
    ),
    tf.bitcast(seeds, tf.int32),
    fn_output_signature=tf.TensorSpec([count], tf.float32),
  )
