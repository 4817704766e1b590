"""Progress of learning: messages, and bars with a rate and the time left."""

import sys

import keras
import tqdm


class Progress:
  """Shows the progress of learning.

  >>> bar = Progress().bar(3, " images")  # Silent.
  >>> bar.update(3)
  """

  def __init__(self, verbose: bool = False):
    """Creates the object.

    Args:
      verbose: Whether it writes to the standard error; else it is silent.
    """
    self._verbose = verbose

  def say(self, message: str) -> None:
    """Prints a message, above any bar."""
    if self._verbose:
      tqdm.tqdm.write(message, file=sys.stderr)

  def bar(self, total: int, unit: str) -> tqdm.tqdm:
    """Returns a bar of `total` units, which disappears when it is closed.

    Bars that are open at the same time share a line: images are scored between
    rounds of steps.
    """
    return tqdm.tqdm(
      total=total,
      unit=unit,
      delay=1e-9,
      position=0,
      leave=False,
      disable=not self._verbose,
    )

  def steps(self, total: int) -> keras.callbacks.Callback:
    """Returns a callback that shows a bar of training steps."""
    bar = self.bar(total, " steps")

    def show(batch, logs):
      bar.update()
      if bar.n == bar.total:
        bar.close()

    return keras.callbacks.LambdaCallback(on_train_batch_end=show)


SILENT = Progress()
