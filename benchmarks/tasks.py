"""The side of a benchmark that does the work: a program that takes orders.

It builds one task and repeats it as often as it is told, one order and one
answer a line (see `timing`). Programs of TensorFlow and of PyTorch use it, so
that it imports neither.
"""

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Protocol

import numpy as np

# Large enough for full speed, small enough to take a tenth of a second.
_SIDE = 2048


class Task(Protocol):
  """Work that can be repeated.

  Attributes:
    parameters: Numbers in the network; all sides must have the same.
    items: Images, or other things that are counted, in a step.
    flops: Of the matrix products and convolutions of a step; 0 if not counted.
  """

  parameters: int
  items: float
  flops: float

  def loss(self) -> float:
    """Returns the loss before any step; all sides must agree."""

  def run(self, steps: int) -> None:
    """Makes steps, and returns when the last one is done."""


def train(loop, steps: int) -> None:
  """Makes steps of a `trainers.loop.Loop` and waits for the last one."""
  for _ in range(steps):
    loop.train()
  loop.figures()


def serve(
  build: Callable[[dict, str], Task],
  matrix: Callable[[np.ndarray], object],
) -> None:
  """Takes orders until there are no more.

  Args:
    build: (case, folder) -> task. The first side to be built writes what the
      others need (weights, noise) into the folder.
    matrix: Makes a matrix of the framework from an array; `a @ a` is timed.
  """
  # Other output must not be taken for an answer.
  answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
  os.dup2(2, 1)
  side = _Side(build, matrix)
  for line in sys.stdin:
    order = json.loads(line)
    try:
      answer = getattr(side, order.pop("do"))(**order)
    except Exception:  # The other side has to be told, whatever it was.
      answer = {"error": traceback.format_exc()}
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


class _Side:
  """One method an order."""

  def __init__(self, build, matrix):
    self._build = build
    self._matrix = matrix
    self._task = None
    self._products = None

  def build(self, case, folder):
    self._task = task = self._build(case, folder)
    return {
      "loss": float(task.loss()),
      "parameters": int(task.parameters),
      "items": float(task.items),
      "flops": float(task.flops),
    }

  def run(self, steps):
    started, used = time.perf_counter(), time.process_time()
    self._task.run(steps)
    return {
      "seconds": time.perf_counter() - started,
      "cpu_seconds": time.process_time() - used,
    }

  def sgemm(self):
    """Returns the speed of a matrix product: the framework's, or NumPy's."""
    if self._products is None:
      array = np.full([_SIDE, _SIDE], 1e-3, np.float32)
      self._products = [self._matrix(array), array]
      self.sgemm()  # The first is slower.
    flops = 2.0 * _SIDE**3
    return {"flops_per_second": flops / min(map(_seconds, self._products))}

  def peak(self):
    # Not ru_maxrss, which counts the parent's memory when it forked.
    with open("/proc/self/status", encoding="ascii") as file:
      peak = next(line for line in file if line.startswith("VmHWM:"))
    return {"bytes": int(peak.split()[1]) * 1024}


def _seconds(matrix):
  """Returns the seconds of a product, until one of its numbers is there."""
  started = time.perf_counter()
  float((matrix @ matrix)[0, 0])
  return time.perf_counter() - started
