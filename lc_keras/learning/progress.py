"""How far learning is: sentences, and bars with a rate and the time left."""

import sys

import keras
import tqdm


class Progress:
  """Tells a user how far learning is.

  >>> bar = Progress().bar(3, " images")  # Silent.
  >>> bar.update(3)
  """

  def __init__(self, verbose: bool = False):
    """Creates it.

    Args:
      verbose: Whether it tells anything, on the standard error.
    """
    self._verbose = verbose

  def say(self, message: str) -> None:
    """Tells a sentence, beside any bar."""
    if self._verbose:
      tqdm.tqdm.write(message, file=sys.stderr)

  def bar(self, total: int, unit: str) -> tqdm.tqdm:
    """Returns a bar of so many units."""
    return tqdm.tqdm(
      total=total, unit=unit, delay=1e-9, disable=not self._verbose
    )

  def steps(self, total: int) -> keras.callbacks.Callback:
    """Returns a callback that shows a bar of training steps."""
    bar = self.bar(total, " steps")

    def show(batch, logs):
      bar.update()
      if bar.n == bar.total:
        bar.close()

    return keras.callbacks.LambdaCallback(on_train_batch_end=show)
