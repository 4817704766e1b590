"""The best of many draws: rejection sampling in bounded time."""

from lc_keras.samplers import candidates


class BestOfN(candidates.CandidateSampler):
  """Takes the one of n prior draws that has the lowest energy.

  The energy is that of `EnergySampler`, less the prior's, from which the draws
  come. With one candidate it is the prior itself. `converged` is False where
  no candidate was good enough: rejection sampling would go on.
  """

  def _scores(self, constraint, seeds):
    judges = self.judges
    return lambda drawn, number: (
      -(
        judges.attribute_energy(drawn, constraint)
        + judges.realism_energy(drawn, constraint)
      )
    )
