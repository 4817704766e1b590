"""The best of many draws: rejection sampling in bounded time."""

from lc_keras.samplers import candidates


class BestOfN(candidates.CandidateSampler):
  """Chooses the one of n prior draws that has the lowest energy.

  The energy is E(z) of `EnergySampler`, without the prior's, since the draws
  come from the prior. With one candidate, it samples the prior. `converged` is
  False where no candidate was good enough: rejection sampling would continue.

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
  >>> made = lc_keras.BestOfN(judges, 64).sample(rows, seeds)
  >>> made.converged.numpy()
  array([ True,  True,  True,  True])
  """

  def _scores(self, constraint, seeds):
    judges = self.judges
    return lambda drawn, number: (
      -(
        judges.attribute_energy(drawn, constraint)
        + judges.realism_energy(drawn, constraint)
      )
    )
