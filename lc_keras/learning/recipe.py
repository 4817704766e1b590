"""How a constraint is learnt: numbers, known before anything is loaded."""

import dataclasses

# Of an actor's training; after each but the last, the critic sees what the
# actor makes.
ACTOR_ROUNDS = 3


@dataclasses.dataclass(frozen=True)
class Recipe:
  """How a constraint is learnt.

  Attributes:
    width: Units of a critic's hidden layers.
    depth: Their number.
    folds: Members of the critic, see `ValueModel`.
    steps: Of each round.
    rounds: Between two the critic's own edits are looked at, see
      `fitting.learn`.
    noise_scale: See `ValueModel.compile`.
    count: Draws that a rule scores at least.
    limit: Draws that a rule scores at most, while it looks for what is rare.
    actor_steps: Of an actor, which does in one step what a search does in
      many, see `amortised`; 1,000 are enough, and 0 trains none.
    seed: Of everything.
  """

  width: int = 256
  depth: int = 2
  folds: int = 5
  steps: int = 400
  rounds: int = 3
  noise_scale: float = 2.0
  count: int = 4096
  limit: int = 20_000
  actor_steps: int = 0
  seed: int = 0

  @property
  def all_steps(self) -> int:
    """Steps of the critic: between those of an actor it has more rounds."""
    more = ACTOR_ROUNDS - 1 if self.actor_steps else 0
    return self.steps * (self.rounds + more)
