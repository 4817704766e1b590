"""A task without any framework, for the tests of `benchmarks.timing`."""

import numpy as np

from benchmarks import tasks


class _Counting:
  """Adds up numbers; the case has the properties that it reports."""

  flops = 1e6

  def __init__(self, case):
    self.parameters = case.get("parameters", 3)
    self.items = 5
    self._loss = case.get("loss", 0.25)

  def loss(self):
    """See `tasks.Task`."""
    return self._loss

  def run(self, steps):
    """See `tasks.Task`."""
    print("what is printed is no answer")
    for _ in range(steps):
      np.arange(10_000).sum()


def _build(case, folder):
  del folder
  # By its name, a worker may report other properties than the others.
  return _Counting(case)


if __name__ == "__main__":
  tasks.serve(_build, np.asarray)
