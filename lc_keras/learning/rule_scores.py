"""Scores latents by rules; each image is decoded once, for all rules."""

import time
from collections.abc import Callable, Mapping

import numpy as np

from lc_keras import batched
from lc_keras import progress as progresses
from lc_keras.constraints import rule as rules
from lc_keras.generators import decoding

# Maps a count and a seed to latent vectors [count, latent_size].
Draw = Callable[[int, int], np.ndarray]

CHUNK = 2048
# Number of images to check rules on, and to measure their speed with.
_CHECKED = 256
_TIMED = 16


class RuleScores:
  """Scores latent vectors by several rules, chunk by chunk.

  Plain draws are scored by all rules at once, and their scores are kept, so
  that no draw is decoded twice. Memory holds no more images than
  `batched.rows_at_once` allows.
  """

  def __init__(
    self,
    generator,
    rules: Mapping[str, rules.Rule],
    draw: Draw,
    seed: int,
    progress: progresses.Progress,
  ):
    """Checks the rules on a few images.

    Args:
      generator: Decodes the images.
      rules: Rules by the names of their constraints.
      draw: Draws latent vectors; each seed gives other draws.
      seed: Seed of the draws.
      progress: Shows notes about rules, and how long scoring takes.

    Raises:
      ValueError: A rule fails a check.
    """
    self._decode = decoding.decoder(generator)
    self._rules, self._draw, self._seed = dict(rules), draw, seed
    self._progress, self._bar = progress, None
    self._plain = []
    at_once = batched.rows_at_once(generator.image_shape, _CHECKED // 4)
    tried = draw(max(4 * at_once, _TIMED), seed)
    images = self._decode(tried)[decoding.IMAGES]
    for rule in self._rules.values():
      self._progress.say(f"Checking {rule} on {len(tried)} images")
      rule.check(images, rare=True)
      for note in rule.notes:
        self._progress.say(note)
    began = time.monotonic()
    self._values(self._rules, tried[:_TIMED])
    self._seconds = (time.monotonic() - began) / _TIMED

  def begin(self, count: int) -> None:
    """Shows how long scoring `count` images takes, and a progress bar."""
    total = count * self._seconds
    told = f"{total:.0f} s" if total < 100 else f"{total / 60:.0f} min"
    self._progress.say(
      f"About {count:,} images are scored, {1 / self._seconds:.3g} a second: "
      f"{told}"
    )
    self._bar = self._progress.bar(count, " images")

  def end(self) -> None:
    """Closes the bar."""
    self._bar.close()

  def plain(self, name: str, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns a chunk of plain draws, and the targets of one rule.

    Args:
      name: Name of the rule.
      number: Number of the chunk, from 0 up.
    """
    while len(self._plain) <= number:
      latents = self._draw(CHUNK, self._seed + len(self._plain))
      self._plain.append((latents, self._values(self._rules, latents)))
    latents, values = self._plain[number]
    return latents, self._rules[name].targets(values[name])

  def __call__(self, name: str, latents: np.ndarray) -> np.ndarray:
    """Returns the targets of one rule for other latent vectors, [n]."""
    return self._rules[name].targets(self._values([name], latents)[name])

  def check_varies(self, name: str) -> None:
    """Raises ValueError if a rule gave all plain draws the same target."""
    values = [values[name] for _, values in self._plain]
    self._rules[name].check_varies(np.concatenate(values))

  def _values(self, names, latents):
    """Returns the values of latents by some rules, by name."""
    found = {name: [] for name in names}
    # The images of a batch are freed before those of the next are decoded.
    for batch in self._decode.iter_batches(latents):
      for name in names:
        found[name].append(self._rules[name].values(batch[decoding.IMAGES]))
      if self._bar is not None:
        self._bar.update(len(batch[decoding.IMAGES]))
    return {name: np.concatenate(parts) for name, parts in found.items()}
