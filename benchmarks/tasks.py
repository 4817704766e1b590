"""The worker of a benchmark: a program that receives orders and runs a task.

It builds one task and repeats it for as many steps as ordered; orders and
answers are lines of JSON (see `timing`). Workers of TensorFlow and of PyTorch
use this module, which imports neither.
"""

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Protocol

import numpy as np

# Size of matrices: large enough for full speed; a product takes 0.1 seconds.
_SIDE = 2048


class Task(Protocol):
  """Work that can be repeated.

  Attributes:
    parameters: Parameters of the network; equal for all workers.
    items: Images, or other items that rates count, in a step.
    flops: Of a step's matrix products and convolutions; 0 if not counted.
  """

  parameters: int
  items: float
  flops: float

  def loss(self) -> float:
    """Returns the loss before any step; equal for all workers."""

  def run(self, steps: int) -> None:
    """Runs steps, and returns when the last one is done."""


def train(loop, steps: int) -> None:
  """Runs steps of a `trainers.loop.Loop` and waits for the last one."""
  for _ in range(steps):
    loop.train()
  loop.figures()


def weights(name: str, network) -> dict[str, np.ndarray]:
  """Returns a Keras network's weights in order, as "<name>0", "<name>1" ..."""
  return {f"{name}{i}": value for i, value in enumerate(network.get_weights())}


def serve(
  build: Callable[[dict, str], Task],
  matrix: Callable[[np.ndarray], object],
) -> None:
  """Executes orders from stdin until its end.

  Args:
    build: (case, folder) -> task. The first worker to be built writes the
      arrays that others need (weights, noise) to the folder.
    matrix: Converts an array to the framework's matrix; `a @ a` is timed.
  """
  # Other output goes to stderr, or it would be read as an answer.
  answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
  os.dup2(2, 1)
  side = _Side(build, matrix)
  for line in sys.stdin:
    order = json.loads(line)
    try:
      answer = getattr(side, order.pop("do"))(**order)
    except Exception:  # `timing` raises it again.
      answer = {"error": traceback.format_exc()}
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


class _Side:
  """Executes orders; has one method for each."""

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
    """Returns the speed of the framework's or NumPy's matrix product."""
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
  """Returns the seconds of a matrix product, until one element is read."""
  started = time.perf_counter()
  float((matrix @ matrix)[0, 0])
  return time.perf_counter() - started
