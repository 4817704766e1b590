"""Collects examples for a rule: latents, and values of their images."""

from collections.abc import Callable

import numpy as np

from lc_keras.learning import examples as example_sets
from lc_keras.learning import fitting
from lc_keras.learning import rule_scores
from lc_keras.models import value_model

# Maps the number of a chunk of plain draws to latents and their values.
Plain = Callable[[int], tuple[np.ndarray, np.ndarray]]

# Fewest rows of each kind, on and off, that a preliminary critic needs, and
# that the final critic needs.
_SEEDS = 10
_ENOUGH = 100
# Share of ranked draws that are scored: those that the first critic ranks
# highest.
_TOP_SHARE = 0.02
_PRELIMINARY_STEPS = 300


class TooFewError(ValueError):
  """There are too few draws of one kind to learn from."""


def collect(
  plain: Plain,
  draw: rule_scores.Draw,
  oracle: fitting.Oracle,
  model: Callable[[], value_model.ValueModel],
  scale: np.ndarray,
  *,
  count: int,
  limit: int,
  folds: int,
  seed: int = 0,
  say: Callable[[str], None] = lambda message: None,
) -> example_sets.Examples:
  """Scores draws until there are enough of both kinds, rare ones included.

  A kind that is rare among plain draws is found by importance sampling: a first
  critic ranks many draws, which is cheap, and the highest-ranked are scored.
  Weights correct for that: a row counts 1 / (plain draws + ranked draws that
  its chance of being scored covers), so that weighted shares are those of plain
  draws.

  Args:
    plain: Makes and scores plain draws.
    draw: Makes draws to be ranked; each seed gives other draws.
    oracle: Scores the chosen ones.
    model: Returns an untrained, compiled model for the ranking.
    scale: [latent_size], sigma_bar.
    count: Least number of rows to score.
    limit: Largest number of rows to score.
    folds: See `Examples.of`.
    seed: Seed of all draws.
    say: Shows progress messages.

  Raises:
    TooFewError: There are too few of a kind within the limit.
  """
  latents, values = _enough(plain, count, limit, say)
  weights = np.ones(len(values))
  kinds = _kinds(values)
  if min(kinds) < _ENOUGH:
    rare = int(np.argmin(kinds))
    say(
      f"Only {kinds[rare]} of {len(values)} draws are "
      f"{('off', 'on')[rare]}: looking for more among those that a first "
      "critic ranks highest"
    )
    latents, values, weights = _enriched(
      draw, oracle, model(), scale, latents, values, rare, limit, folds, seed
    )
    kinds = _kinds(values)
    if min(kinds) < _ENOUGH:
      raise TooFewError(
        f"After scoring {len(values)} draws, chosen ones among them, "
        f"{kinds[1]} are on and {kinds[0]} off; at least {_ENOUGH} of each are "
        "needed. Change the threshold, or raise the limit."
      )
  return example_sets.Examples.of(
    latents, scale, values, weights / weights.mean(), folds=folds, seed=seed
  )


def _enough(plain, count, limit, say):
  """Returns draws and values, at least `count` and some of each kind."""
  latents, values = [], []
  while True:
    chunk, chunk_values = plain(len(values))
    latents.append(chunk)
    values.append(chunk_values)
    scored = sum(map(len, values))
    kinds = _kinds(np.concatenate(values))
    if scored >= count:
      say(f"Scored {scored} draws: {kinds[1]} on, {kinds[0]} off")
      if min(kinds) >= _SEEDS:
        return np.concatenate(latents), np.concatenate(values)
    if scored >= limit:
      raise TooFewError(
        f"Of {scored} draws, {kinds[1]} are on and {kinds[0]} off; at least "
        f"{_SEEDS} of each are needed to look for more. Change the threshold, "
        "or raise the limit."
      )


def _enriched(
  draw, oracle, model, scale, latents, values, rare, limit, folds, seed
):
  """Adds rows that a first critic reads as the rare kind; weights all rows."""
  plain = example_sets.Examples.of(latents, scale, values, folds=folds)
  model.fit(
    plain.batches(128, seed),
    steps_per_epoch=_PRELIMINARY_STEPS,
    shuffle=False,
    verbose=0,
  )

  def critic_score(rows):
    return np.ravel(model.predict(rows, batch_size=4096, verbose=0)) * (
      1.0 if rare else -1.0
    )

  pool_size = int(rule_scores.CHUNK / _TOP_SHARE)
  bound, pools = None, 0
  found, scores = [latents], [values]
  while sum(map(len, scores)) < limit:
    pools += 1
    pool = draw(pool_size, seed + (1 << 20) + pools)
    critic_scores = critic_score(pool)
    if bound is None:
      # The region stays the same, so that probabilities are known.
      bound = np.quantile(critic_scores, 1.0 - _TOP_SHARE)
    chosen = pool[critic_scores >= bound]
    found.append(chosen)
    scores.append(oracle(chosen))
    if min(_kinds(np.concatenate(scores))) >= 2 * _ENOUGH:
      break
  found, scores = np.concatenate(found), np.concatenate(scores)
  # Plain draws outside of the region also stand for the draws of the pools that
  # were not scored.
  covered = len(values) + pools * pool_size
  weights = np.where(critic_score(found) >= bound, 1.0, covered / len(values))
  return found, scores, weights


def _kinds(values):
  """Returns how many values are off, and how many on."""
  on = int((values > 0.5).sum())
  return len(values) - on, on
